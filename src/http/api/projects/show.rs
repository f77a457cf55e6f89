//! `GET /api/v1/projects/{project}`

use axum::Json;
use axum::extract::State;

use super::InProject;
use crate::http::ApiState;
use crate::http::dto::ProjectView;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// One project.
#[utoipa::path(get, path = "/api/v1/projects/{project}", tag = "projects", operation_id = "show_project", params(("project" = String, Path, description = "Its name.")), responses((status = 200, description = "It.", body = ProjectView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InProject { project }): At<InProject>,
) -> Result<Json<ProjectView>, Problem> {
    let project = super::find(&state.store, &project).await?;
    Ok(Json(super::view(&state.store, project).await?))
}
