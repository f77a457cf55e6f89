//! Environments, and what is asked of one.

pub(in crate::http) mod create;
pub(in crate::http) mod list;
pub(in crate::http) mod plan;
pub(in crate::http) mod refresh;
pub(in crate::http) mod remove;
pub(in crate::http) mod rollback;
pub(in crate::http) mod runs;
pub(in crate::http) mod show;
pub(in crate::http) mod start;
pub(in crate::http) mod sync;
pub(in crate::http) mod test;
pub(in crate::http) mod update;
pub(in crate::http) mod why;

use crate::authority::CommentCommands;
use crate::http::dto::EnvironmentView;
use crate::http::problem::Problem;
use crate::http::{ApiState, validate};
use crate::ids::EnvironmentRef;
use crate::report::detail::ReportDetail;
use crate::store::Store;
use crate::store::records::{Environment, Project};

/// The environment of a name, or a 404.
pub(in crate::http) async fn find(store: &Store, id: &EnvironmentRef) -> Result<Environment, Problem> {
    store.environment(id).await?.ok_or_else(|| Problem::not_found(format!("environment {id} does not exist")))
}

/// An environment as it is shown.
fn view(environment: Environment) -> EnvironmentView {
    let Environment {
        id,
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
        created_at,
    } = environment;
    EnvironmentView {
        project: id.project,
        name: id.environment,
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
        created_at,
    }
}

/// Checks an environment as it would be stored, its provider's settings by the provider itself.
fn check(state: &ApiState, project: &Project, environment: &Environment) -> Result<(), Problem> {
    validate::settings(&environment.settings)?;
    validate::values(&environment.values)?;
    validate::entries("secrets", environment.secrets.len())?;
    validate::host_paths(&environment.allow_host_paths)?;
    if let Some(tracked) = &environment.tracked {
        validate::reference("tracked", tracked)?;
    }
    if environment.report_detail == ReportDetail::Off && environment.comment_commands != CommentCommands::Off {
        return Err(Problem::unprocessable(
            "comment_commands: an environment whose reports are off answers no comments; let it report (report_detail names-only), or switch its commands off",
        ));
    }
    if let Some(user) = &environment.run_as {
        validate::user(user)?;
    }
    match state.providers.connect(project, environment) {
        Ok(_) => Ok(()),
        Err(why) => Err(Problem::unprocessable(why)),
    }
}
