//! `PATCH /api/v1/projects/{project}/environments/{environment}`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::api::projects;
use crate::http::dto::{EnvironmentPatch, EnvironmentView};
use crate::http::extract::{At, Body};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Changes what is registered of an environment. Nothing is changed there by it.
#[utoipa::path(patch, path = "/api/v1/projects/{project}/environments/{environment}", tag = "environments", operation_id = "update_environment", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), request_body = EnvironmentPatch, responses((status = 200, description = "As it is now.", body = EnvironmentView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn update(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    Body(patch): Body<EnvironmentPatch>,
) -> Result<Json<EnvironmentView>, Problem> {
    let before = super::find(&state.store, &id).await?;
    let mut environment = before.clone();
    let project = projects::find(&state.store, &id.project).await?;
    let EnvironmentPatch {
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
    } = patch;
    merge(&mut environment.settings, settings);
    merge(&mut environment.secrets, secrets);
    merge(&mut environment.values, values);
    environment.tracked = tracked.unwrap_or(environment.tracked);
    environment.run_as = run_as.unwrap_or(environment.run_as);
    environment.allow_host_paths = allow_host_paths.unwrap_or(environment.allow_host_paths);
    environment.allow_untracked = allow_untracked.unwrap_or(environment.allow_untracked);
    environment.report_detail = report_detail.unwrap_or(environment.report_detail);
    environment.plan_forks = plan_forks.unwrap_or(environment.plan_forks);
    environment.drift_issue = drift_issue.unwrap_or(environment.drift_issue);
    environment.comment_commands = comment_commands.unwrap_or(environment.comment_commands);
    super::check(&state, &project, &environment)?;
    state.audit.allowed(&actor, "environment set", &id.to_string(), Timestamp::now()).await?;
    state.store.update_environment(before, environment.clone()).await?;
    state.nudge.nudge(&id);
    Ok(Json(super::view(environment)))
}

fn merge<K: Ord, V>(entries: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, change) in changes {
        match change {
            Some(value) => entries.insert(key, value),
            None => entries.remove(&key),
        };
    }
}
