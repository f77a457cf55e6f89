//! `trueup supervise`: the process that owns what the local provider runs, so that a restart of the daemon, or of the
//! supervisor itself, leaves it alone.
//!
//! Knows nothing of repositories, plans or drift: it is told what to run. Its state is on disk ([`record`]) before it
//! acts; processes are known by number, start time and boot ([`process`]); each replica has one keeper ([`keeper`]).

pub mod cgroup;
mod checkout;
mod environment;
mod exec;
mod keeper;
mod launch;
mod limits;
mod log;
pub mod policy;
mod prepare;
mod probe;
pub mod process;
pub mod protocol;
mod record;
mod registry;
pub mod replica;
mod server;
mod session;
mod user;
mod view;

use std::fs::{File, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;
use tokio::sync::broadcast;

pub(super) use crate::provider::local::supervisor::environment::RESERVED;
pub use crate::provider::local::supervisor::exec::{ExecError, VERB, supervise_exec};
use crate::provider::local::supervisor::keeper::{Ground, Task};
use crate::provider::local::supervisor::limits::Limits;
use crate::provider::local::supervisor::policy::Pace;
use crate::provider::local::supervisor::record::Layout;
use crate::provider::local::supervisor::registry::Registry;
use crate::provider::local::supervisor::server::Peers;
pub(super) use crate::provider::local::supervisor::session::MARK;
use crate::settings::{PortRange, SuperviseSettings};

/// How often logs are held against their limit, and the socket is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a supervisor is told.
#[derive(Clone, Debug)]
pub struct SuperviseOptions {
    /// Its socket.
    pub socket: PathBuf,
    /// Its folder: replicas, their checkouts, logs and values.
    pub state: PathBuf,
    /// The ports that it may give out.
    pub ports: PortRange,
    /// Users beside root and its own that may speak to it: the daemon's, where that is another.
    pub peers: Vec<String>,
    /// Which cgroup it uses.
    pub cgroup: cgroup::Choice,
    /// Size from which a log is cut back, in bytes; as much again is kept aside.
    pub log_limit: u64,
    /// How restarts are paced.
    pub pace: Pace,
    /// What becomes of the replicas when it is told to end.
    pub at_end: AtEnd,
    /// This program: a file that answers the verb [`VERB`].
    pub binary: PathBuf,
}

/// What becomes of the replicas when the supervisor is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// They go on; the next supervisor takes them over.
    LetRun,
    /// They are stopped: for `quickstart`, which leaves nothing behind.
    Stop,
}

impl SuperviseOptions {
    /// The defaults, as the unit uses them.
    pub fn new(socket: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        let SuperviseSettings { state_dir: _, port_range, peers, cgroup: _, log_limit } = SuperviseSettings::default();
        SuperviseOptions {
            socket: socket.into(),
            state: state.into(),
            ports: port_range,
            peers,
            cgroup: cgroup::Choice::Detect,
            log_limit,
            pace: Pace::default(),
            at_end: AtEnd::LetRun,
            // Stays right when the file is replaced by an upgrade.
            binary: PathBuf::from("/proc/self/exe"),
        }
    }
}

/// Why a supervisor could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Another one is at work.
    #[error("another supervisor is at work in {}: only one may own its processes", .0.display())]
    Taken(PathBuf),
    /// The state folder cannot be used.
    #[error("the state folder {} cannot be used", .path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("the socket {} cannot be made", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A user that may speak to it does not exist.
    #[error("the user `{0}` that may speak to the supervisor is not in /etc/passwd")]
    Peer(String),
}

