//! `POST /api/v1/projects/{project}/environments/{environment}/test`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;
use crate::provider::ConnectionReport;

/// Tries the connection to where an environment's services run. Changes nothing.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/test", tag = "environments", operation_id = "test_environment", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), responses((status = 200, description = "What was found.", body = ConnectionReport), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn test(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
) -> Result<Json<ConnectionReport>, Problem> {
    let provider = state.passes.provider(&id).await?;
    Ok(Json(provider.test_connection().await))
}
