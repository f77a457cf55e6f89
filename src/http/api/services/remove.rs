//! `DELETE /api/v1/projects/{project}/environments/{environment}/services/{service}`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::extract::{At, InService};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Forgets what is registered of a service. What runs goes on running.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}", tag = "services", operation_id = "remove_service", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment."), ("service" = String, Path, description = "The service.")), responses((status = 204, description = "Forgotten."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    At(InService { service }): At<InService>,
) -> Result<StatusCode, Problem> {
    state.audit.allowed(&actor, "service remove", &format!("{id}/{service}"), Timestamp::now()).await?;
    state.store.remove_service(&id, &service).await?;
    state.nudge.nudge(&id);
    Ok(StatusCode::NO_CONTENT)
}
