//! `GET /api/v1/runs/{run}`

use axum::Json;
use axum::extract::State;

use super::InRun;
use crate::http::ApiState;
use crate::http::dto::RunDetail;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// A run with its journal and its output.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", operation_id = "show_run", params(("run" = u64, Path, description = "Its number.")), responses((status = 200, description = "It.", body = RunDetail), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InRun { run }): At<InRun>,
) -> Result<Json<RunDetail>, Problem> {
    let found = super::find(&state.store, run).await?;
    let (steps, lines) = tokio::try_join!(state.store.journal(run), state.store.lines(run, 0))?;
    Ok(Json(RunDetail { run: found, steps, lines }))
}
