//! `trueup status`: is what runs what is declared, and is it healthy? Two answers, side by side, neither hiding the other.

mod render;
#[cfg(test)]
mod tests;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::status::render::render;
use crate::cli::suggest::nearest;
use crate::cli::terminal::Terminal;
use crate::cli::when::Viewpoint;
use crate::http::dto::{ReadState, StatusView, SyncState};
use crate::ids::{EnvironmentName, InvalidId, ProjectName};

/// Is what runs what the repository declares, and is it healthy?
///
/// Shows what the daemon saw last (it looks every minute, and when something happens). For each service two answers:
/// whether it is in sync, and how it is doing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup status                     everything
  trueup status shop                one project
  trueup status shop/production     one environment
  trueup status --json | jq '.[] | select(.sync != \"in_sync\")'

Exit codes: 0 in sync, 2 drift, 1 error, or it is not known (a repository that cannot be read, an engine that cannot be
asked). Health does not change the exit code.")]
pub(super) struct Status {
    /// PROJECT or PROJECT/ENVIRONMENT; without it, everything
    #[arg(value_name = "PROJECT[/ENVIRONMENT]", value_parser = scope)]
    scope: Option<Scope>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
struct Scope {
    project: ProjectName,
    environment: Option<EnvironmentName>,
}

fn scope(text: &str) -> Result<Scope, InvalidId> {
    match text.split_once('/') {
        Some((project, environment)) => {
            Ok(Scope { project: project.parse()?, environment: Some(environment.parse()?) })
        }
        None => Ok(Scope { project: text.parse()?, environment: None }),
    }
}

/// Asks and shows.
pub(super) async fn run(verb: &Status, context: Context<'_>) -> anyhow::Result<Outcome> {
    let reply: Result<Vec<StatusView>, ClientError> = context.client.get(&path(verb.scope.as_ref())).await;
    let views = match (reply, &verb.scope) {
        (Err(error), Some(scope)) if error.status() == Some(404) => {
            return Err(nothing_there(&context.client, scope).await);
        }
        (Ok(views), Some(scope)) if views.is_empty() => return Err(nothing_there(&context.client, scope).await),
        (reply, _) => reply?,
    };
    show(&views, verb.json, context.terminal)
}

fn path(scope: Option<&Scope>) -> String {
    match scope {
        None => "/status".into(),
        Some(Scope { project, environment: None }) => format!("/status?project={project}"),
        Some(Scope { project, environment: Some(environment) }) => {
            format!("/status?project={project}&environment={environment}")
        }
    }
}

/// No environment matches: says what there is.
async fn nothing_there(client: &Client, scope: &Scope) -> anyhow::Error {
    let all: Vec<StatusView> = match client.get("/status").await {
        Ok(all) => all,
        Err(error) => return error.into(),
    };
    let known: Vec<String> = all.iter().map(|view| view.environment.to_string()).collect();
    let wanted = match &scope.environment {
        Some(environment) => format!("{}/{environment}", scope.project),
        None => scope.project.to_string(),
    };
    let projects: Vec<&str> = all.iter().map(|view| view.environment.project.as_str()).collect();
    let near = match scope.environment {
        Some(_) => nearest(&wanted, known.iter().map(String::as_str)),
        None => nearest(&wanted, projects),
    };
    let help = match (near, known.is_empty()) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, true) => "there is none yet: `trueup project add NAME URL`, then `trueup env add`".to_owned(),
        (None, false) => format!("there is: {}", known.join(", ")),
    };
    Advice::new(format!("there is no environment `{wanted}`"), help).into()
}

/// Shows what was seen, and says what it means for the exit code.
pub(super) fn show(views: &[StatusView], json: bool, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    if json {
        terminal.json(views)?;
    } else if views.is_empty() {
        terminal.line("No environment is registered yet: trueup project add NAME URL")?;
    } else {
        let view = Viewpoint::of_process();
        let parts: Vec<String> = views.iter().map(|status| render(status, &view, terminal.colour())).collect();
        terminal.text(&parts.join("\n"))?;
    }
    Ok(verdict(views))
}

/// A project's environments, one line each, for `project show`.
///
/// # Errors
/// They cannot be listed or shown.
pub(super) async fn environments_of(
    client: &Client,
    project: &ProjectName,
    terminal: &mut Terminal,
) -> anyhow::Result<()> {
    let views: Vec<StatusView> = client.get(&format!("/status?project={project}")).await?;
    let view = Viewpoint::of_process();
    for status in &views {
        terminal.line("")?;
        terminal.text(&render(status, &view, terminal.colour()))?;
    }
    Ok(())
}

/// Drift anywhere is drift; else anything that nobody can say is unclear.
fn verdict(views: &[StatusView]) -> Outcome {
    let drifts = |view: &StatusView| view.sync == SyncState::Drift;
    let unclear = |view: &StatusView| {
        let read = view.read.as_ref().map(|read| read.state);
        view.sync == SyncState::Unknown || matches!(read, Some(ReadState::FetchFailed | ReadState::Invalid))
    };
    if views.iter().any(drifts) {
        Outcome::Drift
    } else if views.iter().any(unclear) {
        Outcome::Unclear
    } else {
        Outcome::Done
    }
}
