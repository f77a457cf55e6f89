//! `DELETE /api/v1/tokens/{name}`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;

#[derive(Deserialize)]
pub(in crate::http) struct InToken {
    name: String,
}

/// Revokes a token, at once; what is still being answered to its bearer ends.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens", operation_id = "revoke_token", params(("name" = String, Path, description = "Its name.")), responses((status = 204, description = "Revoked."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn revoke(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InToken { name }): At<InToken>,
) -> Result<StatusCode, Problem> {
    let target: String = name.chars().take(80).collect();
    state.audit.allowed(&actor, "token remove", &target, Timestamp::now()).await?;
    state.store.remove_token(&name).await?;
    state.streams.end(&name);
    Ok(StatusCode::NO_CONTENT)
}
