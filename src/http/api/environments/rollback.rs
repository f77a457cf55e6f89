//! `POST /api/v1/projects/{project}/environments/{environment}/rollback`

use axum::extract::State;
use axum::response::Response;

use crate::http::ApiState;
use crate::http::dto::{NothingToDo, RollbackBody, RunStarted};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Carries out a plan back to a recorded release that was confirmed, if it is still the plan of now.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollback", tag = "environments", operation_id = "rollback", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), request_body = RollbackBody, responses((status = 202, description = "A run was begun.", body = RunStarted), (status = 200, description = "There was nothing to do.", body = NothingToDo), (status = 409, description = "The plan has moved (with the plan of now), or another run is at work.", body = Problem, content_type = "application/problem+json"), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn rollback(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    Body(body): Body<RollbackBody>,
) -> Result<Response, Problem> {
    let plan = state.store.plan_by_prefix(&body.plan).await?;
    let conflict = |why: String| Problem::conflict(format!("plan {} {why}", plan.digest.short()));
    if plan.environment != id {
        return Err(conflict(format!("is for {}, not for {id}", plan.environment)));
    }
    if body.services.is_some() && body.services != plan.options.services {
        return Err(conflict("was made with another choice of services; plan again with these".into()));
    }
    match (plan.options.rollback_to, body.to) {
        (None, _) => Err(conflict("goes back to no release; carry it out with sync".into())),
        (Some(run), Some(to)) if run != to => Err(conflict(format!("goes back to run {run}, not to run {to}"))),
        (Some(_), _) => super::start::start(&state, actor, id, plan).await,
    }
}
