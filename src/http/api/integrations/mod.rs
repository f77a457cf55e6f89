//! Integrations.

pub(in crate::http) mod create;
pub(in crate::http) mod list;
pub(in crate::http) mod remove;
pub(in crate::http) mod show;
pub(in crate::http) mod test;
pub(in crate::http) mod update;
pub(in crate::http) mod users;

use serde::Deserialize;

use crate::http::dto::IntegrationView;
use crate::http::problem::Problem;
use crate::ids::IntegrationName;
use crate::integration::{InvalidIntegration, settings};
use crate::store::Store;
use crate::store::records::Integration;

/// The integration of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InIntegration {
    pub(in crate::http) integration: IntegrationName,
}

/// The integration of a name, or a 404.
pub(in crate::http) async fn find(store: &Store, name: &IntegrationName) -> Result<Integration, Problem> {
    store.integration(name).await?.ok_or_else(|| Problem::not_found(format!("integration {name} does not exist")))
}

async fn view(store: &Store, integration: Integration) -> Result<IntegrationView, Problem> {
    let standing = store.integration_standing(&integration.name).await?.unwrap_or_else(|| integration.unchecked());
    let projects = store.integration_users(&integration.name).await?;
    let Integration { name, kind, provider, endpoint, auth, settings, owner, created_at, updated_at } = integration;
    Ok(IntegrationView {
        name,
        kind,
        provider,
        endpoint,
        auth,
        settings,
        owner,
        created_at,
        updated_at,
        standing,
        projects,
    })
}

/// Checks what is to be stored as a whole.
fn check(integration: &Integration) -> Result<(), Problem> {
    let Integration { provider, endpoint, auth, settings, owner, .. } = integration;
    if owner.is_empty() || owner.len() > 200 || owner.chars().any(char::is_control) {
        return Err(Problem::unprocessable("owner: write a name, a team or an address, at most 200 characters"));
    }
    settings::check(*provider, endpoint, auth.as_ref(), settings).map_err(Problem::from)
}

impl From<InvalidIntegration> for Problem {
    fn from(invalid: InvalidIntegration) -> Self {
        Problem::unprocessable(invalid.to_string())
    }
}
