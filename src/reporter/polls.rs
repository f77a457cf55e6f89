//! Requests of repositories whose forge delivers no webhooks here: noticed by asking.
//!
//! Whether a forge delivers shows in deliveries that come, not in a secret that is registered: a webhook that was never set
//! up, or was removed, leaves nothing unnoticed.
//!
//! Git is asked first, which costs the forge little: where no request's head moved, its API is not asked at all. Closing and
//! retargeting move no head, so the API is asked now and then all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tracing::Instrument as _;

use crate::forge::api::PullRequest;
use crate::ids::ProjectName;
use crate::outbox::Unposted;
use crate::reporter::{ACTOR, Parts, Way};
use crate::store::records::{Project, PullRow, PullStage};

/// The longest that a request's state is believed without asking the forge.
const BELIEVED: SignedDuration = SignedDuration::from_mins(10);
/// How long after a delivery that told of a move a project is not asked about.
const HEARD: SignedDuration = SignedDuration::from_hours(24);
/// Projects that are asked about at once.
const AT_ONCE: usize = 8;

/// What the heads of each project's requests came to when they were asked for last.
pub type Heads = Mutex<BTreeMap<ProjectName, u64>>;

fn lock(heads: &Heads) -> MutexGuard<'_, BTreeMap<ProjectName, u64>> {
    heads.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at every project that is reported on and got no delivery lately.
pub(super) async fn poll(parts: &Parts) {
    let projects = match parts.store.projects().await {
        Ok(projects) => projects,
        Err(error) => {
            tracing::error!(%error, "which projects there are cannot be read");
            return;
        }
    };
    let heard = match parts.store.heard_since(Timestamp::now().saturating_sub(HEARD).unwrap_or(Timestamp::MIN)).await {
        Ok(heard) => heard,
        Err(error) => {
            tracing::error!(%error, "whose deliveries came cannot be read: all are asked");
            BTreeSet::new()
        }
    };
    let silent =
        |project: &&Project| project.integration.is_some() && !heard.contains(&project.name) && !project.disabled;
    let silent: Vec<&Project> = projects.iter().filter(silent).collect();
    for some in silent.chunks(AT_ONCE) {
        join_all(some.iter().map(|project| poll_one(parts, project))).await;
    }
}

async fn poll_one(parts: &Parts, project: &Project) {
    match look(parts, project).await {
        Ok(()) => {}
        Err(why) => {
            tracing::warn!(project = %project.name, why, "its pull requests cannot be asked for; they are at the next poll")
        }
    }
}

async fn look(parts: &Parts, project: &Project) -> Result<(), String> {
    let text = |error: Unposted| error.to_string();
    let Some(way) = parts.ways.to(&project.name).await.map_err(text)? else { return Ok(()) };
    let span = way.span(&project.name, "poll");
    look_through(parts, project, &way).instrument(span).await
}

async fn look_through(parts: &Parts, project: &Project, way: &Way) -> Result<(), String> {
    let known = parts.store.pulls(&project.name).await.map_err(|error| error.to_string())?;
    let now = Timestamp::now();
    if !asks_forge(parts, project, way, &known, now).await? {
        return Ok(());
    }
    let open = way.forge.list_open_pull_requests(&way.repository).await.map_err(|error| error.to_string())?;
    for number in wanted(&known, &open) {
        parts.store.want_pull(&project.name, number, now).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether the forge's API is to be asked: a head moved, or it was not asked for long.
async fn asks_forge(
    parts: &Parts,
    project: &Project,
    way: &Way,
    known: &[PullRow],
    now: Timestamp,
) -> Result<bool, String> {
    let Some(pattern) = way.forge.limits().pull_ref else { return Ok(true) };
    let remote = parts.passes.remote(project, ACTOR).await.map_err(|error| error.to_string())?;
    let heads = parts.git.refs(&remote, &pattern.replace("{}", "*")).await.map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    heads.hash(&mut hasher);
    let seen = hasher.finish();
    let moved = lock(&parts.heads).insert(project.name.clone(), seen) != Some(seen);
    let old = known
        .iter()
        .any(|row| row.stage == PullStage::Open && row.planned_at.is_some_and(|at| now.duration_since(at) > BELIEVED));
    Ok(moved || old)
}

/// The requests to read again: new ones, those whose head or target is another, and those that are open no more.
fn wanted(known: &[PullRow], open: &[PullRequest]) -> Vec<u64> {
    let before = |number: u64| {
        let row = known.iter().find(|row| row.number == number)?;
        serde_json::from_str::<PullRequest>(row.facts.as_deref()?).ok()
    };
    let other = |read: &&PullRequest| {
        before(read.number)
            .is_none_or(|was| was.head != read.head || was.base.branch != read.base.branch || was.state != read.state)
    };
    let new = open.iter().filter(other).map(|read| read.number);
    let gone = known
        .iter()
        .filter(|row| row.stage == PullStage::Open && open.iter().all(|read| read.number != row.number))
        .map(|row| row.number);
    new.chain(gone).collect()
}
