//! `GET /api/v1/projects/{project}/environments/{environment}/runs`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::dto::RunView;
use crate::http::extract::{At, Params};
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// The most runs that one request lists.
const LIMIT_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Options {
    #[serde(default = "few")]
    limit: usize,
}

fn few() -> usize {
    20
}

/// The newest runs of an environment, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/runs", tag = "runs", operation_id = "list_runs", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment."), ("limit" = Option<usize>, Query, description = "How many at most; 20 by default, 1000 at most.")), responses((status = 200, description = "Newest first.", body = Vec<RunView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn runs(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
    Params(Options { limit }): Params<Options>,
) -> Result<Json<Vec<RunView>>, Problem> {
    super::find(&state.store, &id).await?;
    Ok(Json(state.store.runs(&id, limit.min(LIMIT_MAX)).await?))
}
