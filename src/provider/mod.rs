//! Where services run. One folder per provider; each converts its engine's replies to [`Live`] at its own door.
//!
//! A provider carries out single steps (prepare, start, stop, …) and decides nothing: what to do is the plan's, in
//! which order is the deploy strategy's. Every step that changes something takes the [`SyncPermit`].

pub mod docker;
pub mod local;
pub mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::ids::{CommitSha, RunId, SecretName, ServiceName};
use crate::live::capability::Capabilities;
use crate::live::field::FieldPath;
use crate::live::image::{ImageRef, ImageValue};
use crate::live::quantity::Millis;
use crate::live::value::{PullPolicy, Value};
use crate::live::{Health, Live, Observed, ReplicaId};
use crate::store::records::{Environment, Project};
use crate::sync::gate::SyncPermit;

/// One environment's runtime. Constructed for exactly one environment; every call is about that one.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it can see and change.
    fn capabilities(&self) -> Capabilities;

    /// Looks at what runs. Never fails: what cannot be seen is `Unknown` with the reason.
    async fn observe(&self) -> Live;

    /// What content an image reference means now, under the given policy; `pull` is `None` where the file says nothing
    /// (then a local image without registry digests counts as it is, otherwise as `Always`).
    async fn resolve_image(&self, image: &ImageRef, pull: Option<PullPolicy>) -> Observed<ImageValue>;

    /// The same without asking any registry: what only one could tell, and did not lately, is unknown.
    async fn resolve_image_here(&self, image: &ImageRef, pull: Option<PullPolicy>) -> Observed<ImageValue> {
        self.resolve_image(image, pull).await
    }

    /// Whether a check could be carried out on a replica of this environment, before anything is changed.
    ///
    /// # Errors
    /// The reason why not, with what the operator can do.
    async fn can_probe(&self, check: &Check) -> Result<(), String>;

    /// Tries the connection and reports what it found. Changes nothing.
    async fn test_connection(&self) -> ConnectionReport;

    /// Prepares a new replica beside the old: pulls, creates networks and volumes that are missing, creates the replica,
    /// and touches nothing that runs. Where `spec.from` is given, what is unmanaged there is carried over. Calling it
    /// again for the same run, service and index first removes what an earlier call left.
    async fn prepare(
        &self,
        permit: &SyncPermit,
        spec: &ReplicaSpec<'_>,
        progress: &dyn Progress,
    ) -> Result<ReplicaId, StepError>;

    /// Starts a replica. Starting one that runs is done already.
    async fn start(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError>;

    /// Asks a replica to end and kills it after its own grace period. Stopping one that does not run is done already.
    async fn stop(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError>;

    /// Removes a replica, stopping it first; its named volumes stay. Removing one that is gone is done already.
    async fn remove(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError>;

    /// Removes a replica that the permit's run made and that never became the service: what it kept for itself, such as
    /// volumes without a name, goes with it.
    async fn discard(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.remove(permit, replica).await
    }

    /// Sets leaves of a running replica in place; only fields whose effect is in place, `Stopped` and `Replicas` aside
    /// (those are starts, prepares and removes).
    async fn update(
        &self,
        permit: &SyncPermit,
        replica: &ReplicaId,
        leaves: &BTreeMap<FieldPath, Value>,
    ) -> Result<(), StepError>;

    /// Whether the replica's process runs, and how it ended where it does not.
    async fn state(&self, replica: &ReplicaId) -> Result<ReplicaState, StepError>;

    /// Probes once.
    async fn probe(&self, replica: &ReplicaId, check: &Check) -> ProbeOutcome;

    /// The last lines of a replica's output, oldest first, at most `lines`.
    async fn logs(&self, replica: &ReplicaId, lines: usize) -> Result<Vec<String>, StepError>;

    /// Follows a replica's output from now on: sends each line until the replica ends or the receiver goes.
    async fn follow_logs(
        &self,
        replica: &ReplicaId,
        lines: usize,
        sink: tokio::sync::mpsc::Sender<String>,
    ) -> Result<(), StepError>;

    /// Tells when something of this environment changed: yields `Ok(())` each time and ends after an `Err` that says
    /// why. Whoever listens subscribes again then and looks at once, since what happened in between was not seen.
    /// `None` where the provider cannot tell and must be asked.
    fn changes(&self) -> Option<BoxStream<'static, Result<(), String>>> {
        None
    }
}

/// What a new replica is to be.
#[derive(Debug)]
pub struct ReplicaSpec<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The replica's number within the service, from 1.
    pub index: u32,
    /// The run that makes it: its release.
    pub release: RunId,
    /// The commit that declares it (the checkout of a `local` replica).
    pub commit: Option<&'a CommitSha>,
    /// The declared leaves. Secrets by name.
    pub leaves: &'a BTreeMap<FieldPath, Value>,
    /// Leaves that base has and the file no longer writes: not carried over.
    pub withdrawn: &'a BTreeSet<FieldPath>,
    /// The values of the secrets that the leaves name.
    pub secrets: &'a BTreeMap<SecretName, SecretString>,
    /// The replica whose place it takes; what is unmanaged there is carried over.
    pub from: Option<&'a ReplicaId>,
}

