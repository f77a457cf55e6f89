//! `GET /api/v1/integrations/{integration}`

use axum::Json;
use axum::extract::State;

use super::InIntegration;
use crate::http::ApiState;
use crate::http::dto::IntegrationView;
use crate::http::extract::At;
use crate::http::problem::Problem;

/// One integration, with how it is doing.
#[utoipa::path(get, path = "/api/v1/integrations/{integration}", tag = "integrations", operation_id = "show_integration", params(("integration" = String, Path, description = "Its name.")), responses((status = 200, description = "It.", body = IntegrationView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    At(InIntegration { integration }): At<InIntegration>,
) -> Result<Json<IntegrationView>, Problem> {
    let integration = super::find(&state.store, &integration).await?;
    Ok(Json(super::view(&state.store, integration).await?))
}
