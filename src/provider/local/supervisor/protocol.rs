//! What daemon and supervisor say to each other: one JSON value per line over a Unix socket, a request and then its
//! reply. Versioned, bounded on both sides, typed. Pure but for serde: who speaks, and to whom, is `server` and `client`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName, SourceHash};
use crate::live::Observed;
use crate::live::quantity::{Bytes, Millis, NanoCpus};
use crate::live::value::RestartPolicy;
use crate::settings::PortRange;

/// The protocol's version. A supervisor refuses every other one and says which it speaks.
pub const PROTOCOL: u32 = 1;

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
    Replicas(Vec<View>),
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

/// Which user a replica runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// The supervisor's own; only where the operator set `allow_own_user`.
    Own,
    /// A user of this machine, by name.
    User(String),
}

/// What a replica is to be; everything but the values of its environment. Kept as `spec.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// The environment.
    pub environment: EnvironmentRef,
    /// The service.
    pub service: ServiceName,
    /// Its number within the service, from 1.
    pub index: u32,
    /// The run that makes it.
    pub release: RunId,
    /// The commit that is checked out.
    pub commit: CommitSha,
    /// The source hash of that commit, as declared.
    pub source: Option<SourceHash>,
    /// The words that come first.
    pub entrypoint: Option<Vec<String>>,
    /// The words that follow.
    pub command: Option<Vec<String>>,
    /// Where it starts: absolute, or below the checkout; `None` is the checkout.
    pub working_dir: Option<String>,
    /// Labels: carried, never looked at.
    pub labels: BTreeMap<String, String>,
    /// Restart policy; `None` is the default, `unless-stopped`.
    pub restart: Option<RestartPolicy>,
    /// Stop grace period; `None` is the default of ten seconds.
    pub grace: Option<Millis>,
    /// Memory limit.
    pub memory: Option<Bytes>,
    /// CPU limit.
    pub cpu: Option<NanoCpus>,
    /// Which variables hold secrets: masked wherever output is shown.
    pub secret_env: BTreeSet<String>,
    /// The user.
    pub user: RunAs,
    /// The range its port is taken from; `None` for the supervisor's own.
    pub ports: Option<PortRange>,
}

/// Stop grace period where none is declared.
pub const GRACE_DEFAULT: Millis = Millis(10_000);

impl Blueprint {
    /// The replica's id. Its parts hold no dots, so that no two replicas share one.
    pub fn id(&self) -> String {
        replica_id(&self.environment, &self.service, self.release, self.index)
    }

    /// The whole command line.
    pub fn argv(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).flatten().cloned().collect()
    }

    /// The restart policy in force.
    pub fn restart_policy(&self) -> RestartPolicy {
        self.restart.unwrap_or(RestartPolicy::UnlessStopped)
    }

    /// The stop grace period in force.
    pub fn stop_grace(&self) -> Millis {
        self.grace.unwrap_or(GRACE_DEFAULT)
    }
}

/// The id of a replica: `PROJECT.ENVIRONMENT.SERVICE.RUN.INDEX`.
pub fn replica_id(environment: &EnvironmentRef, service: &ServiceName, release: RunId, index: u32) -> String {
    format!("{}.{}.{service}.{release}.{index}", environment.project, environment.environment)
}

/// What changes in place; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Memory limit.
    pub memory: Option<Bytes>,
    /// CPU limit.
    pub cpu: Option<NanoCpus>,
    /// Restart policy.
    pub restart: Option<RestartPolicy>,
    /// Stop grace period.
    pub grace: Option<Millis>,
}

/// One replica as it is now.
#[derive(Debug, Serialize, Deserialize)]
pub struct View {
    /// Its id.
    pub id: String,
    /// What it was made to be.
    pub blueprint: Blueprint,
    /// Where it should listen.
    pub port: u16,
    /// Its main process.
    pub pid: Option<i32>,
    /// Where it is in its life.
    pub phase: Phase,
    /// How often its policy started it again since it was last started on request.
    pub restarts: u32,
    /// Whether it ends soon after each start.
    pub crash_looping: bool,
    /// How it ended last.
    pub ended: Option<String>,
    /// Whether that end was a failure.
    pub failed: bool,
    /// Whether its process is held by a signal (SIGSTOP) or a debugger.
    pub paused: bool,
    /// The names of the variables that it was given.
    pub given_env: BTreeSet<String>,
    /// Those of them that its process has, at the values that it has.
    pub env: Observed<EnvValues>,
    /// Those of them that the supervisor supplies by itself.
    pub supplied_env: BTreeSet<String>,
    /// Memory limit in force.
    pub memory: Observed<Option<Bytes>>,
    /// CPU limit in force.
    pub cpu: Observed<Option<NanoCpus>>,
    /// The code in its checkout: the prepared hash where nothing was changed, else another.
    pub source: Observed<Option<SourceHash>>,
    /// Files of the checkout that were changed by hand, a few of them.
    pub changed_files: Vec<String>,
}

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Never started.
    Prepared,
    /// Its process runs.
    Running,
    /// It ended, and its policy starts it again after a pause.
    Waiting,
    /// Stopped on request.
    Stopped,
    /// It ended, and its policy leaves it so.
    Ended,
}

/// Environment variables by name. Values may be secrets: they are never printed, and are serialised for the socket
/// and the secrets file alone.
#[derive(Clone, Default)]
pub struct EnvValues(pub BTreeMap<String, SecretString>);

impl EnvValues {
    /// From plain texts.
    pub fn from_texts(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        EnvValues(texts.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

impl fmt::Debug for EnvValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for EnvValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.expose_secret())))
    }
}

impl<'de> Deserialize<'de> for EnvValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(EnvValues(BTreeMap::<String, SecretString>::deserialize(deserializer)?))
    }
}
