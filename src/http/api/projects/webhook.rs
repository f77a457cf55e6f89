//! `POST /api/v1/projects/{project}/webhook`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::InProject;
use crate::http::ApiState;
use crate::http::dto::WebhookSetUp;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::reporter::HookError;

/// Makes the repository's webhook at its forge, or puts it right. Its secret is the registered one, else one that is made
/// and kept in the state directory.
#[utoipa::path(post, path = "/api/v1/projects/{project}/webhook", tag = "projects", operation_id = "set_up_webhook", params(("project" = String, Path, description = "Its name.")), responses((status = 200, description = "What was done.", body = WebhookSetUp), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn set_up(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InProject { project }): At<InProject>,
) -> Result<Json<WebhookSetUp>, Problem> {
    let mut project = super::find(&state.store, &project).await?;
    state.audit.allowed(&actor, "project webhook", project.name.as_str(), Timestamp::now()).await?;
    let secret = state.hooks.secret(&project, &actor.name).await?;
    let before = project.webhook_secret.replace(secret.reference.clone());
    if secret.made {
        // Before the forge knows it: the first thing that it does is to try.
        state.store.update_project(project.clone()).await?;
        state.webhooks.forget_secrets();
    }
    match state.hooks.set_up(&project, &actor.name).await {
        Ok(done) => Ok(Json(done)),
        Err(error) => {
            if secret.made {
                project.webhook_secret = before;
                state.store.update_project(project.clone()).await?;
                state.webhooks.forget_secrets();
                state.hooks.discard(&project.name);
            }
            Err(error.into())
        }
    }
}

impl From<HookError> for Problem {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Store(error) => error.into(),
            HookError::NotKept(error) => Problem::internal(&error),
            HookError::Forge { error: ref why, .. } if why.is_transient() => Problem::bad_gateway(error.to_string()),
            other @ (HookError::NoIntegration(_)
            | HookError::NoPublicUrl(_)
            | HookError::NoWay(_)
            | HookError::Secret(_)
            | HookError::Forge { .. }) => Problem::unprocessable(other.to_string()),
        }
    }
}
