//! One Docker Engine: its address, the negotiated client, and the limit and the error that every call gets.
//!
//! Environments on the same Engine share it: one set of connections, one image cache, one event stream.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use tokio::sync::{Mutex as AsyncMutex, OnceCell, Semaphore};

use super::connection::{NEEDED, OLDEST};
use super::events::EventHub;
use super::image::ImageCache;
use super::settings::Address;
use super::transport;
use crate::secret::mask::CUT;

/// How long the Engine may take over a change, a stop's grace period aside.
pub(super) const CHANGE: Duration = Duration::from_secs(120);

/// How many reads one Engine is asked at once, by however many environments.
const READS_AT_ONCE: usize = 16;

/// How long a failed connection answers for those that follow.
const FAILURE_KEPT: Duration = Duration::from_millis(500);

/// Whether an Engine was spoken to yet.
#[derive(Debug)]
enum Negotiated {
    Not,
    With(Docker),
    Failed(Instant, EngineError),
}

/// Why the Engine did not do what it was asked. Messages hold no secret that Trueup sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// No answer: whether it was done is not known.
    #[error("{0}")]
    Unreachable(String),
    /// There is no such object.
    #[error("{0}")]
    Missing(String),
    /// The Engine answered, and the answer is no.
    #[error("{0}")]
    Refused(String),
}

/// Engines by address and read limit, for as long as a provider holds them.
type Known = BTreeMap<(Address, Duration), Weak<Engine>>;

/// The Engines that this process speaks to, each once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    known: Arc<Mutex<Known>>,
}

impl Engines {
    pub(super) fn at(&self, address: &Address, read_limit: Duration) -> Arc<Engine> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.clone(), read_limit);
        if let Some(engine) = known.get(&key).and_then(Weak::upgrade) {
            return engine;
        }
        let engine = Arc::new(Engine::new(address.clone(), read_limit));
        known.retain(|_, engine| engine.strong_count() > 0);
        known.insert(key, Arc::downgrade(&engine));
        engine
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) address: Address,
    /// How long it may take over a read.
    pub(super) read_limit: Duration,
    negotiated: AsyncMutex<Negotiated>,
    turns: Semaphore,
    host_name: OnceCell<String>,
    pub(super) images: ImageCache,
    pub(super) events: EventHub,
    /// The command probes that did not end in their time, by container: the Engine cannot end an exec.
    pub(super) overdue: Mutex<BTreeMap<String, String>>,
}

impl Engine {
    fn new(address: Address, read_limit: Duration) -> Self {
        Engine {
            address,
            read_limit,
            negotiated: AsyncMutex::new(Negotiated::Not),
            turns: Semaphore::new(READS_AT_ONCE),
            host_name: OnceCell::new(),
            images: ImageCache::default(),
            events: EventHub::default(),
            overdue: Mutex::default(),
        }
    }

    /// The client, its API version negotiated on first use.
    pub(super) async fn client(&self) -> Result<Docker, EngineError> {
        let mut negotiated = self.negotiated.lock().await;
        match &*negotiated {
            Negotiated::With(docker) => return Ok(docker.clone()),
            // Whoever waited for this answer does not wait for the next one too.
            Negotiated::Failed(at, error) if at.elapsed() < FAILURE_KEPT => return Err(error.clone()),
            Negotiated::Not | Negotiated::Failed(..) => {}
        }
        match self.negotiate().await {
            Ok(docker) => {
                *negotiated = Negotiated::With(docker.clone());
                Ok(docker)
            }
            Err(error) => {
                *negotiated = Negotiated::Failed(Instant::now(), error.clone());
                Err(error)
            }
        }
    }

    async fn negotiate(&self) -> Result<Docker, EngineError> {
        let fresh = transport::client(&self.address).map_err(|e| self.explain(e))?;
        let docker = match tokio::time::timeout(self.read_limit, fresh.negotiate_version()).await {
            Ok(answer) => answer.map_err(|e| self.explain(e))?,
            Err(_) => return Err(self.late(self.read_limit)),
        };
        let version = docker.client_version();
        let (major, minor) = (version.major_version, version.minor_version);
        // What an older one leaves out of its answers would be taken for what is not set.
        if (major, minor) < OLDEST {
            return Err(EngineError::Refused(format!(
                "the Docker Engine at {} speaks API {major}.{minor}, which is too old; {NEEDED}",
                self.address
            )));
        }
        Ok(docker)
    }

