//! Are container registries understood, open and closed ones, and does a password never go where it must not?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use reqwest::Client;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use trueup::audit::Audit;
use trueup::integration::registry::Registry as Registered;
use trueup::integration::{Asker, Connect, Connectors, IntegrationProvider, IntegrationType, TestReport};
use trueup::oci::{Login, RegistryClient, RegistryError, RegistryPlace};
use trueup::provider::docker::Engines;
use trueup::secret::Secrets;
use trueup::store::Store;
use trueup::store::records::{Integration, IntegrationHealth};

use crate::docker_image::Registry;
use crate::world::backend;
use crate::world::house::scratch;

/// `trueup` with the password `hunter2` (bcrypt, cost 5).
const LOGIN: &str = "trueup:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

fn here() -> bool {
    backend::available("registry", Path::new("/usr/bin/docker-registry").exists())
}

/// Puts a manifest of nothing under each tag, as a push would; gives its digest.
async fn push(address: &str, repository: &str, tags: &[String], password: Option<&str>) -> String {
    // Whoever was first set the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = Client::builder().no_proxy().build().unwrap();
    let signed = |request: reqwest::RequestBuilder| match password {
        Some(password) => request.basic_auth("trueup", Some(password)),
        None => request,
    };
    let config = b"{}";
    let of = |bytes: &[u8]| {
        let hash: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hash}")
    };
    let uploads = format!("http://{address}/v2/{repository}/blobs/uploads/");
    let begun = signed(http.post(uploads)).send().await.unwrap();
    assert_eq!(begun.status().as_u16(), 202);
    let place = begun.headers()["location"].to_str().unwrap().to_owned();
    let put = signed(http.put(format!("{place}&digest={}", of(config)))).body(config.to_vec()).send().await.unwrap();
    assert_eq!(put.status().as_u16(), 201);
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{}"}},"layers":[]}}"#,
        of(config)
    );
    for tag in tags {
        let url = format!("http://{address}/v2/{repository}/manifests/{tag}");
        let put = signed(http.put(url)).header("content-type", media).body(manifest.clone()).send().await.unwrap();
        assert_eq!(put.status().as_u16(), 201);
    }
    of(manifest.as_bytes())
}

/// An installation's secrets and store, and a password in a file.
struct House {
    state: TempDir,
    store: Store,
    connectors: Connectors,
}

impl House {
    fn new() -> Self {
        let state = scratch();
        let store = Store::open(state.path()).unwrap();
        let secrets = Secrets::new(Arc::new(Audit::new(store.clone())), state.path()).unwrap();
        House { connectors: Connectors::new(secrets, Engines::default()), store, state }
    }

    fn password(&self, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let file = self.state.path().join("password");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("file://{}", file.display())
    }

    fn registered(&self, address: &str, auth: Option<&str>, settings: &[(&str, &str)]) -> Integration {
        Integration {
            name: "images".parse().unwrap(),
            kind: IntegrationType::Registry,
            provider: IntegrationProvider::Oci,
            endpoint: format!("http://{address}"),
            auth: auth.map(|auth| auth.parse().unwrap()),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            owner: "web".into(),
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        }
    }

    fn registry(&self, registered: &Integration) -> Registered {
        self.connectors.registry(registered, "olga").unwrap()
    }

    async fn test(&self, registered: &Integration) -> TestReport {
        let asker = Asker { actor: "olga", repository: None };
        TestReport::of(self.connectors.connect(registered, &asker).unwrap().test_connection().await, 0)
    }
}

