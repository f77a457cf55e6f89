//! `POST /api/v1/projects/{project}/environments/{environment}/refresh`

use axum::Json;
use axum::extract::State;

use crate::http::dto::StatusView;
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::http::{ApiState, status};
use crate::ids::EnvironmentRef;
use crate::pass::PassError;

/// Looks at Git and at what runs again, and says how the environment stands. That Git could not be read is part of the
/// answer.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/refresh", tag = "environments", operation_id = "refresh", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), responses((status = 200, description = "How it stands.", body = StatusView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn refresh(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
) -> Result<Json<StatusView>, Problem> {
    let environment = super::find(&state.store, &id).await?;
    match state.passes.refresh(&id).await {
        // What went wrong with reading stands in the status, with since when.
        Ok(_)
        | Err(
            PassError::Git(_)
            | PassError::Remote(_)
            | PassError::NoRef { .. }
            | PassError::Invalid(..)
            | PassError::Secret(_),
        ) => {}
        Err(error) => return Err(error.into()),
    }
    let run = state.store.unfinished_runs().await?.into_iter().find(|run| run.environment == id);
    Ok(Json(status::of(&state.store, &environment, run, state.passes.looks(&id)).await?))
}
