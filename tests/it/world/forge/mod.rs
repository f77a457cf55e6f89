//! Forges as stateful worlds: an API over state that tests read and change, beside real repositories behind
//! `git http-backend`. Every request is held against the forge's own published description; what is not described, not
//! known, or not expected fails the test when its world ends.

pub mod bitbucket;
pub mod bitbucket_server;
pub mod description;
pub mod fault;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod repositories;
pub mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;
use trueup::forge::api::SharedForge;
use trueup::forge::{ForgeAuth, ForgeKind, ForgeSettings, RepositoryPath, connect};
use trueup::secret::{AuthRef, Fingerprinter, Secrets, Witness};

use crate::world::git_server;
use fault::{Fault, Planned};
use state::State;

/// The token that the worlds take.
pub const TOKEN: &str = "forge-token-hunter2";

/// One request to the API, taken apart.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// The path's parts below the API's base, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

impl Asked {
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str, default: usize) -> usize {
        self.query(name).map_or(default, |value| value.parse().unwrap())
    }

    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }

    pub fn line(&self) -> String {
        format!("{} /{}", self.method, self.path.join("/"))
    }
}

/// One answer of the API.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Reply { status, headers: Vec::new(), body: Some(body) }
    }

    pub fn empty(status: u16) -> Self {
        Reply { status, headers: Vec::new(), body: None }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// A page of a list, as GitHub, GitLab and Gitea cut it. The link points where nobody may go: whoever follows it
    /// and does not count fails.
    pub fn page(items: Vec<Value>, asked: &Asked, size: &str) -> Self {
        let (page, size) = (asked.number("page", 1), asked.number(size, 30));
        let more = items.len() > page * size;
        let items: Vec<Value> = items.into_iter().skip((page - 1) * size).take(size).collect();
        let reply = Reply::json(200, Value::Array(items));
        match more {
            true => {
                reply.header("link", r#"<http://169.254.169.254/latest?page=2>; rel="next", <http://x/>; rel="last""#)
            }
            false => reply,
        }
    }
}

/// What the world keeps behind its lock.
pub struct Inner {
    pub state: State,
    pub faults: Vec<Planned>,
    pub seen: Vec<Asked>,
    /// What must not have happened.
    pub violations: Vec<String>,
}

/// What server and tests share.
pub struct Shared {
    pub kind: ForgeKind,
    pub address: SocketAddr,
    pub root: PathBuf,
    pub inner: Mutex<Inner>,
}

/// A forge that runs; it ends, and says what went wrong, when it is dropped.
pub struct ForgeWorld {
    pub shared: Arc<Shared>,
    pub witness: Arc<Resolutions>,
    folder: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The resolutions of auth references, as the audit log would have them.
#[derive(Debug, Default)]
pub struct Resolutions(pub Mutex<Vec<String>>);

#[async_trait]
impl Witness for Resolutions {
    async fn resolved(&self, reference: &AuthRef, purpose: &str, actor: &str, _: Option<&str>) -> Result<(), String> {
        self.0.lock().unwrap().push(format!("{actor}: {purpose}: {reference}"));
        Ok(())
    }
}

impl ForgeWorld {
    /// An empty forge.
    pub fn start(kind: ForgeKind) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::Builder::new().prefix("trueup-forge-").tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner { state: State::default(), faults: Vec::new(), seen: Vec::new(), violations: Vec::new() };
        let root = folder.path().join("git");
        std::fs::create_dir(&root).unwrap();
        let shared = Arc::new(Shared { kind, address, root, inner: Mutex::new(inner) });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! { () = serve(listener, served) => {}, _ = stopped => {} }
            });
        });
        for (name, text) in [("token", TOKEN), ("app.pem", github::APP_KEY)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        ForgeWorld { shared, witness: Arc::default(), folder, stop: Some(stop), thread: Some(thread) }
    }

    pub fn kind(&self) -> ForgeKind {
        self.shared.kind
    }

    /// Where operators say that it is.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// A reference to a file of this world: `token` or `app.pem`.
    pub fn auth_ref(&self, file: &str) -> AuthRef {
        format!("file://{}", self.folder.path().join(file).display()).parse().unwrap()
    }

    /// The settings of an operator who signs in with the token.
    pub fn settings(&self) -> ForgeSettings {
        let auth = ForgeAuth::Token(self.auth_ref("token"));
        let mut settings = ForgeSettings::new(self.kind(), self.endpoint().parse().unwrap(), auth);
        settings.timeout = Duration::from_secs(10);
        settings
    }

    /// The settings of an operator who signs in as an App.
    pub fn app_settings(&self) -> ForgeSettings {
        let auth = ForgeAuth::App { app_id: github::APP_ID.into(), private_key: self.auth_ref("app.pem") };
        ForgeSettings { auth, ..self.settings() }
    }

    pub fn secrets(&self) -> Secrets {
        let witness: Arc<dyn Witness> = self.witness.clone();
        Secrets::with_fingerprinter(witness, Fingerprinter::with_key(b"forge world"))
    }

    /// The forge, signed in to with the token.
    pub fn connect(&self) -> SharedForge {
        connect(&self.settings(), &self.secrets()).unwrap()
    }

    /// The forge, signed in to as an App.
    pub fn connect_app(&self) -> SharedForge {
        connect(&self.app_settings(), &self.secrets()).unwrap()
    }

    /// Everything behind the lock.
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request of this method whose path holds `part` meets with a fault.
    pub fn fault(&self, method: &str, part: &str, fault: Fault) {
        let planned = Planned { method: method.to_owned(), part: part.to_owned(), fault };
        self.inner().faults.push(planned);
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner().seen)
    }

    /// The same, as `METHOD /path`.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Asked::line).collect()
    }

    /// The requests that change something, since the last call.
    pub fn writes(&self) -> Vec<String> {
        self.seen().iter().filter(|asked| asked.method != "GET").map(Asked::line).collect()
    }
}