    /// Asks the Engine something that changes nothing.
    pub(super) async fn read<T, F, Fut>(&self, ask: F) -> Result<T, EngineError>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        // Waiting for a turn is not waiting for the Engine: the limit counts from here on.
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(EngineError::Unreachable("Trueup is shutting down".to_owned()));
        };
        self.call(self.read_limit, ask).await
    }

    /// Asks the Engine one thing within `limit`.
    pub(super) async fn call<T, F, Fut>(&self, limit: Duration, ask: F) -> Result<T, EngineError>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let docker = self.client().await?;
        match tokio::time::timeout(limit, ask(docker)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                // An Engine that was exchanged for another version refuses the old number: negotiate again next time.
                if matches!(&error, Error::DockerResponseServerError { status_code: 400, message }
                    if message.contains("client version"))
                {
                    *self.negotiated.lock().await = Negotiated::Not;
                }
                Err(self.explain(error))
            }
            Err(_) => Err(self.late(limit)),
        }
    }

    /// The name of the host that the Engine runs on.
    pub(super) async fn host_name(&self) -> Result<&str, EngineError> {
        let ask = || async {
            let info = self.read(|docker| async move { docker.info().await }).await?;
            Ok(info.name.unwrap_or_default())
        };
        self.host_name.get_or_try_init(ask).await.map(String::as_str)
    }

    pub(super) fn late(&self, limit: Duration) -> EngineError {
        EngineError::Unreachable(format!(
            "the Docker Engine at {} did not answer within {} s",
            self.address,
            limit.as_secs()
        ))
    }

    /// An answer that leaves out what it must hold: nothing may be concluded from it.
    pub(super) fn incomplete(&self, what: &str) -> EngineError {
        EngineError::Unreachable(format!(
            "the answer of the Docker Engine at {} about {what} is incomplete",
            self.address
        ))
    }

    /// What an error of the client library means, and what to do about it.
    pub(super) fn explain(&self, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => EngineError::Missing(bounded(&message)),
            Error::DockerResponseServerError { message, .. } => EngineError::Refused(bounded(&message)),
            Error::DockerStreamError { error } => EngineError::Refused(bounded(&error)),
            Error::RequestTimeoutError => self.late(self.read_limit),
            Error::CertPathError { path } => EngineError::Refused(format!(
                "the TLS file {} cannot be read; check tls_ca, tls_cert and tls_key",
                path.display()
            )),
            Error::CertParseError { path } | Error::CertMultipleKeys { path, .. } => EngineError::Refused(format!(
                "the TLS file {} is not the PEM certificate or key that was expected",
                path.display()
            )),
            Error::JsonDataError { message, .. } => EngineError::Unreachable(format!(
                "the answer of the Docker Engine at {} is not understood: {}",
                self.address,
                bounded(&message)
            )),
            other => EngineError::Unreachable(self.unreachable(&other)),
        }
    }

    fn unreachable(&self, error: &Error) -> String {
        let here = &self.address;
        let chain = chain(error);
        let kind = io_kind(error);
        match (kind, here) {
            (Some(ErrorKind::PermissionDenied), Address::Unix(path)) => format!(
                "permission denied on {}; add the user that Trueup runs as to the group `docker` and start Trueup again",
                path.display()
            ),
            (Some(ErrorKind::NotFound), Address::Unix(path)) => format!(
                "no Docker Engine listens at {}: the socket does not exist; start it (systemctl start docker) or set `host`",
                path.display()
            ),
            (Some(ErrorKind::NotFound), Address::Ssh { program, .. }) => {
                format!("the program `{program}` is not installed; it carries the connection to {here}")
            }
            (Some(ErrorKind::ConnectionRefused), _) => {
                format!("nothing listens at {here}; start the Docker Engine (systemctl start docker) or set `host`")
            }
            (_, Address::Ssh { .. }) => format!(
                "the Docker Engine behind {here} cannot be reached ({chain}); `ssh` must log in without asking, and \
                 `docker system dial-stdio` must work there"
            ),
            _ => format!("the Docker Engine at {here} cannot be reached: {chain}"),
        }
    }
}

/// Engine messages are foreign bytes: one line, at most 600 characters. Where it is cut stands an ellipsis, by which
/// whoever masks it knows that a secret may have lost its end there.
pub(super) fn bounded(message: &str) -> String {
    const MOST: usize = 600;
    let mut line: String =
        message.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST + 1).collect();
    if let Some((at, _)) = line.char_indices().nth(MOST) {
        line.truncate(at);
        line.push(CUT);
    }
    if line.is_empty() { "(no message)".to_owned() } else { line }
}

fn io_kind(error: &Error) -> Option<ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = current.source();
    }
    None
}

/// The error and its sources, those that repeat what was said already left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(current) = source {
        let more = current.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = current.source();
    }
    bounded(&text)
}
