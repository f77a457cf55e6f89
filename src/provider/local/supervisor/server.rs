//! The supervisor's side of the socket: who may speak, what was asked, what is answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use crate::provider::local::supervisor::keeper::Task;
use crate::provider::local::supervisor::log;
use crate::provider::local::supervisor::protocol::{
    Envelope, Fault, Hello, PROTOCOL, REPLY_MAX, REQUEST_MAX, Reply, Request,
};
use crate::provider::local::supervisor::registry::Registry;
use crate::provider::local::supervisor::replica::{Phase, RunAs};
use crate::provider::local::supervisor::{environment, prepare, probe};

/// Conversations at once; more wait. Those that only listen (to changes, to a log) are counted apart, or a daemon with
/// as many environments would leave no room to ask for anything.
const CONVERSATIONS: usize = 256;

/// Listeners at once; more are refused, and look by themselves instead. With the conversations they stay below the
/// thousand file handles that a process has by default.
const LISTENERS: usize = 512;

/// How long a conversation may stand silent.
const IDLE: Duration = Duration::from_secs(60);

/// How long an answer may take to leave.
const SEND_WITHIN: Duration = Duration::from_secs(30);

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(150);

/// The most lines of a log in one answer.
const LINES_MAX: usize = 10_000;

/// Who may speak to the supervisor, beside root.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    /// The supervisor's own user.
    pub(super) own: u32,
    /// Users that the operator named.
    pub(super) others: Vec<u32>,
}

impl Peers {
    fn admits(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own || self.others.contains(&uid)
    }
}

type Line = Framed<UnixStream, LinesCodec>;

/// Answers until the listener fails for good, which it does not.
pub(super) async fn serve(listener: UnixListener, registry: Arc<Registry>, peers: Peers) {
    let room = Arc::new(Semaphore::new(CONVERSATIONS));
    let listeners = Arc::new(Semaphore::new(LISTENERS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file handles, most likely: room comes back as conversations end.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let uid = match stream.peer_cred() {
            Ok(peer) => peer.uid(),
            Err(error) => {
                tracing::error!(%error, "a connection was dropped: its user is not known");
                continue;
            }
        };
        if !peers.admits(uid) {
            tracing::warn!(uid, "a connection was refused: neither root nor the supervisor's user");
            tokio::spawn(async move {
                let fault = Fault::refused(format!(
                    "the supervisor does not listen to uid {uid}: name that user with `trueup supervise --peer`"
                ));
                let mut line = Framed::new(stream, LinesCodec::new());
                if let Err(error) = send(&mut line, &Reply::Fault(fault)).await {
                    tracing::debug!(%error, "the refusal was not heard");
                }
            });
            continue;
        }
        let (registry, own) = (Arc::clone(&registry), peers.own);
        let places = Places { place, listeners: Arc::clone(&listeners) };
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &registry, uid == own, places).await {
                tracing::debug!(%error, "a conversation broke off");
            }
        });
    }
}

/// The place that a conversation takes, and those for listeners.
struct Places {
    place: OwnedSemaphorePermit,
    listeners: Arc<Semaphore>,
}

impl Places {
    /// Exchanges the place of a conversation for a listener's, to be held while it listens.
    fn listen(self) -> Result<OwnedSemaphorePermit, Fault> {
        let listener = self.listeners.try_acquire_owned().map_err(|_| {
            Fault::refused(format!(
                "{LISTENERS} listen to the supervisor already, which is the most: ask again instead"
            ))
        })?;
        drop(self.place);
        Ok(listener)
    }
}

