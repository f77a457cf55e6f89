//! A replica as daemon and supervisor speak of it: what it is to be, and what it is seen to be. Pure but for serde.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName, SourceHash};
use crate::live::Observed;
use crate::live::quantity::{Bytes, Millis, NanoCpus};
use crate::live::value::RestartPolicy;
use crate::settings::PortRange;

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

/// The service and index within the id of one of the environment's replicas; `None` where it is another's.
pub fn place_of(environment: &EnvironmentRef, id: &str) -> Option<(ServiceName, u32)> {
    let parts: Vec<&str> = id.split('.').collect();
    let [project, name, service, _release, index] = parts[..] else { return None };
    let own = project == environment.project.as_str() && name == environment.environment.as_str();
    own.then(|| Some((service.parse().ok()?, index.parse().ok()?)))?
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
