//! What daemon and supervisor say to each other: one JSON value per line over a Unix socket, a request and then its
//! reply. Versioned, bounded on both sides, typed. Pure but for serde: who speaks, and to whom, is `server` and `client`.

use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentRef, RunId, ServiceName};
use crate::live::quantity::Millis;
use crate::provider::local::supervisor::replica::{Blueprint, Change, EnvValues, RunAs, View};
use crate::settings::PortRange;

/// The protocol's version. A supervisor refuses every other one and says which it speaks.
pub const PROTOCOL: u32 = 2;

/// The longest request line, in bytes: an environment of a megabyte still fits.
pub const REQUEST_MAX: usize = 2 << 20;

/// The longest reply line, in bytes.
pub const REPLY_MAX: usize = 32 << 20;

/// A request or a reply with the version that its sender speaks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<T> {
    /// [`PROTOCOL`] of the sender.
    pub version: u32,
    /// What is said.
    pub body: T,
}

/// What the daemon asks. Those that change something carry the run under whose permit they are asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who are you, and what can you do?
    Hello,
    /// Could replicas run as this user, with ports of this range?
    Check {
        /// The user.
        user: RunAs,
        /// The range; `None` for the supervisor's own.
        ports: Option<PortRange>,
    },
    /// Every replica of an environment, looked at now.
    List {
        /// The environment.
        environment: EnvironmentRef,
    },
    /// One replica, looked at now.
    Look {
        /// The replica.
        id: String,
    },
    /// Says `Changed` whenever a replica of the environment changes, until the asker hangs up.
    Watch {
        /// The environment.
        environment: EnvironmentRef,
    },
    /// Makes a replica from a checkout that lies in the staging directory under the replica's id.
    Prepare {
        /// The run.
        run: RunId,
        /// What it is to be.
        blueprint: Box<Blueprint>,
        /// The values of its environment.
        env: EnvValues,
    },
    /// Starts a replica, or lets a paused one go on.
    Start {
        /// The run.
        run: RunId,
        /// The replica.
        id: String,
    },
    /// Stops a replica within its grace period.
    Stop {
        /// The run.
        run: RunId,
        /// The replica.
        id: String,
    },
    /// Stops a replica and deletes all that belongs to it.
    Remove {
        /// The run.
        run: RunId,
        /// The replica.
        id: String,
    },
    /// Changes what can be changed while it runs; `None` leaves a field as it is.
    Update {
        /// The run.
        run: RunId,
        /// The replica.
        id: String,
        /// What changes.
        change: Change,
    },
    /// Runs a command beside a replica, in its checkout, with its environment, limits and user.
    Probe {
        /// The replica.
        id: String,
        /// The words.
        argv: Vec<String>,
        /// Time it may take.
        timeout: Millis,
    },
    /// The last lines of a replica's output.
    Logs {
        /// The replica.
        id: String,
        /// At most so many.
        lines: usize,
    },
    /// As `Logs`, then each new line until the replica ends.
    Follow {
        /// The replica.
        id: String,
        /// At most so many old lines first.
        lines: usize,
    },
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello(Hello),
    /// To `Check`: what stands in the way; empty where nothing does.
    Checked {
        /// What stands in the way.
        problems: Vec<String>,
        /// How many ports of the range are free.
        free_ports: usize,
    },
    /// To `List`.
    Replicas(Listing),
    /// To `Look` and `Prepare`.
    Replica(Box<View>),
    /// To `Start`, `Stop`, `Remove` and `Update`.
    Done,
    /// To `Probe`: the command's exit code, or why there is none; with what it printed last.
    Probed(Probed),
    /// To `Logs`, and the beginning of `Follow`.
    Lines(Vec<String>),
    /// Within `Follow`.
    Line(String),
    /// Ends `Follow`.
    End,
    /// Within `Watch`.
    Changed,
    /// To whatever could not be done.
    Fault(Fault),
}

/// The replicas of an environment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Those that could be looked at.
    pub seen: Vec<View>,
    /// Those that are there and could not.
    pub unseen: Vec<Unseen>,
}

/// A replica that is there and could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Its service.
    pub service: ServiceName,
    /// Its number within the service.
    pub index: u32,
    /// Why, and what to do about it.
    pub why: String,
}

/// Who the supervisor is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Its release.
    pub release: String,
    /// Its user's number.
    pub uid: u32,
    /// The directory into which checkouts are laid before `Prepare`.
    pub staging: String,
    /// How limits are kept.
    pub limits: LimitsBackend,
    /// The ports that it may give out.
    pub ports: PortRange,
}

/// How limits are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsBackend {
    /// The delegated cgroup v2 directory below which each replica has its own; `None` where there is none.
    pub cgroup: Option<String>,
    /// Whether memory is limited per replica by its cgroup, else per process by `RLIMIT_AS`.
    pub memory: bool,
    /// Whether CPU can be limited (only a cgroup can).
    pub cpu: bool,
    /// Why there is no cgroup, for people; empty where all is there.
    pub why_not: String,
}

/// What a command probe said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probed {
    /// It ended.
    Ended {
        /// Exit code; `None` where a signal ended it.
        code: Option<i32>,
        /// The last line it printed, secrets masked.
        said: String,
    },
    /// It did not end in time and was killed.
    TimedOut,
    /// It could not be run.
    NotRun(String),
}

/// Why the supervisor did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind of reason.
    pub kind: FaultKind,
    /// The reason, for people; holds no secret.
    pub message: String,
}

/// The kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// There is no such replica.
    Gone,
    /// It will not or cannot be done; nothing was changed.
    Refused,
    /// It was begun and not finished.
    Failed,
}

impl Fault {
    /// A refusal.
    pub fn refused(message: impl Into<String>) -> Self {
        Fault { kind: FaultKind::Refused, message: message.into() }
    }

    /// Something begun and not finished.
    pub fn failed(message: impl Into<String>) -> Self {
        Fault { kind: FaultKind::Failed, message: message.into() }
    }

    /// No such replica.
    pub fn gone(id: &str) -> Self {
        Fault { kind: FaultKind::Gone, message: format!("the supervisor knows no replica {id}") }
    }
}