async fn converse(stream: UnixStream, registry: &Registry, is_own: bool, places: Places) -> io::Result<()> {
    let mut line = Framed::new(stream, LinesCodec::new_with_max_length(REQUEST_MAX));
    loop {
        let said = match tokio::time::timeout(IDLE, line.next()).await {
            Ok(Some(Ok(said))) => zeroize::Zeroizing::new(said),
            Ok(Some(Err(LinesCodecError::MaxLineLengthExceeded))) => {
                let fault = Fault::refused(format!("a request may have {REQUEST_MAX} bytes at most"));
                return send(&mut line, &Reply::Fault(fault)).await;
            }
            Ok(Some(Err(LinesCodecError::Io(error)))) => return Err(error),
            Ok(None) | Err(_) => return Ok(()),
        };
        match understand(&said) {
            Ok(request @ (Request::Watch { .. } | Request::Follow { .. })) => {
                let _listener = match places.listen() {
                    Ok(listener) => listener,
                    Err(fault) => return send(&mut line, &Reply::Fault(fault)).await,
                };
                return answer(&mut line, registry, request, is_own).await;
            }
            Ok(request) => answer(&mut line, registry, request, is_own).await?,
            Err(fault) => return send(&mut line, &Reply::Fault(fault)).await,
        }
    }
}

fn understand(said: &str) -> Result<Request, Fault> {
    // The version first: what another version means by its words is not ours to guess.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(said)
        .map_err(|_| Fault::refused("a request is one line of JSON with `version` and `body`"))?;
    if version != PROTOCOL {
        return Err(Fault::refused(format!(
            "this supervisor speaks version {PROTOCOL} of the protocol, not {version}: daemon and supervisor must be \
             of the same release (restarting the supervisor leaves what runs alone)"
        )));
    }
    // The error's text may quote the request, which may hold a secret: only its place is told.
    let envelope: Envelope<Request> = serde_json::from_str(said)
        .map_err(|error| Fault::refused(format!("the request is not understood (column {})", error.column())))?;
    Ok(envelope.body)
}

async fn answer(line: &mut Line, registry: &Registry, request: Request, is_own: bool) -> io::Result<()> {
    let done = |outcome: Result<(), Fault>| outcome.map_or_else(Reply::Fault, |()| Reply::Done);
    let reply = match request {
        Request::Hello => hello(registry),
        Request::Check { user, ports } => check(registry, &user, ports, is_own).await,
        Request::List { environment } => registry.list(&environment).await.map_or_else(Reply::Fault, Reply::Replicas),
        Request::Look { id } => {
            registry.look(&id).await.map_or_else(Reply::Fault, |view| Reply::Replica(Box::new(view)))
        }
        Request::Watch { environment } => {
            let changes = registry.ground().changes.subscribe();
            return watch(line, changes, &environment).await;
        }
        Request::Prepare { run, blueprint, env } => {
            tracing::info!(%run, replica = %blueprint.id(), "prepare");
            match own_user(&blueprint.user, is_own) {
                Ok(()) => {
                    let made = registry.prepare(*blueprint, env).await;
                    made.map_or_else(Reply::Fault, |view| Reply::Replica(Box::new(view)))
                }
                Err(why) => Reply::Fault(Fault::refused(why)),
            }
        }
        Request::Start { run, id } => {
            tracing::info!(%run, replica = %id, "start");
            done(registry.order(&id, Task::Start).await)
        }
        Request::Stop { run, id } => {
            tracing::info!(%run, replica = %id, "stop");
            done(registry.order(&id, Task::Stop).await)
        }
        Request::Remove { run, id } => {
            tracing::info!(%run, replica = %id, "remove");
            done(registry.remove(&id).await)
        }
        Request::Update { run, id, change } => {
            tracing::info!(%run, replica = %id, ?change, "update");
            done(registry.order(&id, Task::Change(change)).await)
        }
        Request::Probe { id, argv, timeout } => match registry.published(&id).await {
            Ok(published) => {
                Reply::Probed(probe::probe(registry.ground(), &id, &published, argv, timeout.duration()).await)
            }
            Err(fault) => Reply::Fault(fault),
        },
        Request::Logs { id, lines } => match registry.published(&id).await {
            Ok(_) => log::tail(&registry.ground().layout.log(&id), lines.min(LINES_MAX)).map_or_else(
                |error| Reply::Fault(Fault::failed(format!("reading its log: {error}"))),
                |(lines, _)| Reply::Lines(lines),
            ),
            Err(fault) => Reply::Fault(fault),
        },
        Request::Follow { id, lines } => return follow(line, registry, &id, lines.min(LINES_MAX)).await,
    };
    send(line, &reply).await
}

