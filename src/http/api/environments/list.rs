//! `GET /api/v1/projects/{project}/environments`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::api::projects::{self, InProject};
use crate::http::dto::EnvironmentView;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// The environments of a project.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments", tag = "environments", operation_id = "list_environments", params(("project" = String, Path, description = "The project.")), responses((status = 200, description = "By name.", body = Vec<EnvironmentView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    At(InProject { project }): At<InProject>,
) -> Result<Json<Vec<EnvironmentView>>, Problem> {
    projects::find(&state.store, &project).await?;
    let environments = state.store.environments(Some(&project)).await?;
    Ok(Json(environments.into_iter().map(super::view).collect()))
}
