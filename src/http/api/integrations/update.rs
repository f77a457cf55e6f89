//! `PATCH /api/v1/integrations/{integration}`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::InIntegration;
use crate::http::ApiState;
use crate::http::dto::{IntegrationPatch, IntegrationView};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::integration::settings;

/// Changes what is registered of an integration. It is looked at soon.
#[utoipa::path(patch, path = "/api/v1/integrations/{integration}", tag = "integrations", operation_id = "update_integration", params(("integration" = String, Path, description = "Its name.")), request_body = IntegrationPatch, responses((status = 200, description = "As it is now.", body = IntegrationView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn update(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InIntegration { integration }): At<InIntegration>,
    Body(patch): Body<IntegrationPatch>,
) -> Result<Json<IntegrationView>, Problem> {
    let before = super::find(&state.store, &integration).await?;
    let mut integration = before.clone();
    let IntegrationPatch { endpoint, auth, settings: changes, owner } = patch;
    if let Some(endpoint) = endpoint {
        integration.endpoint = settings::endpoint(integration.provider, &endpoint)?;
    }
    integration.auth = auth.unwrap_or(integration.auth);
    integration.owner = owner.unwrap_or(integration.owner);
    for (key, change) in changes {
        match change {
            Some(value) => integration.settings.insert(key, value),
            None => integration.settings.remove(&key),
        };
    }
    integration.updated_at = Timestamp::now();
    super::check(&integration)?;
    state.audit.allowed(&actor, "integration set", integration.name.as_str(), integration.updated_at).await?;
    state.catalog.update(before, integration.clone()).await?;
    state.webhooks.forget_secrets();
    Ok(Json(super::view(&state.store, integration).await?))
}