/// Supervises until `shutdown` completes. What runs is found again first; only then does the socket answer.
///
/// # Errors
/// [`SuperviseError`]; what runs is left as it is.
pub async fn supervise(
    options: SuperviseOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), SuperviseError> {
    let state_error = |source: io::Error| SuperviseError::State { path: options.state.clone(), source };
    let layout = Layout::open(&options.state).map_err(state_error)?;
    let _lock = lock(&layout.lock(), &options.state)?;
    let peers = peers(&options.peers, &layout).map_err(|unknown| match unknown {
        Ok(name) => SuperviseError::Peer(name),
        Err(error) => state_error(error),
    })?;
    let ground = Ground {
        layout,
        binary: options.binary.clone(),
        boot: process::boot_id().map_err(state_error)?,
        pace: options.pace,
        limits: Limits::find(&options.cgroup),
        changes: broadcast::Sender::new(256),
    };
    let backend = ground.limits.backend();
    tracing::info!(cgroup = ?backend.cgroup, memory = backend.memory, cpu = backend.cpu, why_not = backend.why_not, "limits");
    let registry = Arc::new(Registry::open(Arc::new(ground), options.ports).await.map_err(state_error)?);
    let listener = listen(&options.socket, !peers.others.is_empty())
        .map_err(|source| SuperviseError::Socket { path: options.socket.clone(), source })?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "systemd could not be told that the supervisor is ready");
    }
    tracing::info!(socket = %options.socket.display(), replicas = registry.ids().await.len(), "supervising");
    let serving = tokio::spawn(hold_socket(options.socket.clone(), listener, Arc::clone(&registry), peers));
    let logs = tokio::spawn(watch_logs(Arc::clone(&registry), options.log_limit));
    shutdown.await;
    serving.abort();
    logs.abort();
    end(&registry, options.at_end).await;
    record::delete_file(&options.socket)
        .map_err(|source| SuperviseError::Socket { path: options.socket.clone(), source })
}

/// Answers, and makes the socket again where someone took it away: a cleaner of temporary files, or systemd with the
/// daemon's runtime folder.
async fn hold_socket(socket: PathBuf, listener: UnixListener, registry: Arc<Registry>, peers: Peers) {
    // Ends what it holds when this task ends.
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(server::serve(listener, Arc::clone(&registry), peers.clone()));
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        // What cannot be seen is not taken for gone.
        if socket.try_exists().unwrap_or(true) {
            continue;
        }
        match listen(&socket, !peers.others.is_empty()) {
            Ok(listener) => {
                tracing::warn!(socket = %socket.display(), "the socket was gone and was made again");
                serving.shutdown().await;
                serving.spawn(server::serve(listener, Arc::clone(&registry), peers.clone()));
            }
            Err(error) => tracing::error!(socket = %socket.display(), %error, "the socket is gone"),
        }
    }
}

async fn watch_logs(registry: Arc<Registry>, limit: u64) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        registry.rotate_logs(limit).await;
    }
}

async fn end(registry: &Registry, at_end: AtEnd) {
    if at_end == AtEnd::Stop {
        for id in registry.ids().await {
            if let Err(error) = registry.order(&id, Task::Stop).await {
                tracing::error!(replica = %id, %error, "could not be stopped");
            }
        }
    }
    registry.let_go().await;
}

// Held, as long as the file is open, by the kernel: a crash frees it.
fn lock(file: &Path, state: &Path) -> Result<File, SuperviseError> {
    let error = |source: io::Error| SuperviseError::State { path: state.to_owned(), source };
    let file = File::options().write(true).create(true).truncate(false).open(file).map_err(error)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SuperviseError::Taken(state.to_owned())),
        Err(errno) => Err(error(errno.into())),
    }
}

// The first further user is the daemon, which lays checkouts into the staging folder.
fn peers(names: &[String], layout: &Layout) -> Result<Peers, Result<String, io::Error>> {
    let mut others = Vec::new();
    for name in names {
        others.push(user::by_name(name).map_err(Err)?.ok_or_else(|| Ok(name.clone()))?.uid);
    }
    if let Some(daemon) = others.first() {
        std::os::unix::fs::chown(layout.staging(), Some(*daemon), None).map_err(Err)?;
    }
    Ok(Peers { own: rustix::process::geteuid().as_raw(), others })
}

fn listen(socket: &Path, for_others: bool) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // The state's lock is ours, so a socket that is there was left by a supervisor that is no more.
    record::delete_file(socket)?;
    let listener = UnixListener::bind(socket)?;
    // Who speaks is checked for each connection; the mode only keeps others from trying.
    std::fs::set_permissions(socket, Permissions::from_mode(if for_others { 0o666 } else { 0o600 }))?;
    Ok(listener)
}

/// The number of a user of this machine; `None` where there is none of that name.
pub(super) fn user_by_name(name: &str) -> io::Result<Option<u32>> {
    Ok(user::by_name(name)?.map(|user| user.uid))
}
