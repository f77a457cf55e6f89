//! `GET /api/v1/deliveries`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::dto::{DeliveryState, DeliveryView};
use crate::http::extract::Params;
use crate::http::problem::Problem;
use crate::ids::ProjectName;
use crate::store::records::DeliveryFilter;

/// Deliveries of one answer, where the caller does not say how many.
const LIMIT: usize = 50;
/// The most deliveries of one answer.
const LIMIT_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    project: Option<ProjectName>,
    state: Option<DeliveryState>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// Deliveries, newest first, without what was sent.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", operation_id = "list_deliveries", params(("project" = Option<String>, Query, description = "Those sent to this project."), ("state" = Option<DeliveryState>, Query, description = "Those that stand so."), ("before" = Option<u64>, Query, description = "Those that came before this one."), ("limit" = Option<u64>, Query, description = "At most so many, and never more than 500; 50 where it is absent.")), responses((status = 200, description = "Newest first.", body = Vec<DeliveryView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<DeliveryView>>, Problem> {
    let Filter { project, state: standing, before, limit } = filter;
    let limit = limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let deliveries = state.store.deliveries(DeliveryFilter { project, state: standing, before, limit }).await?;
    Ok(Json(deliveries.into_iter().map(super::view).collect()))
}
