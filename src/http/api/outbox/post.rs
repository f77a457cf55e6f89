//! `POST /api/v1/outbox/{report}/post`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use super::InReport;
use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;

/// Posts a report that failed for good, or was skipped as the daemon is offline. It tells what it told then; nothing that
/// runs is touched.
#[utoipa::path(post, path = "/api/v1/outbox/{report}/post", tag = "outbox", operation_id = "post_report", params(("report" = u64, Path, description = "Its number.")), responses((status = 202, description = "It is posted soon."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn post(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InReport { report }): At<InReport>,
) -> Result<StatusCode, Problem> {
    state.audit.allowed(&actor, "report posted by hand", &report.to_string(), Timestamp::now()).await?;
    state.outbox.retry(report).await?;
    Ok(StatusCode::ACCEPTED)
}