/// How to tell whether a replica is healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// Time between probes.
    pub interval: Millis,
    /// Time one probe may take.
    pub timeout: Millis,
    /// Time after a start in which failures do not count.
    pub start_period: Millis,
    /// Successes in a row that make it healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold: u32,
}

/// What a probe tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Probe {
    /// An HTTP GET that must answer 200 to 399. A port of `None` is the one the provider gave the replica (`PORT`).
    Http {
        /// Absolute path with query.
        path: String,
        /// The port dialled.
        port: Option<u16>,
    },
    /// A TCP connection that must be accepted.
    Tcp {
        /// The port dialled.
        port: Option<u16>,
    },
    /// A command in the replica that must exit 0.
    Command {
        /// The words.
        argv: Vec<String>,
    },
    /// No check is declared: it must run, and where the image brings its own health check, that one must pass.
    Running,
}

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It passed.
    Passed,
    /// It failed, for this reason.
    Failed(String),
    /// Too early to say (the image's own health check is starting).
    Pending,
    /// It could not be carried out; says nothing of the replica.
    Impossible(String),
}

/// Whether a replica's process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// Whether it runs now.
    pub running: bool,
    /// How often its restart policy started it again.
    pub restarts: u32,
    /// How it ended last, for people ("exit code 1", "killed: out of memory").
    pub ended: Option<String>,
    /// How it is doing, as far as the provider can tell without a probe.
    pub health: Health,
}

/// What a connection test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConnectionReport {
    /// Whether the provider can be used.
    pub ok: bool,
    /// What was found, one line each, the most important first.
    pub findings: Vec<Finding>,
}

/// One line of a connection test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// How much it matters.
    pub level: FindingLevel,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Does not work.
    Error,
}

/// Where a long step says how far it is. Lines hold no secret.
pub trait Progress: Send + Sync {
    /// One line, such as `pulling nginx:1.27: 12.3 MB of 40.1 MB`.
    fn line(&self, text: &str);
}

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The provider could not be reached or did not answer in time; whether the step was done is not known.
    #[error("{0}")]
    Unreachable(String),
    /// The provider refused; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The replica is not there.
    #[error("the replica {0} does not exist")]
    Gone(ReplicaId),
}

/// How an environment's provider is reached. The registry implements it; tests put their own worlds behind it.
pub trait Connect: Send + Sync {
    /// The provider of an environment.
    ///
    /// # Errors
    /// What is wrong with the environment's settings, for people.
    fn connect(&self, project: &Project, environment: &Environment) -> Result<SharedProvider, String>;
}

/// A provider as everyone holds it.
pub type SharedProvider = Arc<dyn Provider>;
