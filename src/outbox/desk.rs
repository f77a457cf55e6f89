//! The desk: the one task that takes reports out of the outbox and posts them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::forge::api::{Report, SharedForge};
use crate::ids::{IntegrationName, ProjectName};
use crate::metrics::{AttemptStatus, Metrics};
use crate::outbox::Outbox;
use crate::outbox::attempt::{self, Stands};
use crate::outbox::backoff::wait;
use crate::outbox::posting::Posting;
use crate::store::records::{PostEnd, Posted, ReportRow};
use crate::store::{Store, StoreError};

/// Reports that are looked at at a time.
const PAGE: usize = 64;
/// How long one attempt may take. Forges answer within seconds; a check run of many annotations takes several requests.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time before a database that refused is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// How forges are reached.
#[async_trait]
pub trait Forges: Send + Sync {
    /// The forge that a project is reported on through, signed in to as its integration is registered. Kept between calls:
    /// limits of forges count over all that goes through one integration.
    async fn of(&self, project: &ProjectName) -> Result<(IntegrationName, SharedForge), Unposted>;
}

/// Why a report cannot be posted now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unposted {
    /// Nobody said how: it waits.
    #[error("{0}")]
    NoWay(String),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Posts what is in the outbox.
pub struct Desk {
    store: Store,
    outbox: Outbox,
    forges: Arc<dyn Forges>,
    metrics: Metrics,
    offline: bool,
    /// Integrations that something is being posted through: forges ask for one write after the other.
    busy: BTreeSet<IntegrationName>,
    /// Integrations that asked for a pause, and its end.
    paused: BTreeMap<IntegrationName, Instant>,
    posting: JoinSet<(IntegrationName, Option<Duration>)>,
    random: RandomState,
    draws: u64,
}

impl Desk {
    /// The desk of this outbox. Where `offline` says so, nothing is sent.
    pub fn new(store: Store, outbox: Outbox, forges: Arc<dyn Forges>, metrics: Metrics, offline: bool) -> Self {
        Desk {
            store,
            outbox,
            forges,
            metrics,
            offline,
            busy: BTreeSet::new(),
            paused: BTreeMap::new(),
            posting: JoinSet::new(),
            random: RandomState::new(),
            draws: 0,
        }
    }

