//! `trueup doctor`: checks everything between this terminal and what runs, and says what to do about what is not right.

mod machine;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::args::Connection;
use crate::cli::client::{Client, ClientError};
use crate::cli::config::Config;
use crate::cli::terminal::Terminal;
use crate::cli::{Outcome, failure, findings};
use crate::http::dto::{EnvironmentView, ProjectView, VersionView};
use crate::provider::{ConnectionReport, Finding, FindingLevel};

/// Check everything between this terminal and what runs
///
/// Looks at the settings file and at the places that it names: the daemon's socket and version, the state directory, the
/// supervisor; and at the permissions, the Docker Engine's socket, the systemd units, the clock, and every environment's
/// connection. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing fails, 1 something does (warnings alone are 0).")]
pub(super) struct Doctor {
    #[command(flatten)]
    config: Config,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was checked under one heading.
#[derive(Serialize)]
struct Section {
    title: String,
    findings: Vec<Finding>,
}

fn finding(level: FindingLevel, message: impl Into<String>, help: Option<&str>) -> Finding {
    Finding { level, message: message.into(), help: help.map(str::to_owned) }
}

fn ok(message: impl Into<String>) -> Finding {
    finding(FindingLevel::Ok, message, None)
}

fn warning(message: impl Into<String>, help: &str) -> Finding {
    finding(FindingLevel::Warning, message, Some(help))
}

fn error(message: impl Into<String>, help: &str) -> Finding {
    finding(FindingLevel::Error, message, Some(help))
}

/// Checks and shows.
pub(super) async fn run(verb: &Doctor, connection: &Connection, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    // What the settings say is where to look; a file that cannot be used is told, and the usual places are looked at.
    let (told, settings) = machine::settings(&verb.config);
    let client = connection.client_or(settings.socket());
    let (daemon, reached) = daemon(&client).await;
    let mut sections = vec![
        Section { title: "daemon".into(), findings: daemon },
        Section { title: "this machine".into(), findings: machine::look(told, &settings) },
    ];
    if let (Ok(client), true) = (&client, reached) {
        sections.extend(environments(client).await);
    }
    let failed = sections.iter().flat_map(|section| &section.findings).any(|found| found.level == FindingLevel::Error);
    if verb.json {
        terminal.json(&sections)?;
    } else {
        for section in &sections {
            terminal.line(&terminal.paint(crate::cli::terminal::Tone::Strong, &section.title))?;
            findings::show(&section.findings, terminal)?;
        }
    }
    Ok(if failed { Outcome::Unclear } else { Outcome::Done })
}

/// Whether a daemon answers, and which.
async fn daemon(client: &Result<Client, ClientError>) -> (Vec<Finding>, bool) {
    let client = match client {
        Ok(client) => client,
        Err(problem) => return (vec![of_error(problem)], false),
    };
    match client.get::<VersionView>("/version").await {
        Err(problem) => (vec![of_error(&problem)], false),
        Ok(version) => {
            let own = env!("CARGO_PKG_VERSION");
            let found = if version.version == own {
                ok(format!("answers, version {} (installation {})", version.version, version.installation))
            } else {
                warning(
                    format!("answers, version {}; this command is version {own}", version.version),
                    "use the same version on both sides: restart the daemon after an upgrade",
                )
            };
            (vec![found], true)
        }
    }
}

fn of_error(problem: &ClientError) -> Finding {
    let help = failure::help_of(problem).unwrap_or("`journalctl -u trueup` shows what the daemon says");
    error(problem.to_string(), help)
}

/// Every environment's own connection test, as `trueup env test` makes it.
async fn environments(client: &Client) -> Vec<Section> {
    let projects: Vec<ProjectView> = match client.get("/projects").await {
        Ok(projects) => projects,
        Err(problem) => return vec![Section { title: "environments".into(), findings: vec![of_error(&problem)] }],
    };
    let mut sections = Vec::new();
    for project in &projects {
        let path = format!("/projects/{}/environments", project.name);
        let environments: Vec<EnvironmentView> = match client.get(&path).await {
            Ok(environments) => environments,
            Err(problem) => {
                sections.push(Section { title: project.name.to_string(), findings: vec![of_error(&problem)] });
                continue;
            }
        };
        for view in &environments {
            sections.push(Section { title: view.id().to_string(), findings: test(client, view).await });
        }
    }
    sections
}

/// How long one environment may take to be tested.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

async fn test(client: &Client, view: &EnvironmentView) -> Vec<Finding> {
    let path = format!("/projects/{}/environments/{}/test", view.project, view.name);
    let asked = client.ask::<ConnectionReport>(reqwest::Method::POST, &path);
    match tokio::time::timeout(TEST_TIMEOUT, asked).await {
        Ok(Ok(report)) => report.findings,
        Ok(Err(problem)) => vec![of_error(&problem)],
        Err(_) => vec![error("no answer within 30 s", "`trueup env show` says where it should be")],
    }
}
