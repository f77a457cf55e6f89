//! `trueup status`: is what runs what is declared, and is it healthy? Two answers, side by side, neither hiding the other.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::suggest::nearest;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone, paint, printable};
use crate::cli::when::Viewpoint;
use crate::http::dto::{ReadState, ReadStatus};
use crate::http::dto::{ServiceStatus, ServiceSync, StatusView, SyncState};
use crate::ids::{EnvironmentName, InvalidId, ProjectName};
use crate::live::Health;

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

/// One environment: its headline, what is noteworthy, its services.
fn render(status: &StatusView, view: &Viewpoint, colour: bool) -> String {
    let headline = match status.sync {
        SyncState::InSync => paint(colour, Tone::Good, "in sync"),
        SyncState::Drift => paint(colour, Tone::Warn, &drift_words(status.changes, status.blocked)),
        SyncState::Unknown => paint(colour, Tone::Bad, "unknown"),
        SyncState::Undeclared => paint(colour, Tone::Dim, "nothing is declared"),
    };
    let name = paint(colour, Tone::Strong, &status.environment.to_string());
    let mut text = format!("{name} ({})  {headline}\n", status.provider);
    for (tone, line) in remarks(status, view) {
        text.push_str(&format!("  {}\n", paint(colour, tone, &printable(&line))));
    }
    if !status.services.is_empty() {
        let mut table = Table::new(&["SERVICE", "SYNC", "HEALTH", "SINCE", "WHY"]).indented(2);
        for service in &status.services {
            table.row(row(service, view));
        }
        text.push_str(&table.render(colour));
    }
    text
}

fn drift_words(changes: usize, blocked: usize) -> String {
    let changes = if changes == 1 { "drift: 1 change".to_owned() } else { format!("drift: {changes} changes") };
    if blocked == 0 { changes } else { format!("{changes}, {blocked} blocked") }
}

/// What the reader should know besides the services.
fn remarks(status: &StatusView, view: &Viewpoint) -> Vec<(Tone, String)> {
    let mut remarks = Vec::new();
    if let Some(run) = &status.run {
        let line = format!("run {} is being carried out since {}", run.id, view.both(run.started_at));
        remarks.push((Tone::Warn, line));
    }
    remarks.push(match &status.read {
        Some(read) => read_remark(read, view),
        None => (Tone::Warn, "the repository was not read yet".into()),
    });
    if let Some(digest) = &status.plan_digest {
        remarks.push((Tone::Dim, format!("plan {}", digest.short())));
    }
    match status.observed_at {
        Some(at) => remarks.push((Tone::Dim, format!("observed {}", view.both(at)))),
        None => remarks.push((Tone::Warn, "what runs was not looked at yet".into())),
    }
    remarks
}

/// How the last read of the file went.
fn read_remark(read: &ReadStatus, view: &Viewpoint) -> (Tone, String) {
    let commit = read.commit.as_ref().map_or("no commit", |commit| commit.short());
    let because = read.reason.as_ref().map(|reason| format!(", because {reason}")).unwrap_or_default();
    let stale = read.stale_since.map(|since| format!("stale since {}", view.both(since)));
    match read.state {
        ReadState::Ok => (Tone::Dim, format!("declared at {commit}, read {}", view.ago(read.checked_at))),
        ReadState::NoFile => (Tone::Warn, format!("{commit} has no such file{because}: nothing is withdrawn")),
        ReadState::FetchFailed => {
            let stale = stale.unwrap_or_else(|| "the repository cannot be read".into());
            (Tone::Bad, format!("{stale}{because}; last read: {commit}"))
        }
        ReadState::Invalid => (Tone::Bad, format!("the file at {commit} is not valid{because}")),
        ReadState::Disabled => (Tone::Warn, "reading is disabled: trueup project set PROJECT --enable".into()),
    }
}

fn row(service: &ServiceStatus, view: &Viewpoint) -> Vec<Cell> {
    let sync = match service.sync {
        ServiceSync::InSync => Cell::new(Tone::Good, "in sync"),
        ServiceSync::Drift => Cell::new(Tone::Warn, format!("drift ({})", service.changes)),
        ServiceSync::Blocked => Cell::new(Tone::Bad, format!("blocked ({})", service.changes)),
        ServiceSync::Unknown => Cell::new(Tone::Bad, "unknown"),
        ServiceSync::Orphan => Cell::new(Tone::Warn, "orphan"),
    };
    let healthy = service.replicas.iter().filter(|replica| replica.health == Health::Healthy).count();
    let count = match service.replicas.len() {
        0 => String::new(),
        all => format!(" {healthy}/{all}"),
    };
    let tone = match &service.health {
        Health::Healthy => Tone::Good,
        Health::Starting => Tone::Warn,
        Health::Unhealthy { .. } | Health::CrashLooping { .. } | Health::Stopped { .. } => Tone::Bad,
        Health::Unknown { .. } => Tone::Warn,
    };
    vec![
        Cell::plain(service.name.as_str()),
        sync,
        Cell::new(tone, format!("{}{count}", service.health.word())),
        Cell::plain(service.since.map_or_else(|| "-".to_owned(), |since| view.both(since))),
        Cell::plain(service.health.why().unwrap_or_default()),
    ]
}