#[tokio::test]
async fn an_open_registry_tells_tags_and_digests() {
    if !here() {
        return;
    }
    let server = Registry::start(None).await;
    // More than a page.
    let tags: Vec<String> = (0..1_005).map(|number| format!("v{number}")).collect();
    let digest = push(&server.address, "shop/web", &tags, None).await;
    let house = House::new();
    let images = house.registered(&server.address, None, &[("test_repository", "shop/web")]);
    let registry = house.registry(&images);
    let mut found = registry.tags("shop/web").await.unwrap();
    found.sort_by_key(|tag| tag[1..].parse::<u32>().unwrap());
    assert_eq!(found, tags);
    assert_eq!(registry.digest("shop/web", "v7").await.unwrap().as_str(), digest);
    assert_eq!(registry.digest("shop/web", &digest).await.unwrap().as_str(), digest);
    for error in [registry.digest("shop/web", "nope").await.unwrap_err(), registry.tags("shop/nope").await.unwrap_err()]
    {
        assert!(error.contains("has nothing of that name"), "{error}");
    }
    let report = house.test(&images).await;
    assert_eq!(report.status, IntegrationHealth::Healthy, "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.message == "shop/web has 1005 tags"), "{report:?}");
    let report = house.test(&house.registered(&server.address, None, &[("test_repository", "shop/nope")])).await;
    assert_eq!(report.status, IntegrationHealth::Degraded, "{report:?}");
}

#[tokio::test]
async fn a_closed_registry_takes_the_operators_login_and_no_other() {
    if !here() {
        return;
    }
    let server = Registry::start(Some(LOGIN)).await;
    let digest = push(&server.address, "shop/web", &["1".into()], Some("hunter2")).await;
    let house = House::new();
    let login = [("username", "trueup"), ("test_repository", "shop/web")];
    let images = house.registered(&server.address, Some(&house.password("hunter2\n")), &login);
    let registry = house.registry(&images);
    assert_eq!(registry.tags("shop/web").await.unwrap(), ["1"]);
    assert_eq!(registry.digest("shop/web", "1").await.unwrap().as_str(), digest);
    assert_eq!(house.test(&images).await.status, IntegrationHealth::Healthy);
    let audit = house.store.audit(10).await.unwrap();
    let resolved = audit.iter().find(|line| line.entry.operation == "secret resolved").unwrap();
    assert!(resolved.times >= 3 && resolved.entry.actor == "olga", "every resolution is written down: {resolved:?}");
    assert!(resolved.entry.target.ends_with("/password for integration images"), "{resolved:?}");

    let stranger = house.test(&house.registered(&server.address, None, &[])).await;
    assert_eq!(stranger.status, IntegrationHealth::Unhealthy);
    assert!(stranger.reason().unwrap().contains("refuses access without credentials"), "{stranger:?}");
    house.password("wrong-hunter3");
    let wrong = house.test(&images).await;
    assert!(wrong.reason().unwrap().contains("refuses access with these credentials"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("hunter"), "{wrong:?}");
}

#[tokio::test]
async fn what_is_no_registry_is_said_so() {
    let house = House::new();
    let gone = house.test(&house.registered("127.0.0.1:9", None, &[])).await;
    assert_eq!(gone.status, IntegrationHealth::Unhealthy);
    assert!(gone.reason().unwrap().contains("cannot be reached"), "{gone:?}");
}

/// A registry with a place for its tokens, and everything that was asked of both.
#[derive(Clone)]
struct World(Arc<Mutex<Ledger>>);

struct Ledger {
    /// The `realm` that the registry names.
    realm: String,
    /// Paths that are redirected, and where to.
    redirects: BTreeMap<String, String>,
    /// Whether the digest is said in a header.
    says_digest: bool,
    /// Method, path with query, and `Authorization` of every request.
    asked: Vec<(String, String, Option<String>)>,
}

const MANIFEST: &str = r#"{"schemaVersion":2}"#;

async fn answer(State(world): State<World>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let whole = request.uri().to_string();
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let mut state = world.0.lock().unwrap();
    state.asked.push((request.method().to_string(), whole, authorization.clone()));
    if let Some(target) = state.redirects.get(&path) {
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, target.clone())]).into_response();
    }
    if path == "/token" {
        return axum::Json(serde_json::json!({"token": "the-token"})).into_response();
    }
    if path.starts_with("/elsewhere/") || authorization.as_deref() == Some("Bearer the-token") {
        let mut headers = HeaderMap::new();
        if state.says_digest {
            headers.insert("docker-content-digest", format!("sha256:{}", "a".repeat(64)).parse().unwrap());
        }
        if path.ends_with("/tags/list") {
            // A page that names the next one on another host.
            headers.insert(header::LINK, "<http://localhost:1/v2/x/tags/list?last=1>; rel=\"next\"".parse().unwrap());
            return (headers, r#"{"name":"x","tags":["1"]}"#).into_response();
        }
        return (headers, MANIFEST).into_response();
    }
    let challenge = format!("Bearer realm=\"{}\",service=\"test\"", state.realm);
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}

