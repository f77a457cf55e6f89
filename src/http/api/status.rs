//! `GET /api/v1/status`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::http::dto::StatusView;
use crate::http::extract::Params;
use crate::http::problem::Problem;
use crate::http::{ApiState, status as standing};
use crate::ids::{EnvironmentName, EnvironmentRef, ProjectName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Scope {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
}

/// How environments stand: in sync or not, and healthy or not. Of everything, of a project, or of one environment.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", operation_id = "status", params(("project" = Option<String>, Query, description = "Only this project's."), ("environment" = Option<String>, Query, description = "Only this one of the project.")), responses((status = 200, description = "By project and environment.", body = Vec<StatusView>), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn status(
    State(state): State<ApiState>,
    Params(Scope { project, environment }): Params<Scope>,
) -> Result<Json<Vec<StatusView>>, Problem> {
    let store = &state.store;
    let environments = match (project, environment) {
        (Some(project), Some(environment)) => {
            vec![super::environments::find(store, &EnvironmentRef { project, environment }).await?]
        }
        (Some(project), None) => {
            super::projects::find(store, &project).await?;
            store.environments(Some(&project)).await?
        }
        (None, None) => store.environments(None).await?,
        (None, Some(_)) => return Err(Problem::bad_request("an environment is named together with its project")),
    };
    let runs = store.unfinished_runs().await?;
    let mut views = Vec::with_capacity(environments.len());
    for environment in &environments {
        let run = runs.iter().find(|run| run.environment == environment.id).cloned();
        views.push(standing::of(store, environment, run, state.passes.looks(&environment.id)).await?);
    }
    Ok(Json(views))
}
