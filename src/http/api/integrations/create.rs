//! `POST /api/v1/integrations`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::dto::{IntegrationView, NewIntegration};
use crate::http::extract::Body;
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::integration::{IntegrationProvider, IntegrationType, settings};
use crate::store::records::Integration;

/// Registers an outside service. It is looked at soon; nothing is changed there by it.
#[utoipa::path(post, path = "/api/v1/integrations", tag = "integrations", operation_id = "create_integration", request_body = NewIntegration, responses((status = 201, description = "Registered.", body = IntegrationView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    Body(new): Body<NewIntegration>,
) -> Result<(StatusCode, Json<IntegrationView>), Problem> {
    let NewIntegration { name, provider, kind, endpoint, auth, settings, owner } = new;
    let kind = kind_of(provider, kind)?;
    let endpoint = match endpoint.as_deref().or(provider.default_endpoint()) {
        Some(endpoint) => settings::endpoint(provider, endpoint)?,
        None => {
            return Err(Problem::unprocessable(format!(
                "endpoint: {provider} is at no place of its own: say where it is"
            )));
        }
    };
    let now = Timestamp::now();
    let owner = owner.unwrap_or_else(|| actor.name.clone());
    let integration =
        Integration { name, kind, provider, endpoint, auth, settings, owner, created_at: now, updated_at: now };
    super::check(&integration)?;
    state.audit.allowed(&actor, "integration add", integration.name.as_str(), now).await?;
    state.catalog.add(integration.clone()).await?;
    state.webhooks.forget_secrets();
    Ok((StatusCode::CREATED, Json(super::view(&state.store, integration).await?)))
}

fn kind_of(provider: IntegrationProvider, said: Option<IntegrationType>) -> Result<IntegrationType, Problem> {
    let may_be = provider.types();
    match said {
        Some(kind) if !may_be.contains(&kind) => {
            let words: Vec<&str> = may_be.iter().map(|kind| kind.word()).collect();
            Err(Problem::unprocessable(format!("type: {provider} is no {kind}; it can be {}", words.join(" or "))))
        }
        said => Ok(said.unwrap_or(may_be[0])),
    }
}
