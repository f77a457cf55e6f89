//! `POST /api/v1/projects/{project}/environments`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::api::projects::{self, InProject};
use crate::http::dto::{EnvironmentView, NewEnvironment};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;
use crate::store::records::Environment;

/// Registers an environment: where a project's services run. Nothing is changed there by it.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments", tag = "environments", operation_id = "create_environment", params(("project" = String, Path, description = "The project.")), request_body = NewEnvironment, responses((status = 201, description = "Registered.", body = EnvironmentView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InProject { project }): At<InProject>,
    Body(new): Body<NewEnvironment>,
) -> Result<(StatusCode, Json<EnvironmentView>), Problem> {
    let project = projects::find(&state.store, &project).await?;
    let NewEnvironment {
        name,
        provider,
        settings,
        tracked,
        secrets,
        values,
        allow_host_paths,
        allow_untracked,
        report_detail,
        plan_forks,
        drift_issue,
        comment_commands,
        run_as,
    } = new;
    let now = Timestamp::now();
    let environment = Environment {
        id: EnvironmentRef { project: project.name.clone(), environment: name },
        provider,
        settings,
        tracked,
        secrets,
        values,
        allow_host_paths,
        allow_untracked,
        report_detail,
        plan_forks,
        drift_issue,
        comment_commands,
        run_as,
        created_at: now,
    };
    super::check(&state, &project, &environment)?;
    state.audit.allowed(&actor, "environment add", &environment.id.to_string(), now).await?;
    state.store.add_environment(environment.clone()).await?;
    state.nudge.nudge(&environment.id);
    Ok((StatusCode::CREATED, Json(super::view(environment))))
}
