//! `POST /api/v1/projects`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use crate::http::dto::{NewProject, ProjectView};
use crate::http::extract::Body;
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::http::{ApiState, validate};
use crate::store::records::Project;

/// Registers a project. Nothing is read yet and nothing ever changed by it.
#[utoipa::path(post, path = "/api/v1/projects", tag = "projects", operation_id = "create_project", request_body = NewProject, responses((status = 201, description = "Registered.", body = ProjectView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<ProjectView>), Problem> {
    let NewProject { name, url, auth, user, tracked, config_path, webhook_secret, integration, repository } = new;
    validate::config_path(&config_path)?;
    if let Some(tracked) = &tracked {
        validate::reference("tracked", tracked)?;
    }
    let now = Timestamp::now();
    let url = validate::url(&url)?;
    if let Some(user) = &user {
        validate::repository_user(&url, user)?;
    }
    let project = Project {
        name,
        url,
        auth,
        user,
        tracked,
        config_path,
        disabled: false,
        webhook_secret,
        integration,
        repository,
        created_at: now,
    };
    super::check_forge(&state.store, &project).await?;
    state.audit.allowed(&actor, "project add", project.name.as_str(), now).await?;
    state.store.add_project(project.clone()).await?;
    state.webhooks.forget_secrets();
    Ok((StatusCode::CREATED, Json(super::view(&state.store, project).await?)))
}
