//! A smart-HTTP Git server on loopback: the real `git http-backend` behind a small CGI shim, which can also refuse,
//! redirect, hang, truncate and talk nonsense. And repositories to serve, made with the real `git`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use tokio::io::AsyncWriteExt;

/// A `git` that knows nothing of this machine's or its user's configuration.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@acme.dev")])
        .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@acme.dev")])
        .stdin(Stdio::null());
    command
}

/// A repository with a working copy, in a folder that goes away with it.
pub struct Repo {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Repo {
    /// An empty repository whose branch is `main`.
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-git-").tempdir().unwrap();
        let path = folder.path().join("shop");
        std::fs::create_dir(&path).unwrap();
        let repo = Repo { folder, path };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// A repository with one commit of one file.
    pub fn with(file: &str, content: &str) -> Self {
        let repo = Repo::empty();
        repo.commit(file, content);
        repo
    }

    /// A repository whose one file has so many bytes and does not compress.
    pub fn incompressible(size: usize) -> Self {
        let repo = Repo::empty();
        let mut state = 88_172_645_463_325_252_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(size)
        .collect();
        std::fs::write(repo.path.join("noise"), bytes).unwrap();
        repo.commit_all();
        repo
    }

    /// Runs git in the working copy, and returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = git(&self.path).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes a file, commits everything, and returns the commit.
    pub fn commit(&self, file: &str, content: &str) -> String {
        let path = self.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.commit_all()
    }

    /// Commits what is in the working copy, and returns the commit.
    pub fn commit_all(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// What the server does with requests.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Serves Git, version 2.
    Serve,
    /// Serves Git as a server that only knows version 0.
    ServeV0,
    /// Redirects everything whose path begins with the first to the second, keeping the rest; serves what does not.
    Redirect(String, String),
    /// Accepts and never answers.
    Hang,
    /// Of answers longer than this, sends so many bytes and then nothing more.
    HangAfter(usize),
    /// Of answers longer than this, sends so many bytes and breaks the connection.
    Truncate(usize),
    /// Answers with a status.
    Status(u16),
    /// Answers with Git's error line, which says again so many times who asked.
    Echo(usize),
    /// Answers these bytes with this content type; `None` is what Git expects.
    Say(Vec<u8>, Option<&'static str>),
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Bytes,
}

struct State {
    root: PathBuf,
    mode: Mutex<Mode>,
    login: Mutex<Option<String>>,
    seen: Mutex<Vec<Seen>>,
}

/// A running server; ends when it is dropped.
pub struct GitServer {
    pub address: SocketAddr,
    state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl GitServer {
    /// Serves the repositories beneath `root`.
    pub fn start(root: &Path) -> Self {
        let state = Arc::new(State {
            root: root.to_owned(),
            mode: Mutex::new(Mode::Serve),
            login: Mutex::new(None),
            seen: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! { () = serve(listener, shared) => {}, _ = stopped => {} }
            });
        });
        GitServer { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// The URL of a repository beneath the root.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Sets what it does from now on.
    pub fn mode(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// Demands a login by HTTP basic authentication.
    pub fn demand(&self, user: &str, password: &str) {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        *self.state.login.lock().unwrap() = Some(format!("Basic {pair}"));
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = state.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(state.clone(), request));
            let io = hyper_util::rt::TokioIo::new(stream);
            // Clients that go away are part of the tests.
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
        });
    }
}

pub type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

pub fn whole(bytes: Vec<u8>) -> UnsyncBoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Sends `bytes` and then either nothing ever again or a broken connection.
pub fn partial(bytes: Vec<u8>, hang: bool) -> UnsyncBoxBody<Bytes, std::io::Error> {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
    let rest: futures_util::stream::BoxStream<'static, _> = if hang {
        Box::pin(futures_util::stream::pending())
    } else {
        Box::pin(futures_util::stream::iter([Err(std::io::Error::other("cut"))]))
    };
    BodyExt::boxed_unsync(StreamBody::new(futures_util::StreamExt::chain(first, rest)))
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap_or_default().to_owned());
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Ok(Response::builder().status(400).body(whole(b"cut short".to_vec())).unwrap());
    };
    let request = Request::from_parts(parts, Full::new(body.clone()));
    let (method, authorized) = (request.method().to_string(), authorization.clone());
    let seen = Seen { method, path: path.clone(), authorization: authorized, body };
    state.seen.lock().unwrap().push(seen);
    let mode = state.mode.lock().unwrap().clone();
    let login = state.login.lock().unwrap().clone();
    if login.is_some() && login != authorization {
        let refused = Response::builder().status(401).header("www-authenticate", "Basic realm=\"git\"");
        return Ok(refused.body(whole(b"who are you?".to_vec())).unwrap());
    }
    Ok(match mode {
        Mode::Serve => cgi(&state.root, request, true).await,
        Mode::ServeV0 => cgi(&state.root, request, false).await,
        Mode::Redirect(from, to) => match path.strip_prefix(&from) {
            Some(rest) => {
                let location = format!("{to}{rest}");
                Response::builder().status(302).header("location", location).body(whole(vec![])).unwrap()
            }
            None => cgi(&state.root, request, true).await,
        },
        Mode::Hang => std::future::pending().await,
        Mode::HangAfter(count) => cut(cgi(&state.root, request, true).await, count, true).await,
        Mode::Truncate(count) => cut(cgi(&state.root, request, true).await, count, false).await,
        Mode::Status(status) => Response::builder().status(status).body(whole(b"no".to_vec())).unwrap(),
        Mode::Echo(times) => {
            let said = format!("ERR {}", authorization.unwrap_or_default().repeat(times));
            let kind = if request.method() == "GET" { "advertisement" } else { "result" };
            let expected = format!("application/x-git-upload-pack-{kind}");
            let line = format!("{:04x}{said}", said.len() + 4);
            Response::builder().header("content-type", expected).body(whole(line.into_bytes())).unwrap()
        }
        Mode::Say(bytes, content_type) => {
            let kind = if request.method() == "GET" { "advertisement" } else { "result" };
            let expected = format!("application/x-git-upload-pack-{kind}");
            Response::builder().header("content-type", content_type.unwrap_or(&expected)).body(whole(bytes)).unwrap()
        }
    })
}

async fn cut(answer: Answer, count: usize, hang: bool) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    if bytes.len() <= count {
        return Response::from_parts(parts, whole(bytes.to_vec()));
    }
    parts.headers.remove("content-length");
    Response::from_parts(parts, partial(bytes[..count].to_vec(), hang))
}

/// Runs `git http-backend` (RFC 3875) for one request.
pub async fn cgi<B>(root: &Path, request: Request<B>, v2: bool) -> Answer
where
    B: hyper::body::Body,
    B::Error: std::fmt::Debug,
{
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut command = tokio::process::Command::from(git(root));
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if v2 {
        command.env("GIT_PROTOCOL", header("git-protocol"));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = tokio::spawn(async move { input.write_all(&body).await });
    let output = child.wait_with_output().await.unwrap().stdout;
    writer.await.unwrap().ok();
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI head");
    let mut answer = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value.split(' ').next().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(whole(output[end + 4..].to_vec())).unwrap()
}
