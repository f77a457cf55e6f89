//! `POST /api/v1/projects/{project}/check`

use axum::Json;
use axum::extract::State;

use super::InProject;
use crate::http::ApiState;
use crate::http::dto::ProjectCheck;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// Looks whether a project's webhook is there, active, and what its last delivery met with. Changes nothing there.
#[utoipa::path(post, path = "/api/v1/projects/{project}/check", tag = "projects", operation_id = "check_project", params(("project" = String, Path, description = "Its name.")), responses((status = 200, description = "What was found.", body = ProjectCheck), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn check(
    State(state): State<ApiState>,
    At(InProject { project }): At<InProject>,
) -> Result<Json<ProjectCheck>, Problem> {
    let project = super::find(&state.store, &project).await?;
    Ok(Json(state.hooks.check(&project).await?))
}
