//! The API in front of a house, on a real Unix socket and a real TCP address. Every JSON answer that passes through
//! [`Door::ask`] is held against the API's own description.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::audit::Audit;
use trueup::authority::Role;
use trueup::events::Events;
use trueup::http::webhook::{InboxBell, WebhookSettings, Webhooks};
use trueup::http::{ApiState, Listeners, Nudge, listen, openapi, serve};
use trueup::ids::EnvironmentRef;
use trueup::integration::{Catalog, Connectors, Parts};
use trueup::metrics::Metrics;
use trueup::provider::docker::Engines;
use trueup::provider::{Connect, SharedProvider};
use trueup::reporter::{HookParts, Hooks, Ways};
use trueup::secret::Secrets;
use trueup::store::InboxBound;
use trueup::store::records::{Environment, Project};

use crate::world::house::House;
use crate::world::runtime::Runtime;

/// A house with its door open.
pub struct Door {
    pub house: House,
    pub catalog: Catalog,
    pub events: Events,
    pub socket: PathBuf,
    pub tcp: SocketAddr,
    pub nudged: Arc<Mutex<Vec<String>>>,
    pub bell: Arc<InboxBell>,
    pub shutdown: CancellationToken,
    pub server: JoinHandle<()>,
    local: Client,
    far: Client,
}

struct Nudged(Arc<Mutex<Vec<String>>>);

impl Nudge for Nudged {
    fn nudge(&self, environment: &EnvironmentRef) {
        self.0.lock().unwrap().push(environment.to_string());
    }
}

/// Knows one provider, as the registry knows a few.
struct OneProvider(Runtime);

impl Connect for OneProvider {
    fn connect(&self, project: &Project, environment: &Environment) -> Result<SharedProvider, String> {
        match environment.provider.as_str() {
            "memory" => self.0.connect(project, environment),
            other => Err(format!("there is no provider `{other}`; there is `memory`")),
        }
    }
}

/// The description that answers are held against.
pub fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| serde_json::from_str(&openapi::text()).unwrap())
}

impl Door {
    /// Opens the door; members of `operators` are operators on the socket.
    pub async fn open(house: House, operators: &str) -> Self {
        let settings = WebhookSettings { max_body_bytes: 5 << 20, inbox: InboxBound::default() };
        Door::open_with(house, operators, settings).await
    }

    /// Opens the door, with other settings for webhooks.
    pub async fn open_with(house: House, operators: &str, webhooks: WebhookSettings) -> Self {
        Door::open_at(house, operators, webhooks, None).await
    }

    /// Opens the door, where forges reach it under `public_url`.
    pub async fn open_at(house: House, operators: &str, webhooks: WebhookSettings, public_url: Option<&str>) -> Self {
        // Whoever was first set the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let socket = house.state.path().join("run/trueup.sock");
        let unix = listen::unix(&socket, operators).await.unwrap();
        let tcp = listen::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let nudged = Arc::new(Mutex::new(Vec::new()));
        let shutdown = CancellationToken::new();
        let bell = Arc::new(InboxBell::default());
        let secrets = Secrets::new(Arc::new(Audit::new(house.store.clone())), house.state.path()).unwrap();
        let connectors = Connectors::new(secrets.clone(), Engines::default());
        let metrics = Metrics::default();
        let hooks = Hooks::new(HookParts {
            store: house.store.clone(),
            ways: Ways::new(house.store.clone(), connectors.clone()),
            secrets: secrets.clone(),
            metrics: metrics.clone(),
            public_url: public_url.map(str::to_owned),
            state_dir: house.state.path().to_owned(),
        });
        let webhooks = Webhooks::new(house.store.clone(), secrets, webhooks, Arc::clone(&bell));
        let events = Events::new(house.store.clone());
        let catalog = Catalog::new(Parts {
            store: house.store.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
            connect: Arc::new(connectors),
            limit: Duration::from_secs(10),
        });
        let state = ApiState {
            catalog: catalog.clone(),
            events: events.clone(),
            metrics,
            store: house.store.clone(),
            passes: house.passes.clone(),
            syncs: house.syncs.clone(),
            audit: Audit::new(house.store.clone()),
            providers: Arc::new(OneProvider(house.runtime.clone())),
            webhooks,
            hooks,
            outbox: trueup::outbox::Outbox::new(house.store.clone()),
            nudge: Arc::new(Nudged(Arc::clone(&nudged))),
            operators: operators.into(),
            streams: Default::default(),
            shutdown: shutdown.clone(),
        };
        let server = tokio::spawn(serve(Listeners { unix, tcp: Some(tcp) }, state));
        let local = Client::builder().unix_socket(socket.clone()).no_proxy().build().unwrap();
        let far = Client::builder().no_proxy().build().unwrap();
        Door { catalog, events, house, socket, tcp: address, nudged, bell, shutdown, server, local, far }
    }

