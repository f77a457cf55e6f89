//! The provider's steps: each is a request to the supervisor, under a permit where it changes something.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::live::capability::Capabilities;
use crate::live::field::FieldPath;
use crate::live::image::{ImageRef, ImageValue};
use crate::live::value::{PullPolicy, Value};
use crate::live::{Live, Observed, ReplicaId};
use crate::provider::local::blueprint::{self, Draft, Ground};
use crate::provider::local::client::{CallError, LOOK_WITHIN};
use crate::provider::local::supervisor::protocol::{Probed, Reply, Request};
use crate::provider::local::supervisor::replica::{Phase, View};
use crate::provider::local::{LocalProvider, capability, connection, observe, probe};
use crate::provider::{
    Check, ConnectionReport, Probe, ProbeOutcome, Progress, Provider, ReplicaSpec, ReplicaState, StepError,
};
use crate::sync::gate::SyncPermit;

/// How long a task may take beyond the replica's grace period: the program's start, and the end of what survives it.
const BEYOND_GRACE: Duration = Duration::from_secs(60);

/// How long handing a checkout over may take: a large one is read once as a whole.
const PREPARE_WITHIN: Duration = Duration::from_secs(300);

/// How much longer a probe's answer may take than the probe.
const PROBE_SLACK: Duration = Duration::from_secs(15);

impl LocalProvider {
    // Whether a change of this replica is what the permit is for.
    fn admit(&self, permit: &SyncPermit, replica: Option<&ReplicaId>) -> Result<(), StepError> {
        if *permit.environment() != self.environment {
            return Err(StepError::Refused(format!(
                "the permit of run {} is for {}, not for {}",
                permit.run(),
                permit.environment(),
                self.environment
            )));
        }
        replica.map_or(Ok(()), |replica| self.own(replica))
    }

    fn own(&self, replica: &ReplicaId) -> Result<(), StepError> {
        let prefix = format!("{}.{}.", self.environment.project, self.environment.environment);
        if replica.0.starts_with(&prefix) {
            Ok(())
        } else {
            Err(StepError::Refused(format!("the replica {replica} is not one of {}", self.environment)))
        }
    }

    async fn look(&self, replica: &ReplicaId) -> Result<View, StepError> {
        self.own(replica)?;
        self.client.look(&replica.0).await.map_err(|error| error.step(&replica.0))
    }

    // A task of a replica, given the time that its grace period may take.
    async fn task(&self, replica: &ReplicaId, request: Request) -> Result<(), StepError> {
        let grace = self.look(replica).await?.blueprint.stop_grace().duration();
        self.client.have_done(request, grace + BEYOND_GRACE).await.map_err(|error| error.step(&replica.0))
    }

    async fn lay_down(&self, draft: &Draft, staging: &Path, progress: &dyn Progress) -> Result<PathBuf, StepError> {
        let folder = staging.join(draft.blueprint.id());
        let failed = |what: &str, error: std::io::Error| {
            StepError::Refused(format!("{what} {}: {error} (`trueup env test` says more)", folder.display()))
        };
        remove_folder(&folder).await.map_err(|error| failed("clearing", error))?;
        tokio::fs::create_dir(&folder).await.map_err(|error| failed("making", error))?;
        progress.line(&format!("checking out {}", draft.blueprint.commit.short()));
        match self.checkout.checkout(&draft.blueprint.commit, &folder).await {
            Ok(()) => Ok(folder),
            Err(why) => {
                remove_folder(&folder).await.map_err(|error| failed("clearing", error))?;
                Err(StepError::Refused(format!("checking out {}: {why}", draft.blueprint.commit)))
            }
        }
    }
}

async fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn capabilities(&self) -> Capabilities {
        capability::capabilities(self.cpu_limits.load(Ordering::Relaxed))
    }

    fn changes(&self) -> Option<BoxStream<'static, Result<(), String>>> {
        Some(LocalProvider::changes(self))
    }

    async fn observe(&self) -> Live {
        let seen = async {
            self.hello().await?;
            self.client.list(&self.environment).await
        };
        let services = match seen.await {
            Ok(listing) => Observed::Known(observe::services(listing)),
            Err(error) => Observed::Unknown(error.to_string()),
        };
        Live { services }
    }

    async fn resolve_image(&self, _image: &ImageRef, _pull: Option<PullPolicy>) -> Observed<ImageValue> {
        Observed::Unknown("the local provider runs no images".into())
    }

    async fn can_probe(&self, check: &Check) -> Result<(), String> {
        match &check.probe {
            Probe::Command { argv } if argv.first().is_none_or(String::is_empty) => {
                Err("the health check's command is empty: write the words to run".into())
            }
            Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. } | Probe::Running => Ok(()),
        }
    }

    async fn test_connection(&self) -> ConnectionReport {
        connection::test(&self.client, &self.user, self.settings.port_range).await
    }

    async fn prepare(
        &self,
        permit: &SyncPermit,
        spec: &ReplicaSpec<'_>,
        progress: &dyn Progress,
    ) -> Result<ReplicaId, StepError> {
        self.admit(permit, spec.from)?;
        let hello = self.hello().await.map_err(|error| error.step(""))?;
        let old = match spec.from {
            Some(replica) => observe::leaves(&self.look(replica).await?),
            None => BTreeMap::new(),
        };
        let ground = Ground { environment: &self.environment, user: &self.user, ports: self.settings.port_range };
        let draft = blueprint::draft(&ground, spec, &old).map_err(StepError::Refused)?;
        let id = draft.blueprint.id();
        let folder = self.lay_down(&draft, Path::new(&hello.staging), progress).await?;
        let request = Request::Prepare { run: permit.run(), blueprint: Box::new(draft.blueprint), env: draft.env };
        match self.client.call(request, PREPARE_WITHIN).await {
            Ok(Reply::Replica(view)) => {
                progress.line(&format!("prepared {} to listen on port {}", view.id, view.port));
                Ok(ReplicaId(view.id))
            }
            Ok(_) => Err(self.client.unexpected().step(&id)),
            Err(error) => {
                // Where it was taken over already, it is not there any more.
                if let Err(left) = remove_folder(&folder).await {
                    tracing::warn!(folder = %folder.display(), %left, "a checkout was left behind");
                }
                Err(error.step(&id))
            }
        }
    }

    async fn start(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.admit(permit, Some(replica))?;
        self.task(replica, Request::Start { run: permit.run(), id: replica.0.clone() }).await
    }

    async fn stop(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.admit(permit, Some(replica))?;
        self.task(replica, Request::Stop { run: permit.run(), id: replica.0.clone() }).await
    }

    async fn remove(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.admit(permit, Some(replica))?;
        match self.task(replica, Request::Remove { run: permit.run(), id: replica.0.clone() }).await {
            Err(StepError::Gone(_)) => Ok(()),
            other => other,
        }
    }

    async fn update(
        &self,
        permit: &SyncPermit,
        replica: &ReplicaId,
        leaves: &BTreeMap<FieldPath, Value>,
    ) -> Result<(), StepError> {
        self.admit(permit, Some(replica))?;
        let change = blueprint::change(leaves).map_err(StepError::Refused)?;
        self.task(replica, Request::Update { run: permit.run(), id: replica.0.clone(), change }).await
    }

    async fn state(&self, replica: &ReplicaId) -> Result<ReplicaState, StepError> {
        self.look(replica).await.map(|view| observe::state(&view))
    }

    async fn probe(&self, replica: &ReplicaId, check: &Check) -> ProbeOutcome {
        let view = match self.look(replica).await {
            Ok(view) => view,
            Err(error) => return ProbeOutcome::Impossible(error.to_string()),
        };
        if view.phase != Phase::Running || view.paused {
            let why = observe::health(&view);
            return ProbeOutcome::Failed(why.why().unwrap_or("it does not run").to_owned());
        }
        let timeout = check.timeout.duration();
        match &check.probe {
            Probe::Running => ProbeOutcome::Passed,
            // Whatever port the file names, here the process listens on the one it was given.
            Probe::Tcp { port: _ } => probe::tcp(view.port, timeout).await,
            Probe::Http { path, port: _ } => probe::http(view.port, path, timeout).await,
            Probe::Command { argv } => {
                let request = Request::Probe { id: view.id, argv: argv.clone(), timeout: check.timeout };
                match self.client.call(request, timeout + PROBE_SLACK).await {
                    Ok(Reply::Probed(probed)) => outcome(probed, timeout),
                    Ok(_) => ProbeOutcome::Impossible(self.client.unexpected().to_string()),
                    Err(error) => ProbeOutcome::Impossible(error.to_string()),
                }
            }
        }
    }

    async fn logs(&self, replica: &ReplicaId, lines: usize) -> Result<Vec<String>, StepError> {
        self.own(replica)?;
        match self.client.call(Request::Logs { id: replica.0.clone(), lines }, LOOK_WITHIN).await {
            Ok(Reply::Lines(lines)) => Ok(lines),
            Ok(_) => Err(self.client.unexpected().step(&replica.0)),
            Err(error) => Err(error.step(&replica.0)),
        }
    }

    async fn follow_logs(
        &self,
        replica: &ReplicaId,
        lines: usize,
        sink: tokio::sync::mpsc::Sender<String>,
    ) -> Result<(), StepError> {
        self.own(replica)?;
        let failed = |error: CallError| error.step(&replica.0);
        let request = Request::Follow { id: replica.0.clone(), lines };
        let mut conversation = self.client.begin(request).await.map_err(failed)?;
        loop {
            let reply = tokio::select! {
                reply = conversation.next() => reply.map_err(failed)?,
                () = sink.closed() => return Ok(()),
            };
            let texts = match reply {
                Some(Reply::Lines(texts)) => texts,
                Some(Reply::Line(text)) => vec![text],
                Some(Reply::End) => return Ok(()),
                Some(_) => return Err(self.client.unexpected().step(&replica.0)),
                None => return Err(StepError::Unreachable("the supervisor ended; its replicas go on".into())),
            };
            for text in texts {
                if sink.send(text).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn outcome(probed: Probed, timeout: Duration) -> ProbeOutcome {
    let with = |what: String, said: String| if said.is_empty() { what } else { format!("{what}: {said}") };
    match probed {
        Probed::Ended { code: Some(0), said: _ } => ProbeOutcome::Passed,
        Probed::Ended { code: Some(code), said } => {
            ProbeOutcome::Failed(with(format!("its health command ended with exit code {code}"), said))
        }
        Probed::Ended { code: None, said } => {
            ProbeOutcome::Failed(with("its health command was ended by a signal".to_owned(), said))
        }
        Probed::TimedOut => {
            ProbeOutcome::Failed(format!("its health command did not end within {} ms", timeout.as_millis()))
        }
        Probed::NotRun(why) => ProbeOutcome::Impossible(why),
    }
}
