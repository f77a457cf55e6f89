//! A Docker Engine in memory: a stateful server on a Unix socket that speaks the part of API 1.41 that Trueup uses,
//! keeps containers, images, networks and volumes, and rejects every call and body that it does not know.
//!
//! It stands in where the real one cannot be made to do a thing: fail halfway, vanish, answer slowly, hold thousands.

#[path = "engine/routes.rs"]
mod routes;
#[path = "engine/state.rs"]
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

pub use state::State;

/// A running fake. Ends with its value; panics then if it was asked something that it does not know.
pub struct Engine {
    socket: PathBuf,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _directory: TempDir,
}

/// What the server and the test share.
pub struct Shared {
    state: Mutex<State>,
    events: tokio::sync::broadcast::Sender<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes wrong, once per matching call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes without an answer; `done` says whether the call took effect before.
    Drop { done: bool },
    /// No answer, ever.
    Hang,
    /// This status with this message.
    Answer(u16, String),
    /// A refusal that quotes the request's body.
    Quote,
    /// The container is replaced by one with another id before the call is looked at.
    Recreate,
    /// Every image name means this image id first.
    Retag(String),
}

impl Engine {
    /// Starts one on a socket and a thread of its own.
    pub fn start() -> Engine {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new()), events: tokio::sync::broadcast::channel(10_000).0 });
        let (stop, stopped) = oneshot::channel();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = UnixListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Engine { socket, shared, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    /// The setting `host` of the docker provider.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Looks at, or changes, what the Engine holds.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.shared.state())
    }

    /// Lets the next call go wrong whose `METHOD /path` (without the version) contains `call`.
    pub fn fault(&self, call: &str, fault: Fault) {
        self.fault_after(call, 0, fault);
    }

    /// The same, once `passed` such calls went well.
    pub fn fault_after(&self, call: &str, passed: usize, fault: Fault) {
        self.shared.state().faults.push((call.to_owned(), passed, fault));
    }

    /// Every call so far, as `METHOD /path`.
    pub fn calls(&self) -> Vec<String> {
        self.shared.state().calls.clone()
    }

    /// Closes every event stream.
    pub fn end_events(&self) {
        self.shared.events.send(String::new()).unwrap();
    }

    /// Tells of a container's change, as the Engine does.
    pub fn tell(&self, action: &str, id: &str) {
        let labels = self.shared.state().containers[id]["Config"]["Labels"].clone();
        routes::tell(&self.shared, action, id, &labels);
    }

    /// How many event streams are open.
    pub fn listeners(&self) -> usize {
        self.shared.events.receiver_count()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if std::thread::panicking() {
            return;
        }
        assert!(matches!(ended, Some(Ok(()))), "the fake engine panicked");
        let unexpected = self.shared.state().unexpected.clone();
        assert!(unexpected.is_empty(), "the fake engine was asked what it does not know: {unexpected:#?}");
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| routes::answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that goes, or a fault that drops the connection, is part of the play.
            if let Err(error) = connection.await
                && std::env::var_os("TRUEUP_TEST_TRACE").is_some()
            {
                eprintln!("fake engine: {error}");
            }
        });
    }
}

/// The labels of a replica, as Trueup sets them.
pub fn replica_labels(project: &str, environment: &str, service: &str, index: u32) -> Value {
    serde_json::json!({
        "dev.trueup.project": project,
        "dev.trueup.environment": environment,
        "dev.trueup.service": service,
        "dev.trueup.replica": index.to_string(),
        "dev.trueup.release": "1",
    })
}
