//! `GET /api/v1/plans/{digest}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::plan::Plan;

#[derive(Deserialize)]
pub(in crate::http) struct InPlan {
    digest: String,
}

/// A plan that is kept.
#[utoipa::path(get, path = "/api/v1/plans/{digest}", tag = "plans", operation_id = "show_plan", params(("digest" = String, Path, description = "Its digest, or a unique prefix of 8 or more digits.")), responses((status = 200, description = "It.", body = Plan), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InPlan { digest }): At<InPlan>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(state.store.plan_by_prefix(&digest).await?))
}
