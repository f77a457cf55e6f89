//! The daemon's side of the supervisor's socket: one conversation per call, every wait bounded, every answer typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use crate::ids::EnvironmentRef;
use crate::provider::StepError;
use crate::provider::local::supervisor::protocol::{
    Envelope, Fault, FaultKind, Hello, Listing, PROTOCOL, REPLY_MAX, Reply, Request,
};
use crate::provider::local::supervisor::replica::View;

/// How long the supervisor may take to take a call.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long a look may take.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Why a call brought no answer of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// It could not be asked, or did not answer: what was asked for may have been done.
    #[error("{0}")]
    Unreachable(String),
    /// It said why not.
    #[error("{0}")]
    Fault(Fault),
}

impl CallError {
    /// The same as a step's error.
    pub(super) fn step(self, replica: &str) -> StepError {
        match self {
            CallError::Unreachable(why) => StepError::Unreachable(why),
            CallError::Fault(Fault { kind: FaultKind::Gone, message: _ }) => {
                StepError::Gone(crate::live::ReplicaId(replica.to_owned()))
            }
            CallError::Fault(Fault { kind: FaultKind::Refused, message }) => StepError::Refused(message),
            // Begun and not finished: what became of it is seen by looking again.
            CallError::Fault(Fault { kind: FaultKind::Failed, message }) => StepError::Unreachable(message),
        }
    }
}

/// Where the supervisor is called.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

/// One conversation.
pub(super) struct Conversation {
    line: Framed<UnixStream, LinesCodec>,
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(socket: &Path) -> Self {
        Client { socket: socket.to_owned() }
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> CallError {
        unreachable(&self.socket, why)
    }

    /// Begins a conversation with a request; answers are read one by one.
    pub(super) async fn begin(&self, request: Request) -> Result<Conversation, CallError> {
        let stream = tokio::time::timeout(CONNECT_WITHIN, UnixStream::connect(&self.socket))
            .await
            .map_err(|_| self.unreachable("it does not take calls"))?
            .map_err(|error| self.unreachable(error))?;
        let peer = stream.peer_cred().map_err(|error| self.unreachable(error))?.uid();
        if peer != 0 && peer != rustix::process::geteuid().as_raw() {
            return Err(self.unreachable(format!(
                "its socket is held by uid {peer}, which is neither root nor this daemon's user"
            )));
        }
        let text = serde_json::to_string(&Envelope { version: PROTOCOL, body: request })
            .map_err(|error| self.unreachable(error))?;
        let mut line = Framed::new(stream, LinesCodec::new_with_max_length(REPLY_MAX));
        let sent = tokio::time::timeout(LOOK_WITHIN, line.send(text.as_str()))
            .await
            .map_err(|_| self.unreachable("it does not listen"))?;
        drop(zeroize::Zeroizing::new(text));
        let mut conversation = Conversation { line, socket: self.socket.clone() };
        match sent {
            Ok(()) => Ok(conversation),
            // One who is not heard is told why before the supervisor hangs up.
            Err(error) => match tokio::time::timeout(LOOK_WITHIN, conversation.next()).await {
                Ok(Err(refusal @ CallError::Fault(_))) => Err(refusal),
                Ok(_) | Err(_) => Err(self.unreachable(error)),
            },
        }
    }

    /// Asks once and waits for the answer.
    pub(super) async fn call(&self, request: Request, within: Duration) -> Result<Reply, CallError> {
        let mut conversation = self.begin(request).await?;
        let answer = tokio::time::timeout(within, conversation.next()).await;
        match answer.map_err(|_| self.unreachable(format!("no answer within {} s", within.as_secs())))?? {
            Some(reply) => Ok(reply),
            None => Err(self.unreachable("it hung up without an answer")),
        }
    }

    /// Who the supervisor is.
    pub(super) async fn hello(&self) -> Result<Hello, CallError> {
        match self.call(Request::Hello, LOOK_WITHIN).await? {
            Reply::Hello(hello) => Ok(hello),
            _ => Err(self.unexpected()),
        }
    }

    /// Every replica of an environment.
    pub(super) async fn list(&self, environment: &EnvironmentRef) -> Result<Listing, CallError> {
        match self.call(Request::List { environment: environment.clone() }, LOOK_WITHIN).await? {
            Reply::Replicas(listing) => Ok(listing),
            _ => Err(self.unexpected()),
        }
    }

    /// One replica.
    pub(super) async fn look(&self, id: &str) -> Result<View, CallError> {
        match self.call(Request::Look { id: id.to_owned() }, LOOK_WITHIN).await? {
            Reply::Replica(view) => Ok(*view),
            _ => Err(self.unexpected()),
        }
    }

    /// Has something done.
    pub(super) async fn have_done(&self, request: Request, within: Duration) -> Result<(), CallError> {
        match self.call(request, within).await? {
            Reply::Done => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// An answer to another question than the one that was asked. It is not shown: it may hold an environment.
    pub(super) fn unexpected(&self) -> CallError {
        self.unreachable("it answered something else than was asked")
    }
}

impl Conversation {
    /// The next answer; `None` when the supervisor hangs up. A fault is an error.
    pub(super) async fn next(&mut self) -> Result<Option<Reply>, CallError> {
        let unreachable = |why: String| unreachable(&self.socket, why);
        let text = match self.line.next().await {
            None => return Ok(None),
            Some(Ok(text)) => zeroize::Zeroizing::new(text),
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                return Err(unreachable(format!("its answer has more than {REPLY_MAX} bytes")));
            }
            Some(Err(LinesCodecError::Io(error))) => return Err(unreachable(error.to_string())),
        };
        let envelope: Envelope<serde_json::Value> =
            serde_json::from_str(&text).map_err(|_| unreachable("its answer is not understood".into()))?;
        if envelope.version != PROTOCOL {
            return Err(unreachable(format!(
                "it speaks version {} of the protocol, not {PROTOCOL}: daemon and supervisor must be of one release",
                envelope.version
            )));
        }
        // The parser's words could quote a value, so they are not passed on.
        match serde_json::from_value(envelope.body) {
            Ok(Reply::Fault(fault)) => Err(CallError::Fault(fault)),
            Ok(reply) => Ok(Some(reply)),
            Err(_) => Err(unreachable("its answer is not understood".into())),
        }
    }
}

fn unreachable(socket: &Path, why: impl std::fmt::Display) -> CallError {
    CallError::Unreachable(format!("the supervisor at {}: {why}; is `trueup supervise` running?", socket.display()))
}
