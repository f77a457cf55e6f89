//! One pull request: read at its forge, planned, and left in the outbox as texts.

use std::time::Duration;

use jiff::Timestamp;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::forge::ForgeError;
use crate::forge::api::{self, PullRequest};
use crate::ids::EnvironmentName;
use crate::outbox::{About, Posting, Unposted};
use crate::pass::{PassError, PullFacts};
use crate::report::pull::{AfterMerge, EnvironmentReport, NotPlanned, PullOutcome, PullReport, PullState};
use crate::reporter::texts::{self, Place};
use crate::reporter::{ACTOR, Parts, Way};
use crate::store::StoreError;
use crate::store::records::{PullRow, PullStage};

/// The wait after a first failure; doubled with each, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Why a request was not reported on.
enum Failed {
    /// It may work later.
    Later { why: String, wait: Option<Duration> },
    /// There is no such request, or nobody to report to.
    Never(String),
    /// The database refuses.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Store(error)
    }
}

impl From<Unposted> for Failed {
    fn from(error: Unposted) -> Self {
        match error {
            Unposted::NoWay(why) => Failed::Later { why, wait: Some(LONGEST) },
            Unposted::Store(error) => Failed::Store(error),
        }
    }
}

impl From<ForgeError> for Failed {
    fn from(error: ForgeError) -> Self {
        match error {
            ForgeError::NotFound { .. } => Failed::Never(error.to_string()),
            // A credential that is not accepted today may be mended; asking costs the forge little, and seldom.
            other if !other.is_transient() => Failed::Later { why: other.to_string(), wait: Some(LONGEST) },
            other => Failed::Later { why: other.to_string(), wait: other.retry_after() },
        }
    }
}

impl From<PassError> for Failed {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Store(error) => Failed::Store(error),
            PassError::NoProject(_) | PassError::Disabled(_) => Failed::Never(error.to_string()),
            other => Failed::Later { why: other.to_string(), wait: None },
        }
    }
}

/// Reports on a request, and notes when it is due again.
pub(super) async fn report(parts: &Parts, row: PullRow) -> Result<(), StoreError> {
    let span = tracing::info_span!("pull request", project = %row.project, prNumber = row.number, operation = "report", integrationId = Empty, provider = Empty, commitSha = Empty);
    async {
        match report_once(parts, &row).await {
            Ok(()) => Ok(()),
            Err(Failed::Store(error)) => Err(error),
            Err(Failed::Never(why)) => {
                tracing::info!(why, "the pull request is not reported on");
                parts.store.unplanned_pull(&row, None).await
            }
            Err(Failed::Later { why, wait }) => {
                let wait = wait.unwrap_or_else(|| pause(row.failures)).max(FIRST);
                tracing::warn!(why, again_in = wait.as_secs(), "the pull request could not be reported on");
                let again = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
                parts.store.unplanned_pull(&row, Some(again)).await
            }
        }
    }
    .instrument(span)
    .await
}

fn pause(failures: u64) -> Duration {
    FIRST.saturating_mul(1 << u32::try_from(failures).unwrap_or(u32::MAX).min(16)).min(LONGEST)
}

async fn report_once(parts: &Parts, row: &PullRow) -> Result<(), Failed> {
    let Some(way) = parts.ways.to(&row.project).await? else {
        return Err(Failed::Never(format!("{} has no integration", row.project)));
    };
    let span = tracing::Span::current();
    span.record("integrationId", way.integration.as_str()).record("provider", way.forge.kind().word());
    let read = way.forge.read_pull_request(&way.repository, row.number).await?;
    let facts = facts(&read)?;
    span.record("commitSha", facts.head.as_str());
    let report = parts.passes.pull_report(&row.project, row.number, &facts, ACTOR).await?;
    leave(parts, &way, row, &report).await?;
    let kept = serde_json::to_string(&read)
        .map_err(|error| Failed::Never(format!("what the forge said is no JSON: {error}")))?;
    parts.store.planned_pull(row, stage(&report), kept, Timestamp::now()).await?;
    Ok(())
}

