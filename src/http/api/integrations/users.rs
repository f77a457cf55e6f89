//! `/api/v1/integrations/{integration}/users`: which accounts on a forge have which role here.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use super::InIntegration;
use crate::http::ApiState;
use crate::http::dto::{ForgeUserView, NewForgeUser};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::IntegrationName;
use crate::integration::IntegrationProvider;
use crate::store::records::ForgeUserRow;

/// The longest name or id of an account, in bytes.
const NAME_MAX: usize = 200;

/// An account with a role.
#[derive(Deserialize)]
pub(in crate::http) struct InUser {
    integration: IntegrationName,
    user: String,
}

fn view(row: ForgeUserRow) -> ForgeUserView {
    let ForgeUserRow { integration: _, user_id, login, role, created_at } = row;
    ForgeUserView { id: user_id, login, role, created_at }
}

/// The accounts on a forge whose comments may ask for something here.
#[utoipa::path(get, path = "/api/v1/integrations/{integration}/users", tag = "integrations", operation_id = "list_forge_users", params(("integration" = String, Path, description = "The forge.")), responses((status = 200, description = "By what they were called.", body = Vec<ForgeUserView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    At(InIntegration { integration }): At<InIntegration>,
) -> Result<Json<Vec<ForgeUserView>>, Problem> {
    let integration = super::find(&state.store, &integration).await?;
    let users = state.store.forge_users(&integration.name).await?;
    Ok(Json(users.into_iter().map(view).collect()))
}

/// Gives an account on a forge a role, in place of the one that it had. The forge is asked which account has the name now;
/// the role goes to that account, not to the name.
#[utoipa::path(post, path = "/api/v1/integrations/{integration}/users", tag = "integrations", operation_id = "put_forge_user", params(("integration" = String, Path, description = "The forge.")), request_body = NewForgeUser, responses((status = 201, description = "It has the role.", body = ForgeUserView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InIntegration { integration }): At<InIntegration>,
    Body(NewForgeUser { login, role }): Body<NewForgeUser>,
) -> Result<(StatusCode, Json<ForgeUserView>), Problem> {
    let integration = super::find(&state.store, &integration).await?;
    let IntegrationProvider::Forge(_) = integration.provider else {
        return Err(Problem::unprocessable(format!("{} is no forge, and has no accounts", integration.name)));
    };
    if login.is_empty() || login.len() > NAME_MAX || login.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::unprocessable("login: what the account is called on the forge, without the @"));
    }
    let found = state.catalog.find_account(&integration, &login, &actor.name).await?;
    let found = found.map_err(|why| {
        Problem::unprocessable(format!("{} could not be asked for the account: {why}", integration.name))
    })?;
    let Some(found) = found else {
        return Err(Problem::unprocessable(format!(
            "login: {} has no account of that name (on Bitbucket Cloud, give the account id, or the UUID in braces)",
            integration.name
        )));
    };
    let row = ForgeUserRow {
        integration: integration.name,
        user_id: found.id,
        login: if found.name.is_empty() { login } else { found.name.chars().filter(|c| !c.is_control()).collect() },
        role,
        created_at: Timestamp::now(),
    };
    let target = format!("{} {} (id {}): {}", row.integration, row.login, row.user_id, role.word());
    state.audit.allowed(&actor, "integration user add", &target, row.created_at).await?;
    state.store.put_forge_user(row.clone()).await?;
    Ok((StatusCode::CREATED, Json(view(row))))
}

/// Takes an account's role away, at once.
#[utoipa::path(delete, path = "/api/v1/integrations/{integration}/users/{user}", tag = "integrations", operation_id = "remove_forge_user", params(("integration" = String, Path, description = "The forge."), ("user" = String, Path, description = "The account's id there.")), responses((status = 204, description = "It has no role."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InUser { integration, user }): At<InUser>,
) -> Result<StatusCode, Problem> {
    let integration = super::find(&state.store, &integration).await?;
    let shown: String = user.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    let target = format!("{} (id {shown})", integration.name);
    state.audit.allowed(&actor, "integration user remove", &target, Timestamp::now()).await?;
    state.store.remove_forge_user(&integration.name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
