//! The status of a tracked branch's commit: in sync, or awaiting one.

use crate::ids::{EnvironmentRef, PlanDigest};
use crate::outbox::{About, Posting, Unposted};
use crate::report::status::{Branch, Naming, of_branch};
use crate::reporter::Parts;
use crate::reporter::texts::{Place, status_request};
use crate::store::records::{Environment, ReadState};

/// Reports on the branch that an environment tracks, as its latest plan and the last read of its file say.
pub(super) async fn report(parts: &Parts, id: &EnvironmentRef) {
    match report_once(parts, id).await {
        Ok(()) => {}
        Err(Unposted::NoWay(why)) => tracing::debug!(environment = %id, why, "its branch is not reported on"),
        Err(Unposted::Store(error)) => {
            tracing::error!(environment = %id, %error, "its branch's status could not be kept")
        }
    }
}

async fn report_once(parts: &Parts, id: &EnvironmentRef) -> Result<(), Unposted> {
    let Some(way) = parts.ways.to(&id.project).await? else { return Ok(()) };
    let Some(environment) = parts.store.environment(id).await? else { return Ok(()) };
    let plan = parts.store.latest_plan(id).await?;
    let Some(read) = parts.store.read(id).await? else { return Ok(()) };
    let Some(commit) = read.commit.clone() else { return Ok(()) };
    let branch = match (read.state, &plan) {
        (ReadState::Ok, Some(plan)) if plan.commit.as_ref() == Some(&commit) => Branch::Planned(plan),
        (ReadState::Invalid, _) => Branch::Invalid(1),
        (ReadState::NoFile, _) => Branch::NoFile,
        // Neither a repository that cannot be asked nor a plan that is not made yet says anything of the commit.
        (ReadState::Ok | ReadState::FetchFailed | ReadState::Disabled, _) => return Ok(()),
    };
    let shared = parts.ways.is_shared(&id.project, &way).await?;
    let link = link(parts, id, plan.as_ref().map(|plan| &plan.digest));
    let place = Place {
        repository: &way.repository,
        limits: way.forge.limits(),
        installation: &parts.installation,
        link: link.as_deref(),
        shared: shared.then_some(&id.project),
    };
    let naming =
        Naming { environment: &id.environment, project: place.shared, installation: Some(&parts.installation) };
    let Some(status) = of_branch(branch, environment.report_detail, naming) else { return Ok(()) };
    let posting = Posting::Status(status_request(status, commit.clone(), tracked_branch(&environment), &place));
    let about = About {
        project: id.project.clone(),
        environment: Some(id.environment.clone()),
        pull: None,
        commit: Some(commit),
        heard_at: None,
    };
    Ok(parts.outbox.put(about, &posting).await?)
}

/// The branch's name, where the environment names one; a glob of tags is none.
fn tracked_branch(environment: &Environment) -> Option<String> {
    let tracked = environment.tracked.as_deref()?;
    let name = tracked.strip_prefix("refs/heads/").unwrap_or(tracked);
    (!name.starts_with("refs/") && !name.contains('*')).then(|| name.to_owned())
}

/// Where people read of an environment, or of its plan.
pub(super) fn link(parts: &Parts, id: &EnvironmentRef, plan: Option<&PlanDigest>) -> Option<String> {
    let url = parts.public_url.as_ref()?;
    Some(match plan {
        Some(plan) => format!("{url}/api/v1/plans/{plan}"),
        None => format!("{url}/api/v1/projects/{}/environments/{}", id.project, id.environment),
    })
}