/// What the forge says of a request, as a pass takes it.
fn facts(read: &PullRequest) -> Result<PullFacts, Failed> {
    let silent = || Failed::Later { why: "the forge does not say where the head stands".to_owned(), wait: None };
    let state = match read.state {
        api::PullState::Open => PullState::Open,
        api::PullState::Merged => PullState::Merged { commit: read.merge_commit.clone() },
        api::PullState::Closed => PullState::Closed,
    };
    Ok(PullFacts {
        head: read.head.commit.clone().ok_or_else(silent)?,
        target: Some(read.base.branch.clone()),
        fork: read.is_fork,
        state,
    })
}

/// Leaves what is to be said in the outbox.
async fn leave(parts: &Parts, way: &Way, row: &PullRow, report: &PullReport) -> Result<(), Failed> {
    let link = parts
        .public_url
        .as_ref()
        .map(|url| format!("{url}/api/v1/projects/{}/pulls/{}/report", row.project, row.number));
    let shared = parts.ways.is_shared(&row.project, way).await?;
    let place = Place {
        repository: &way.repository,
        limits: way.forge.limits(),
        installation: &parts.installation,
        link: link.as_deref(),
        shared: shared.then_some(&row.project),
    };
    let about = |environment: Option<&EnvironmentName>, heard_at| About {
        project: row.project.clone(),
        environment: environment.cloned(),
        pull: Some(row.number),
        commit: Some(report.head.clone()),
        heard_at,
    };
    let comment = texts::comment(report, &place);
    let is_shown =
        |of: &EnvironmentReport| !matches!(of.outcome, PullOutcome::NotPlanned { why: NotPlanned::ReportsOff });
    if report.state == PullState::Closed || !report.environments.iter().any(is_shown) {
        // Where something was said before, it holds no longer: the request was closed, or leads elsewhere.
        if parts.outbox.has_any(&about(None, None), &comment).await? {
            parts.outbox.put(about(None, None), &comment).await?;
        }
        return Ok(());
    }
    parts.outbox.put(about(None, row.heard_at), &comment).await?;
    // Where it says the same as before nobody looks whether it still stands.
    if let Some(id) = parts.outbox.standing(&about(None, None), &comment).await?
        && way.forge.read_comment(&way.repository, row.number, &id).await?.is_none()
    {
        tracing::info!("the comment is gone from the forge; it is written anew");
        parts.outbox.put_anew(about(None, row.heard_at), &comment).await?;
    }
    for of in &report.environments {
        let name = &of.environment;
        let texts: [Option<Posting>; 2] = [texts::status(report, name, &place), texts::check_run(report, name, &place)];
        for posting in texts.iter().flatten() {
            parts.outbox.put(about(Some(name), None), posting).await?;
        }
    }
    if let Some(notes) = texts::line_notes(report, &place) {
        parts.outbox.put(about(None, None), &notes).await?;
    }
    Ok(())
}

/// How far a request has come: after its merge it is followed until nothing of it awaits a sync.
fn stage(report: &PullReport) -> PullStage {
    let settled = |outcome: &PullOutcome| match outcome {
        PullOutcome::Planned(planned) => match &planned.merged {
            Some(AfterMerge::InSync) => true,
            Some(AfterMerge::Ran { succeeded, rest, .. }) => *succeeded && rest.is_none(),
            Some(AfterMerge::Awaits { .. }) | None => false,
        },
        PullOutcome::Conflict { .. }
        | PullOutcome::Invalid { .. }
        | PullOutcome::NoFile { .. }
        | PullOutcome::NotPlanned { .. } => true,
    };
    match &report.state {
        PullState::Open => PullStage::Open,
        PullState::Merged { .. } if report.environments.iter().all(|of| settled(&of.outcome)) => PullStage::Done,
        PullState::Merged { .. } => PullStage::Merged,
        PullState::Closed => PullStage::Done,
    }
}
