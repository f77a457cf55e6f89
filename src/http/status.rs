//! How an environment stands, from what is stored: nothing is looked at for a status.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::dto::{ReadState, ReadStatus, RunView, ServiceStatus, ServiceSync, StatusView, SyncState};
use crate::drift::Cause;
use crate::ids::ServiceName;
use crate::live::Health;
use crate::pass::Looks;
use crate::plan::Plan;
use crate::report::text::blocked_words;
use crate::store::records::Environment;
use crate::store::{Store, StoreError};

/// The status of one environment. `looks` says when this process last asked and observed: what came of it is written only
/// where it was new.
///
/// # Errors
/// A database that refuses.
pub(super) async fn of(
    store: &Store,
    environment: &Environment,
    run: Option<RunView>,
    looks: Looks,
) -> Result<StatusView, StoreError> {
    let id = &environment.id;
    let (read, plan, healths) = tokio::try_join!(store.read(id), store.latest_plan(id), store.healths(id))?;
    let read = read.map(|read| ReadStatus {
        checked_at: looks.checked_at.map_or(read.checked_at, |at| at.max(read.checked_at)),
        ..read
    });
    let seen = |made: Timestamp| looks.observed_at.map_or(made, |at| at.max(made));
    let mut names: BTreeSet<&ServiceName> = healths.iter().map(|(name, _, _)| name).collect();
    if let Some(plan) = &plan {
        names.extend(plan.desired.keys().chain(&plan.orphans).chain(plan.actions.iter().map(|action| &action.service)));
    }
    // Marks are of the latest plan; without an action there is none.
    let marks = match &plan {
        Some(plan) if !plan.actions.is_empty() => store.drift_marks(id).await?,
        Some(_) | None => Vec::new(),
    };
    let services = names
        .into_iter()
        .map(|name| {
            let known = healths.iter().find(|(known, _, _)| known == name);
            let unseen = || Health::Unknown { why: "it was not seen to run".into() };
            let action = plan.as_ref().and_then(|plan| plan.action(name));
            let causes: BTreeSet<Cause> =
                action.into_iter().flat_map(|action| &action.changes).map(|change| change.cause).collect();
            ServiceStatus {
                name: name.clone(),
                sync: plan.as_ref().map_or(ServiceSync::Unknown, |plan| service_sync(plan, name)),
                changes: action.map_or(0, |action| action.changes.len()),
                drift_since: marks.iter().filter(|mark| mark.service == *name).map(|mark| mark.since).min(),
                causes: causes.into_iter().collect(),
                reasons: plan.as_ref().map(|plan| reasons(plan, name)).unwrap_or_default(),
                health: known.map_or_else(unseen, |(_, service, _)| service.health.clone()),
                since: known.map(|(_, _, since)| *since),
                replicas: known.map(|(_, service, _)| service.replicas.clone()).unwrap_or_default(),
            }
        })
        .collect();
    let actions = plan.iter().flat_map(|plan| &plan.actions);
    Ok(StatusView {
        environment: id.clone(),
        provider: environment.provider.clone(),
        sync: plan.as_ref().map_or(SyncState::Unknown, |plan| environment_sync(plan, read.as_ref())),
        changes: actions.clone().map(|action| action.changes.len()).sum(),
        blocked: actions.filter(|action| !action.blocked.is_empty()).count(),
        plan_digest: plan.as_ref().map(|plan| plan.digest.clone()),
        observed_at: plan.map(|plan| seen(plan.made_at)),
        read,
        services,
        run,
    })
}

fn environment_sync(plan: &Plan, read: Option<&ReadStatus>) -> SyncState {
    let undeclared = plan.desired.is_empty() && plan.actions.is_empty() && plan.orphans.is_empty();
    if read.is_some_and(|read| read.state == ReadState::NoFile) || undeclared && plan.unknowns.is_empty() {
        return SyncState::Undeclared;
    }
    if plan.unknowns.iter().any(|unknown| unknown.service.is_none()) {
        return SyncState::Unknown;
    }
    if !plan.actions.is_empty() || !plan.orphans.is_empty() {
        return SyncState::Drift;
    }
    if plan.unknowns.is_empty() { SyncState::InSync } else { SyncState::Unknown }
}

fn service_sync(plan: &Plan, name: &ServiceName) -> ServiceSync {
    if plan.orphans.contains(name) {
        return ServiceSync::Orphan;
    }
    let unknown = plan.unknowns.iter().any(|unknown| unknown.service.as_ref().is_none_or(|service| service == name));
    match plan.action(name) {
        Some(action) if !action.blocked.is_empty() => ServiceSync::Blocked,
        Some(_) => ServiceSync::Drift,
        None if unknown => ServiceSync::Unknown,
        None if plan.in_sync.contains(name) => ServiceSync::InSync,
        None => ServiceSync::Unknown,
    }
}

/// What stands in the way of a service's sync, or of telling whether it is in sync.
fn reasons(plan: &Plan, name: &ServiceName) -> Vec<String> {
    let blocked = plan.action(name).into_iter().flat_map(|action| &action.blocked).map(blocked_words);
    let about = |service: &Option<ServiceName>| service.as_ref().is_none_or(|service| service == name);
    let unknown = plan.unknowns.iter().filter(|unknown| about(&unknown.service)).map(|unknown| unknown.why.clone());
    let all: BTreeSet<String> = blocked.chain(unknown).collect();
    all.into_iter().collect()
}
