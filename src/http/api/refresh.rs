//! `POST /api/v1/refresh`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::http::ApiState;
use crate::http::dto::RefreshStarted;
use crate::http::problem::Problem;

/// Has every environment looked at again soon.
#[utoipa::path(post, path = "/api/v1/refresh", tag = "status", operation_id = "refresh_all", responses((status = 202, description = "They will be.", body = RefreshStarted), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn refresh(
    State(state): State<ApiState>,
) -> Result<(StatusCode, Json<RefreshStarted>), Problem> {
    let environments = state.store.environments(None).await?;
    for environment in &environments {
        state.nudge.nudge(&environment.id);
    }
    Ok((StatusCode::ACCEPTED, Json(RefreshStarted { environments: environments.len() })))
}
