//! `DELETE /api/v1/projects/{project}/environments/{environment}`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Forgets an environment with its base, plans and runs. What runs goes on running.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}", tag = "environments", operation_id = "remove_environment", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), responses((status = 204, description = "Forgotten."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
) -> Result<StatusCode, Problem> {
    state.audit.allowed(&actor, "environment remove", &id.to_string(), Timestamp::now()).await?;
    state.store.remove_environment(&id).await?;
    state.nudge.nudge(&id);
    Ok(StatusCode::NO_CONTENT)
}
