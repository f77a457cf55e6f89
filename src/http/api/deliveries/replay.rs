//! `POST /api/v1/deliveries/{delivery}/replay`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use super::InDelivery;
use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;

/// Puts a delivery back into the inbox. It says again that something moved, and nothing else.
#[utoipa::path(post, path = "/api/v1/deliveries/{delivery}/replay", tag = "deliveries", operation_id = "replay_delivery", params(("delivery" = u64, Path, description = "Its number.")), responses((status = 202, description = "It is taken in again."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn replay(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InDelivery { delivery }): At<InDelivery>,
) -> Result<StatusCode, Problem> {
    state.audit.allowed(&actor, "delivery replay", &delivery.to_string(), Timestamp::now()).await?;
    state.store.replay_delivery(delivery).await?;
    state.webhooks.replayed();
    Ok(StatusCode::ACCEPTED)
}