/// A path that a test knows to be one.
pub fn repository(path: &str) -> RepositoryPath {
    path.parse().unwrap()
}

impl Drop for ForgeWorld {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        let violations = std::mem::take(&mut self.inner().violations);
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "the forge was asked what nobody may ask:\n{}", violations.join("\n"));
        }
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(Arc::clone(&shared), request));
            let io = hyper_util::rt::TokioIo::new(stream);
            // Clients that go away are part of the tests.
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
        });
    }
}

/// Where the API of each forge is.
fn base(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "/api/v3/",
        ForgeKind::Gitlab => "/api/v4/",
        ForgeKind::Gitea | ForgeKind::Forgejo => "/api/v1/",
        ForgeKind::Bitbucket => "/2.0/",
        ForgeKind::BitbucketServer => "/rest/",
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<fault::Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    if path.contains(".git/") {
        return Ok(git_server::cgi(&shared.root, request, true).await);
    }
    let Some(below) = path.strip_prefix(base(shared.kind)) else {
        let mut inner = shared.inner.lock().unwrap();
        inner.violations.push(format!("{} {path} is not below the API", request.method()));
        return Ok(Response::builder().status(404).body(git_server::whole(vec![])).unwrap());
    };
    let asked = take_apart(below.to_owned(), request).await;
    let (planned, reply) = {
        let mut inner = shared.inner.lock().unwrap();
        inner.seen.push(asked.clone());
        let hit = inner.faults.iter().position(|planned| planned.hits(&asked));
        let planned = hit.map(|index| inner.faults.remove(index).fault);
        let reply = match &planned {
            Some(fault) if !fault.acts() => None,
            _ => Some(act(shared.kind, &mut inner, &asked)),
        };
        (planned, reply)
    };
    fault::send(planned, reply).await
}

async fn take_apart(below: String, request: Request<Incoming>) -> Asked {
    let decode = |part: &str| {
        let url = reqwest::Url::parse(&format!("http://x/?a={}", part.replace('+', "%2B"))).unwrap();
        url.query_pairs().next().unwrap().1.into_owned()
    };
    let path = below.split('/').map(decode).collect();
    let query = request.uri().query().unwrap_or_default();
    let query = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
    let query = query.query_pairs().into_owned().collect();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Asked { method: parts.method.to_string(), path, query, headers: parts.headers, body }
}

/// Does what is asked, and holds question and answer against the description.
fn act(kind: ForgeKind, inner: &mut Inner, asked: &Asked) -> Reply {
    let described = description::check(kind, asked);
    if let Err(wrong) = &described {
        inner.violations.push(format!("{}: {wrong}", asked.line()));
    }
    let handle = match kind {
        ForgeKind::Github => github::handle,
        ForgeKind::Gitlab => gitlab::handle,
        ForgeKind::Gitea | ForgeKind::Forgejo => gitea::handle,
        ForgeKind::Bitbucket => bitbucket::handle,
        ForgeKind::BitbucketServer => bitbucket_server::handle,
    };
    let Some(reply) = handle(&mut inner.state, asked) else {
        inner.violations.push(format!("{} {:?}: this world has no such thing", asked.line(), asked.query));
        return Reply::empty(501);
    };
    if let (Ok(Some(operation)), 200..=299) = (&described, reply.status)
        && !operation["responses"].as_object().unwrap().contains_key(&reply.status.to_string())
    {
        inner.violations.push(format!("{}: the world answers {}, which is undescribed", asked.line(), reply.status));
    }
    reply
}
