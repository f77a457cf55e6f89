//! `GET /api/v1/audit`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::extract::Params;
use crate::http::problem::Problem;
use crate::store::records::AuditLine;

/// The most lines that one request lists.
const LIMIT_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Options {
    #[serde(default = "some")]
    limit: usize,
}

fn some() -> usize {
    100
}

/// The newest lines of the audit log, newest first. They name auth references, never values.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit", params(("limit" = Option<usize>, Query, description = "How many at most; 100 by default, 1000 at most.")), responses((status = 200, description = "Newest first.", body = Vec<AuditLine>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Params(Options { limit }): Params<Options>,
) -> Result<Json<Vec<AuditLine>>, Problem> {
    Ok(Json(state.store.audit(limit.min(LIMIT_MAX)).await?))
}
