//! `GET /api/v1/projects`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::dto::ProjectView;
use crate::http::problem::Problem;

/// Every project.
#[utoipa::path(get, path = "/api/v1/projects", tag = "projects", operation_id = "list_projects", responses((status = 200, description = "By name.", body = Vec<ProjectView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<ProjectView>>, Problem> {
    let mut views = Vec::new();
    for project in state.store.projects().await? {
        views.push(super::view(&state.store, project).await?);
    }
    Ok(Json(views))
}
