//! `GET /api/v1/tokens`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::dto::TokenView;
use crate::http::problem::Problem;
use crate::store::records::TokenRecord;

/// Every token by its name; never the token itself.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens", responses((status = 200, description = "By name.", body = Vec<TokenView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<TokenView>>, Problem> {
    let view = |TokenRecord { name, role, created_at }| TokenView { name, role, created_at };
    Ok(Json(state.store.tokens().await?.into_iter().map(view).collect()))
}
