//! `PATCH /api/v1/projects/{project}`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::InProject;
use crate::http::dto::{ProjectPatch, ProjectView};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::http::{ApiState, validate};

/// Changes what is registered of a project.
#[utoipa::path(patch, path = "/api/v1/projects/{project}", tag = "projects", operation_id = "update_project", params(("project" = String, Path, description = "Its name.")), request_body = ProjectPatch, responses((status = 200, description = "As it is now.", body = ProjectView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn update(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InProject { project }): At<InProject>,
    Body(patch): Body<ProjectPatch>,
) -> Result<Json<ProjectView>, Problem> {
    let mut project = super::find(&state.store, &project).await?;
    let ProjectPatch { url, auth, user, tracked, config_path, disabled, webhook_secret, integration, repository } =
        patch;
    if let Some(url) = url {
        project.url = validate::url(&url)?;
    }
    if let Some(auth) = auth {
        project.auth = auth;
    }
    project.user = user.unwrap_or(project.user);
    if let Some(user) = &project.user {
        validate::repository_user(&project.url, user)?;
    }
    if let Some(tracked) = tracked {
        if let Some(tracked) = &tracked {
            validate::reference("tracked", tracked)?;
        }
        project.tracked = tracked;
    }
    if let Some(config_path) = config_path {
        validate::config_path(&config_path)?;
        project.config_path = config_path;
    }
    if let Some(webhook_secret) = webhook_secret {
        project.webhook_secret = webhook_secret;
    }
    project.disabled = disabled.unwrap_or(project.disabled);
    project.integration = integration.unwrap_or(project.integration);
    project.repository = repository.unwrap_or(project.repository);
    super::check_forge(&state.store, &project).await?;
    state.audit.allowed(&actor, "project set", project.name.as_str(), Timestamp::now()).await?;
    state.store.update_project(project.clone()).await?;
    state.webhooks.forget_secrets();
    for environment in state.store.environments(Some(&project.name)).await? {
        state.nudge.nudge(&environment.id);
    }
    Ok(Json(super::view(&state.store, project).await?))
}
