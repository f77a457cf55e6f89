//! Drift that came from outside, found when nobody asked: told as an event, and in the environment's issue where the
//! operator wants one. Told once, and again when it is another.

use jiff::Timestamp;

use crate::events::event::{EventType, NewEvent};
use crate::ids::EnvironmentRef;
use crate::outbox::{About, Posting, Unposted};
use crate::pass::PassError;
use crate::report::drift::{DriftReport, issue, issue_marker};
use crate::report::markdown::CommentContext;
use crate::reporter::branch::link;
use crate::reporter::texts::Place;
use crate::reporter::{Parts, Way};
use crate::store::StoreError;
use crate::store::records::Run;

/// Why drift was not told now.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error(transparent)]
    Unposted(#[from] Unposted),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether an environment is to be looked at again, as a run is changing it or has just done so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Soon,
    WhenItMoves,
}

/// Tells what was changed outside Trueup in an environment, as its latest plan says.
pub(super) async fn report(parts: &Parts, id: &EnvironmentRef) -> Again {
    match report_once(parts, id).await {
        Ok(again) => return again,
        // Someone else says why: the environment is gone, or its project is switched off.
        Err(Untold::Pass(error @ (PassError::NoEnvironment(_) | PassError::NoProject(_) | PassError::Disabled(_)))) => {
            tracing::debug!(environment = %id, %error, "its drift is not told");
        }
        Err(error) => {
            tracing::warn!(environment = %id, %error, "drift from outside cannot be told; it is when its plan moves");
        }
    }
    Again::WhenItMoves
}

async fn report_once(parts: &Parts, id: &EnvironmentRef) -> Result<Again, Untold> {
    let nothing = Ok(Again::WhenItMoves);
    let Some(environment) = parts.store.environment(id).await? else { return nothing };
    // What a run does itself is no drift: what counts is what is seen after it.
    let looked = parts.passes.looks(id).observed_at;
    let run = parts.store.runs(id, 1).await?.into_iter().next();
    let over = |run: &Run| run.finished_at.is_some_and(|end| looked.is_some_and(|looked| looked > end));
    if run.is_some_and(|run| !over(&run)) {
        return Ok(Again::Soon);
    }
    let Some(plan) = parts.store.latest_plan(id).await? else { return nothing };
    let Some(found) = parts.passes.changed_outside(&plan, environment.report_detail).await? else { return nothing };
    let told = parts.store.drift_told(id).await?;
    let found = found.with_unseen(&told, &plan.unknowns);
    let way = match parts.ways.to(&id.project).await {
        Ok(way) => way,
        Err(Unposted::NoWay(why)) => {
            tracing::debug!(environment = %id, why, "its drift gets no issue");
            None
        }
        Err(error @ Unposted::Store(_)) => return Err(error.into()),
    };
    // The issue first: what is killed in between leaves it once more, which is nothing new to the outbox.
    if let Some(way) = way {
        leave_issue(parts, &way, &found, environment.drift_issue).await?;
    }
    if found.says_the_same_as(&told) {
        return nothing;
    }
    let kind = if found.is_in_sync() { EventType::DriftResolved } else { EventType::DriftDetected };
    let subject = format!("projects/{}/environments/{}", id.project, id.environment);
    let event = NewEvent { at: Timestamp::now(), kind, subject, data: found.data() };
    let event = parts.store.tell_drift(id, found.services, event).await?;
    parts.events.tell(&event);
    nothing
}

/// Leaves the issue, or its end, in the outbox, which keeps only what is new.
async fn leave_issue(parts: &Parts, way: &Way, found: &DriftReport, wanted: bool) -> Result<(), Untold> {
    let id = &found.environment;
    let link = link(parts, id, Some(&found.plan));
    let place = Place {
        repository: &way.repository,
        limits: way.forge.limits(),
        installation: &parts.installation,
        link: link.as_deref(),
        shared: None,
    };
    let style = place.style();
    let marker = issue_marker(&parts.installation, id, style.html);
    let about = About {
        project: id.project.clone(),
        environment: Some(id.environment.clone()),
        pull: None,
        commit: None,
        heard_at: None,
    };
    let posting = if wanted && !found.is_in_sync() {
        let context = CommentContext { installation: place.installation, link: place.link, style };
        let text = issue(found, &context);
        Posting::Issue(crate::forge::api::IssueRequest {
            repository: way.repository.clone(),
            known_id: None,
            marker,
            title: text.title,
            body: text.body,
        })
    } else {
        let close = Posting::CloseIssue { repository: way.repository.clone(), marker };
        if !parts.outbox.has_any(&about, &close).await? {
            return Ok(());
        }
        close
    };
    Ok(parts.outbox.put(about, &posting).await?)
}
