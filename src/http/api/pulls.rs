//! `/api/v1/projects/{project}/pulls/{number}/report`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;

use crate::http::api::projects;
use crate::http::dto::PullRequestBody;
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::http::{ApiState, validate};
use crate::ids::ProjectName;
use crate::report::pull::PullReport;

/// The pull request of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InPull {
    project: ProjectName,
    number: u64,
}

/// The newest report on a pull request. Nothing is looked at for it.
#[utoipa::path(get, path = "/api/v1/projects/{project}/pulls/{number}/report", tag = "pulls", operation_id = "show_pull_report", params(("project" = String, Path, description = "The project."), ("number" = u64, Path, description = "The pull request's number at its forge.")), responses((status = 200, description = "It.", body = PullReport), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InPull { project, number }): At<InPull>,
) -> Result<Json<PullReport>, Problem> {
    projects::find(&state.store, &project).await?;
    let found = state.store.pull_report(&project, number).await?;
    let (report, _) =
        found.ok_or_else(|| Problem::not_found(format!("{project} has no report on pull request {number}")))?;
    Ok(Json(report))
}

/// What merging a pull request and then syncing would change, from a fresh look. Kept as the newest report on it.
#[utoipa::path(post, path = "/api/v1/projects/{project}/pulls/{number}/report", tag = "pulls", operation_id = "report_on_pull", params(("project" = String, Path, description = "The project."), ("number" = u64, Path, description = "The pull request's number at its forge.")), request_body = PullRequestBody, responses((status = 200, description = "The report.", body = PullReport), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn report(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InPull { project, number }): At<InPull>,
    Body(PullRequestBody { target }): Body<PullRequestBody>,
) -> Result<Json<PullReport>, Problem> {
    projects::find(&state.store, &project).await?;
    if let Some(target) = &target {
        validate::reference("target", target)?;
    }
    let facts = state.passes.pull_facts(&project, number, target, &actor.name).await?;
    let report = state.passes.pull_report(&project, number, &facts, &actor.name).await?;
    state.store.put_pull_report(&report, Timestamp::now()).await?;
    Ok(Json(report))
}