impl World {
    /// A world, and the port at which it answers on every loopback address.
    async fn start() -> (World, u16) {
        let state = Ledger { realm: String::new(), redirects: BTreeMap::new(), says_digest: true, asked: Vec::new() };
        let world = World(Arc::new(Mutex::new(state)));
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        world.0.lock().unwrap().realm = format!("http://127.0.0.1:{port}/token");
        (world, port)
    }

    fn asked(&self) -> Vec<(String, String, Option<String>)> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

fn client(port: u16, token_hosts: &[&str]) -> RegistryClient {
    let place = RegistryPlace {
        host: format!("127.0.0.1:{port}"),
        plain: true,
        typed: true,
        token_hosts: token_hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    let login = Login { username: "trueup".into(), password: "hunter2".to_owned().into() };
    RegistryClient::new(place, Some(login), Duration::from_secs(10)).unwrap()
}

#[tokio::test]
async fn tokens_are_fetched_of_the_same_site_and_the_password_goes_nowhere_else() {
    let (world, port) = World::start().await;
    let registry = client(port, &[]);
    assert!(registry.digest("shop/web", "1").await.is_ok());
    let basic = Some("Basic dHJ1ZXVwOmh1bnRlcjI=".to_owned());
    let bearer = Some("Bearer the-token".to_owned());
    let manifest = "/v2/shop/web/manifests/1".to_owned();
    assert_eq!(
        world.asked(),
        [
            ("HEAD".into(), manifest.clone(), None),
            ("GET".into(), "/token?service=test&scope=repository%3Ashop%2Fweb%3Apull".into(), basic.clone()),
            ("HEAD".into(), manifest, bearer.clone()),
        ]
    );

    // The registry names another host as the place for its tokens: nobody asks there.
    world.0.lock().unwrap().realm = format!("http://localhost:{port}/token");
    let refused = registry.digest("shop/web", "1").await.unwrap_err();
    assert_eq!(refused, RegistryError::ForeignRealm { host: "localhost".into() });
    assert_eq!(world.asked().len(), 1, "no request with a password followed");
    // Unless the operator allows it.
    assert!(client(port, &["localhost"]).digest("shop/web", "1").await.is_ok());
    assert!(world.asked().iter().any(|(_, path, with)| path.starts_with("/token") && *with == basic));
}

#[tokio::test]
async fn redirects_and_next_pages_get_no_credential() {
    let (world, port) = World::start().await;
    let registry = client(port, &["localhost"]);
    // Another host, which the operator allowed to be asked at all.
    let elsewhere = format!("http://localhost:{port}/elsewhere/manifest");
    world.0.lock().unwrap().redirects.insert("/v2/shop/web/manifests/1".into(), elsewhere);
    assert!(registry.digest("shop/web", "1").await.is_ok());
    let asked = world.asked();
    let there = asked.iter().find(|(_, path, _)| path == "/elsewhere/manifest").unwrap();
    assert_eq!(there.2, None, "{asked:?}");
    // A host that nobody allowed is not asked.
    let target = "http://169.254.169.254/latest/meta-data".to_owned();
    world.0.lock().unwrap().redirects.insert("/v2/shop/web/manifests/1".into(), target);
    assert!(registry.digest("shop/web", "1").await.is_err());
    assert_eq!(registry.tags("x").await.unwrap(), ["1"], "a next page of another host ends the list");
}

#[tokio::test]
async fn a_digest_that_is_not_said_is_counted() {
    let (world, port) = World::start().await;
    world.0.lock().unwrap().says_digest = false;
    let hash: String = digest(&SHA256, MANIFEST.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(client(port, &[]).digest("x", "1").await.unwrap().as_str(), format!("sha256:{hash}"));
}

#[tokio::test]
async fn a_registry_that_only_a_repository_names_is_asked_at_public_addresses() {
    let (world, port) = World::start().await;
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::ffff:127.0.0.1]:{port}")] {
        let place = RegistryPlace { host, plain: false, typed: false, token_hosts: Vec::new() };
        let registry = RegistryClient::new(place, None, Duration::from_secs(10)).unwrap();
        let refused = registry.digest("x", "1").await.unwrap_err();
        assert!(matches!(refused, RegistryError::NotPublic(_)), "{refused}");
    }
    assert_eq!(world.asked(), []);
}
