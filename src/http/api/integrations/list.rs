//! `GET /api/v1/integrations`

use axum::Json;
use axum::extract::State;

use crate::http::ApiState;
use crate::http::dto::IntegrationView;
use crate::http::problem::Problem;

/// Every integration, with how it is doing.
#[utoipa::path(get, path = "/api/v1/integrations", tag = "integrations", operation_id = "list_integrations", responses((status = 200, description = "By name.", body = Vec<IntegrationView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<IntegrationView>>, Problem> {
    let mut views = Vec::new();
    for integration in state.store.integrations().await? {
        views.push(super::view(&state.store, integration).await?);
    }
    Ok(Json(views))
}