    /// Posts until `stop` is cancelled. What is being posted then is given up; the next start looks whether it arrived.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Err(error) = self.store.release_reports(Timestamp::now()).await {
            tracing::error!(%error, "the outbox cannot be opened; it is tried again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        loop {
            let next = match self.look().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read or written; it is tried again");
                    Some(AGAIN)
                }
            };
            let outbox = self.outbox.clone();
            let sleep = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = outbox.rung() => {}
                Some(ended) = self.posting.join_next() => {
                    match ended {
                        Ok((integration, pause)) => {
                            self.busy.remove(&integration);
                            if let Some(pause) = pause {
                                self.paused.insert(integration, Instant::now() + pause);
                            }
                        }
                        Err(error) => {
                            tracing::error!(%error, "posting broke off; it is tried again");
                            self.busy.clear();
                            self.posting.abort_all();
                            if let Err(error) = self.store.release_reports(Timestamp::now()).await {
                                tracing::error!(%error, "the outbox cannot be written");
                            }
                        }
                    }
                }
                () = sleep => {}
            }
        }
    }

    /// Begins what is due and has a free way; returns when there is something to look at again.
    async fn look(&mut self) -> Result<Option<Duration>, StoreError> {
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        for report in self.store.due_reports(Timestamp::now(), PAGE).await? {
            self.begin(report).await?;
        }
        let due = self.store.next_report_due().await?;
        let until = |at: Timestamp| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        // What is due and was not begun has its way taken: the end of that is what wakes.
        Ok(due
            .map(until)
            .filter(|wait| !wait.is_zero() || self.busy.is_empty())
            .map(|wait| wait.max(Duration::from_millis(50))))
    }

    async fn begin(&mut self, report: ReportRow) -> Result<(), StoreError> {
        let (integration, forge) = match self.forges.of(&report.project).await {
            Ok(way) => way,
            Err(Unposted::Store(error)) => return Err(error),
            Err(Unposted::NoWay(why)) => return self.postpone(&report, why).await,
        };
        if self.busy.contains(&integration) {
            return Ok(());
        }
        if let Some(until) = self.paused.get(&integration) {
            let wait = until.saturating_duration_since(Instant::now());
            let why = report.error.unwrap_or_else(|| format!("{integration} asked for a pause"));
            return self.store.postpone_report(report.id, after(wait), &why).await;
        }
        let Some(stands) = self.store.begin_report(report.id).await? else { return Ok(()) };
        let posting: Posting = match serde_json::from_str(&report.payload) {
            Ok(posting) => posting,
            Err(error) => {
                let error = format!("what is kept of the report cannot be read: {error}");
                return self.store.end_report(report.id, PostEnd::Failed { error }, Timestamp::now()).await;
            }
        };
        if self.offline && !report.by_hand {
            let skipped = Report::<Stands>::skipped_offline().error.unwrap_or_default();
            let operation = attempt::operation(&posting);
            self.metrics.annotated(forge.kind(), operation, AttemptStatus::SkippedOffline, Duration::ZERO);
            tracing::warn!(
                integrationId = %integration, provider = forge.kind().word(), operation = posting.kind(),
                prNumber = report.pull, commitSha = report.commit.as_ref().map(ToString::to_string),
                report = report.id, "not sent, as the daemon is offline by its settings; it is kept for posting by hand"
            );
            return self.store.end_report(report.id, PostEnd::Skipped { error: skipped }, Timestamp::now()).await;
        }
        self.busy.insert(integration.clone());
        let span = tracing::info_span!(
            "report", integrationId = %integration, provider = forge.kind().word(), operation = posting.kind(),
            project = %report.project, prNumber = report.pull, commitSha = report.commit.as_ref().map(ToString::to_string),
        );
        let chance = self.chance();
        let task =
            Task { store: self.store.clone(), metrics: self.metrics.clone(), integration, forge, report, chance };
        self.posting.spawn(async move { task.run(posting, stands.as_ref()).await }.instrument(span));
        Ok(())
    }

    /// Nobody can say this anywhere now; that is no attempt.
    async fn postpone(&mut self, report: &ReportRow, why: String) -> Result<(), StoreError> {
        let wait = wait(8, None, self.chance());
        self.store.postpone_report(report.id, after(wait), &why).await
    }

    /// From 0 to 1, never twice the same way.
    fn chance(&mut self) -> f64 {
        self.draws += 1;
        f64::from(u32::try_from(self.random.hash_one(self.draws) >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

fn after(wait: Duration) -> Timestamp {
    Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// One report on its way.
struct Task {
    store: Store,
    metrics: Metrics,
    integration: IntegrationName,
    forge: SharedForge,
    report: ReportRow,
    chance: f64,
}

impl Task {
    /// Posts, notes what became of it, and returns the pause that the forge asked for, if it did.
    async fn run(self, posting: Posting, stands: Option<&Posted>) -> (IntegrationName, Option<Duration>) {
        let (begun, operation) = (Instant::now(), attempt::operation(&posting));
        let posted = match tokio::time::timeout(PATIENCE, attempt::post(&*self.forge, posting, stands)).await {
            Ok(posted) => posted,
            Err(_) => late(),
        };
        let status = match (posted.success, posted.is_transient) {
            (true, _) => AttemptStatus::Success,
            (false, true) => AttemptStatus::Transient,
            (false, false) => AttemptStatus::Permanent,
        };
        self.metrics.annotated(self.forge.kind(), operation, status, begun.elapsed());
        let pause = posted.retry_after;
        let end = self.end(posted);
        match &end {
            PostEnd::Posted { url, .. } => tracing::info!(report = self.report.id, url, "posted"),
            PostEnd::Again { error, .. } => tracing::warn!(report = self.report.id, error, "not posted yet"),
            PostEnd::Failed { error } | PostEnd::Skipped { error } => {
                tracing::error!(report = self.report.id, error, "not posted, and not tried again; see `trueup outbox`");
            }
        }
        if let (PostEnd::Posted { .. }, "comment", Some(heard)) =
            (&end, self.report.kind.as_str(), self.report.heard_at)
        {
            self.metrics.commented(Duration::try_from(Timestamp::now().duration_since(heard)).unwrap_or_default());
        }
        // What was posted and cannot be noted is looked for on the forge by whoever tries next.
        while let Err(error) = self.store.end_report(self.report.id, end.clone(), Timestamp::now()).await {
            tracing::error!(%error, "what became of a report cannot be noted; it is tried again");
            tokio::time::sleep(AGAIN).await;
        }
        (self.integration, pause)
    }

    fn end(&self, posted: Report<Stands>) -> PostEnd {
        let error = posted.error.unwrap_or_else(|| "the forge said nothing".to_owned());
        match posted.result {
            Some(stands) if posted.success => PostEnd::Posted { remote_id: stands.id, url: stands.url },
            _ if posted.is_transient => {
                let wait = wait(self.report.attempts + 1, posted.retry_after, self.chance);
                PostEnd::Again { due_at: after(wait), error }
            }
            _ => PostEnd::Failed { error },
        }
    }
}

fn late() -> Report<Stands> {
    Report {
        success: false,
        result: None,
        error: Some(format!("the forge took longer than {} s", PATIENCE.as_secs())),
        is_transient: true,
        skipped_offline: false,
        retry_after: None,
    }
}
