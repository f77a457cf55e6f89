//! `GET /api/v1/projects/{project}/environments/{environment}`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::dto::EnvironmentView;
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// One environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}", tag = "environments", operation_id = "show_environment", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), responses((status = 200, description = "It.", body = EnvironmentView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
) -> Result<Json<EnvironmentView>, Problem> {
    Ok(Json(super::view(super::find(&state.store, &id).await?)))
}
