//! `DELETE /api/v1/projects/{project}`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use super::InProject;
use crate::http::ApiState;
use crate::http::extract::{At, Params};
use crate::http::gate::Caller;
use crate::http::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Options {
    #[serde(default)]
    force: bool,
}

/// Forgets a project; with `force` also one that has environments. What runs goes on running.
#[utoipa::path(delete, path = "/api/v1/projects/{project}", tag = "projects", operation_id = "remove_project", params(("project" = String, Path, description = "Its name."), ("force" = Option<bool>, Query, description = "Its environments too, with their bases, plans and runs.")), responses((status = 204, description = "Forgotten."), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InProject { project }): At<InProject>,
    Params(Options { force }): Params<Options>,
) -> Result<StatusCode, Problem> {
    let environments = state.store.environments(Some(&project)).await?;
    state.audit.allowed(&actor, "project remove", project.as_str(), Timestamp::now()).await?;
    state.store.remove_project(&project, force).await?;
    state.webhooks.forget_secrets();
    state.hooks.discard(&project);
    for environment in environments {
        state.nudge.nudge(&environment.id);
    }
    Ok(StatusCode::NO_CONTENT)
}
