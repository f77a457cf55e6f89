//! `GET /api/v1/outbox`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::dto::{ReportState, ReportView};
use crate::http::extract::Params;
use crate::http::problem::Problem;
use crate::ids::ProjectName;
use crate::store::records::ReportFilter;

/// Reports of one answer, where the caller does not say how many.
const LIMIT: usize = 50;
/// The most reports of one answer.
const LIMIT_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    project: Option<ProjectName>,
    state: Option<ReportState>,
    limit: Option<usize>,
}

/// Reports, newest first, without what is to be written.
#[utoipa::path(get, path = "/api/v1/outbox", tag = "outbox", operation_id = "list_reports", params(("project" = Option<String>, Query, description = "Those about this project."), ("state" = Option<ReportState>, Query, description = "Those that stand so."), ("limit" = Option<u64>, Query, description = "At most so many, and never more than 500; 50 where it is absent.")), responses((status = 200, description = "Newest first.", body = Vec<ReportView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Params(Filter { project, state: standing, limit }): Params<Filter>,
) -> Result<Json<Vec<ReportView>>, Problem> {
    let limit = limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let rows = state.store.reports(ReportFilter { project, state: standing, limit }).await?;
    Ok(Json(rows.into_iter().map(|row| ReportView::of(row, false)).collect()))
}
