//! `DELETE /api/v1/integrations/{integration}`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use super::InIntegration;
use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;

/// Forgets an integration that no project uses. Nothing is changed there by it.
#[utoipa::path(delete, path = "/api/v1/integrations/{integration}", tag = "integrations", operation_id = "remove_integration", params(("integration" = String, Path, description = "Its name.")), responses((status = 204, description = "Forgotten."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InIntegration { integration }): At<InIntegration>,
) -> Result<StatusCode, Problem> {
    let integration = super::find(&state.store, &integration).await?;
    let now = Timestamp::now();
    state.audit.allowed(&actor, "integration remove", integration.name.as_str(), now).await?;
    state.catalog.remove(&integration, now).await?;
    state.webhooks.forget_secrets();
    Ok(StatusCode::NO_CONTENT)
}
