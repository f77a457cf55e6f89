//! `POST /api/v1/projects/{project}/environments/{environment}/sync`

use axum::extract::State;
use axum::response::Response;

use crate::http::ApiState;
use crate::http::dto::{NothingToDo, RunStarted, SyncBody};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Carries out a plan that was confirmed, if it is still the plan of now. Options that are given have to be the plan's own.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/sync", tag = "environments", operation_id = "sync", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), request_body = SyncBody, responses((status = 202, description = "A run was begun.", body = RunStarted), (status = 200, description = "There was nothing to do.", body = NothingToDo), (status = 409, description = "The plan has moved (with the plan of now), or another run is at work.", body = Problem, content_type = "application/problem+json"), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn sync(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    Body(body): Body<SyncBody>,
) -> Result<Response, Problem> {
    let SyncBody { plan, reference, services, prune } = body;
    let plan = state.store.plan_by_prefix(&plan).await?;
    let other = |what: &str| {
        Problem::conflict(format!(
            "plan {} was made with another {what}; plan again with this one",
            plan.digest.short()
        ))
    };
    if plan.environment != id {
        return Err(other("environment"));
    }
    if plan.options.rollback_to.is_some() {
        return Err(Problem::conflict("this plan goes back to a release; carry it out with rollback"));
    }
    if reference.is_some_and(|reference| reference != plan.reference) {
        return Err(other("ref"));
    }
    if services.is_some() && services != plan.options.services {
        return Err(other("choice of services"));
    }
    if prune.is_some_and(|prune| prune != plan.options.prune) {
        return Err(other("`prune`"));
    }
    super::start::start(&state, actor, id, plan).await
}
