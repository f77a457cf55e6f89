//! `GET /api/v1/projects/{project}/environments/{environment}/services`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::api::environments;
use crate::http::dto::RegisteredService;
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// The services that an operator registered in an environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services", tag = "services", operation_id = "list_services", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), responses((status = 200, description = "By name.", body = Vec<RegisteredService>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
) -> Result<Json<Vec<RegisteredService>>, Problem> {
    environments::find(&state.store, &id).await?;
    Ok(Json(state.store.services(&id).await?))
}
