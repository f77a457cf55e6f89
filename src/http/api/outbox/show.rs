//! `GET /api/v1/outbox/{report}`

use axum::Json;
use axum::extract::State;

use super::InReport;
use crate::http::ApiState;
use crate::http::dto::ReportView;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// One report, with what the forge is asked to write.
#[utoipa::path(get, path = "/api/v1/outbox/{report}", tag = "outbox", operation_id = "show_report", params(("report" = u64, Path, description = "Its number.")), responses((status = 200, description = "It.", body = ReportView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InReport { report }): At<InReport>,
) -> Result<Json<ReportView>, Problem> {
    let none =
        || Problem::not_found(format!("there is no report {report}; `trueup outbox list` lists those that are kept"));
    let row = state.store.report(report).await?.ok_or_else(none)?;
    Ok(Json(ReportView::of(row, true)))
}
