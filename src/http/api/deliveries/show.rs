//! `GET /api/v1/deliveries/{delivery}`

use axum::Json;
use axum::extract::State;

use super::InDelivery;
use crate::authority::Role;
use crate::http::ApiState;
use crate::http::dto::DeliveryView;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;

/// One delivery. What was sent is shown to admins only: it may hold what is written in a private repository.
#[utoipa::path(get, path = "/api/v1/deliveries/{delivery}", tag = "deliveries", operation_id = "show_delivery", params(("delivery" = u64, Path, description = "Its number.")), responses((status = 200, description = "It.", body = DeliveryView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InDelivery { delivery }): At<InDelivery>,
) -> Result<Json<DeliveryView>, Problem> {
    let mut view = super::view(state.store.delivery(delivery).await?);
    if actor.role == Role::Admin {
        let body = state.store.delivery_body(delivery).await?;
        view.body = Some(String::from_utf8_lossy(&body).into_owned());
    }
    Ok(Json(view))
}