    /// Asks over the Unix socket as whoever runs the tests: an admin.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.local.request(method.clone(), format!("http://trueup{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        checked(&method, path, request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Whether it was said, since this was asked last, that something is in the inbox once more.
    pub fn rung_again(&self) -> bool {
        self.bell.is_again()
    }

    /// The raw answer over the Unix socket.
    pub async fn raw(&self, request: impl FnOnce(&Client) -> reqwest::RequestBuilder) -> reqwest::Response {
        request(&self.local).send().await.unwrap()
    }

    /// Asks over TCP with a token, or none.
    pub async fn remote(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request =
            Client::builder().no_proxy().build().unwrap().request(method.clone(), format!("http://{}{path}", self.tcp));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        checked(&method, path, request.send().await.unwrap()).await
    }

    /// A token of a role, known to the daemon.
    pub async fn token(&self, role: Role) -> String {
        let token = format!("test-token-of-{}", role.word());
        let mut hash = [0u8; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        self.house.store.add_token(role.word(), role, hash, jiff::Timestamp::now()).await.unwrap();
        token
    }

    /// Closes the door and waits until the server has ended.
    pub async fn close(self) -> House {
        self.shutdown.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(30), self.server).await.unwrap().unwrap();
        self.house
    }
}

/// The status and body of an answer, which must be what the description says it is.
async fn checked(method: &Method, path: &str, response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    let header = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let media = header.as_deref().and_then(|value| value.split(';').next()).map(str::to_owned);
    let text = response.text().await.unwrap();
    let body = match media.as_deref() {
        Some("application/json" | "application/problem+json") => serde_json::from_str(&text).unwrap(),
        _ => Value::String(text),
    };
    let operation = match operation(method, path) {
        Some(operation) => operation,
        None => {
            assert_eq!(
                media.as_deref(),
                Some("application/problem+json"),
                "{method} {path} is undescribed and answers"
            );
            return (status, body);
        }
    };
    let responses = &operation["responses"];
    let described = responses.get(status.as_str()).unwrap_or(&responses["default"]);
    match media {
        None => {
            assert!(described.get("content").is_none(), "{method} {path} {status}: no body, described as {described}")
        }
        Some(media) => {
            let content = described.pointer(&format!("/content/{}", media.replace('/', "~1")));
            let content = content.unwrap_or_else(|| panic!("{method} {path} {status}: {media} is not described"));
            if !body.is_string() {
                validate(&content["schema"], &body, &format!("{method} {path} {status}"));
            }
        }
    }
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(body["status"], json!(status.as_u16()), "{body}");
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
    (status, body)
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
        template.len() == parts.len() && template.iter().zip(&parts).all(same)
    };
    let paths = description()["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(template, _)| fits(template))?;
    item.get(method.as_str().to_lowercase())
}

fn validate(schema: &Value, body: &Value, what: &str) {
    let mut root = schema.clone();
    root["components"] = description()["components"].clone();
    let validator = jsonschema::validator_for(&root).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what} is not as described:\n{}\n{body:#}", wrong.join("\n"));
}

/// An answer that goes on, and what came of it so far.
pub struct Followed {
    answer: reqwest::Response,
    text: String,
}

impl Followed {
    /// Asks over the Unix socket, and reads no more than the head of the answer.
    pub async fn begin(door: &Door, path: &str) -> Self {
        let answer = door.raw(|client| client.get(format!("http://trueup{path}"))).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        Followed { answer, text: String::new() }
    }

    /// What came so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads on until this came, for at most a minute.
    pub async fn until(&mut self, wanted: &str) {
        let read = async {
            while !self.text.contains(wanted) {
                let more = self.answer.chunk().await.unwrap().unwrap_or_else(|| panic!("it ended: {}", self.text));
                self.text.push_str(&String::from_utf8_lossy(&more));
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert!(read.is_ok(), "{wanted:?} did not come: {}", self.text);
    }
}