fn hello(registry: &Registry) -> Reply {
    let ground = registry.ground();
    Reply::Hello(Hello {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        uid: rustix::process::geteuid().as_raw(),
        staging: ground.layout.staging().display().to_string(),
        limits: ground.limits.backend(),
        ports: registry.ports(),
    })
}

// Whoever asks for the supervisor's own user must be that user: a daemon without privileges gains none here.
fn own_user(user: &RunAs, is_own: bool) -> Result<(), String> {
    match user {
        RunAs::Own if !is_own => Err("the daemon and the supervisor run as different users, so `allow_own_user` has \
                                      no meaning here: set the environment's `run_as`"
            .to_owned()),
        RunAs::Own | RunAs::User(_) => Ok(()),
    }
}

async fn check(registry: &Registry, user: &RunAs, ports: Option<crate::settings::PortRange>, is_own: bool) -> Reply {
    let mut problems = Vec::new();
    problems.extend(own_user(user, is_own).err());
    problems.extend(environment::user(user).err());
    let mut free_ports = 0;
    match prepare::allowed_range(ports, registry.ports()) {
        Ok(range) => free_ports = registry.free_ports(range).await,
        Err(fault) => problems.push(fault.message),
    }
    Reply::Checked { problems, free_ports }
}

async fn watch(
    line: &mut Line,
    mut changes: broadcast::Receiver<crate::ids::EnvironmentRef>,
    environment: &crate::ids::EnvironmentRef,
) -> io::Result<()> {
    // Said once at the start, so that the asker knows that it misses nothing from here on.
    send(line, &Reply::Changed).await?;
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(changed) if changed == *environment => send(line, &Reply::Changed).await?,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => send(line, &Reply::Changed).await?,
                Err(broadcast::error::RecvError::Closed) => return send(line, &Reply::End).await,
            },
            // A word or the end from the other side ends it.
            _ = line.next() => return Ok(()),
        }
    }
}

async fn follow(line: &mut Line, registry: &Registry, id: &str, lines: usize) -> io::Result<()> {
    if let Err(fault) = registry.published(id).await {
        return send(line, &Reply::Fault(fault)).await;
    }
    let file = registry.ground().layout.log(id);
    let (old, position) = log::tail(&file, lines)?;
    send(line, &Reply::Lines(old)).await?;
    let mut follower = log::Follower::new(file, position);
    loop {
        // Whether it ended is asked before the log is read: what it said last is read after.
        let over = match registry.published(id).await {
            Ok(published) => !matches!(published.phase, Phase::Running | Phase::Waiting),
            Err(_gone) => true,
        };
        for text in follower.next(over)? {
            send(line, &Reply::Line(text)).await?;
        }
        if over {
            return send(line, &Reply::End).await;
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            _ = line.next() => return Ok(()),
        }
    }
}

async fn send<T: Serialize>(line: &mut Line, reply: &T) -> io::Result<()> {
    let mut text = serde_json::to_string(&Envelope { version: PROTOCOL, body: reply }).map_err(io::Error::other)?;
    if text.len() > REPLY_MAX {
        let fault = Fault::failed(format!("the answer would have more than {REPLY_MAX} bytes"));
        let short = Envelope { version: PROTOCOL, body: Reply::Fault(fault) };
        text = serde_json::to_string(&short).map_err(io::Error::other)?;
    }
    match tokio::time::timeout(SEND_WITHIN, line.send(text)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(LinesCodecError::Io(error))) => Err(error),
        Ok(Err(error @ LinesCodecError::MaxLineLengthExceeded)) => Err(io::Error::other(error)),
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Peers, understand};

    #[test]
    fn root_the_own_user_and_named_ones_may_ask() {
        let peers = Peers { own: 1000, others: vec![1001] };
        assert!([0, 1000, 1001].into_iter().all(|uid| peers.admits(uid)));
        assert!([1, 999, 1002, u32::MAX].into_iter().all(|uid| !peers.admits(uid)));
    }

    #[test]
    fn another_version_is_told_so_before_its_words_are_read() {
        let fault = understand(r#"{"version":1,"body":{"old":"words"}}"#).expect_err("not ours");
        assert!(fault.message.contains("speaks version 2"), "{fault}");
        assert!(understand(r#"{"version":2,"body":"hello"}"#).is_ok());
    }
}
