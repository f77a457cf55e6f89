//! `trueup logs`: the output of a run, or of a service.

use std::str::FromStr;

use clap::Args;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::terminal::{Terminal, Tone, printable};
use crate::cli::{Outcome, missing};
use crate::http::dto::{LogLine, RunDetail};
use crate::ids::{EnvironmentName, EnvironmentRef, ProjectName, RunId, ServiceName};
use crate::store::records::RunLine;

/// The output of a run or of a service
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup logs shop/production/web             the last lines of every replica
  trueup logs shop/production/web --follow    and what comes, through syncs, until Ctrl-C
  trueup logs 12                              the output of run 12
  trueup logs 12 --json                       one JSON object a line")]
pub(super) struct Logs {
    /// A service, as PROJECT/ENVIRONMENT/SERVICE, or a run's number
    #[arg(value_name = "SERVICE|RUN")]
    of: Of,
    /// How many lines of each replica to begin with
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    lines: u32,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
enum Of {
    Run(RunId),
    Service(EnvironmentRef, ServiceName),
}

impl FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(run) = text.parse::<RunId>() {
            return Ok(Of::Run(run));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let [project, environment, service] = parts.as_slice() else {
            return Err("write PROJECT/ENVIRONMENT/SERVICE, such as shop/production/web, or a run's number".into());
        };
        let project: ProjectName = project.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?;
        let environment: EnvironmentName =
            environment.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?;
        let service = service.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?;
        Ok(Of::Service(EnvironmentRef { project, environment }, service))
    }
}

/// Prints it.
pub(super) async fn run(verb: &Logs, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match &verb.of {
        Of::Run(run) if verb.follow && verb.json => run_as_json(&client, *run, terminal).await,
        Of::Run(run) if verb.follow => crate::cli::follow::run(&client, *run, false, terminal).await,
        Of::Run(run) => {
            let detail: RunDetail = client.get(&format!("/runs/{run}")).await?;
            for line in &detail.lines {
                match verb.json {
                    true => terminal.line(&serde_json::to_string(line)?)?,
                    false => terminal.line(&printable(&line.text))?,
                }
            }
            Ok(Outcome::Done)
        }
        Of::Service(environment, service) => {
            let path = format!(
                "/projects/{}/environments/{}/services/{service}/logs?lines={}&follow={}",
                environment.project, environment.environment, verb.lines, verb.follow
            );
            let printed = if verb.follow {
                tokio::select! {
                    printed = follow(&client, &path, verb.json, terminal) => printed,
                    interrupted = tokio::signal::ctrl_c() => { interrupted?; Ok(()) }
                }
            } else {
                print(&client, &path, verb.json, terminal).await
            };
            match printed.map_err(|error| error.downcast::<ClientError>()) {
                Ok(()) => Ok(Outcome::Done),
                Err(Ok(error)) => Err(missing::explain_service(&client, environment, service.as_str(), error).await),
                Err(Err(error)) => Err(error),
            }
        }
    }
}

async fn print(client: &Client, path: &str, json: bool, terminal: &mut Terminal) -> anyhow::Result<()> {
    if json {
        let lines: Vec<LogLine> = client.get(&format!("{path}&format=json")).await?;
        for line in &lines {
            terminal.line(&serde_json::to_string(line)?)?;
        }
        return Ok(());
    }
    for line in client.text(path).await?.lines() {
        terminal.line(&printable(line))?;
    }
    Ok(())
}

async fn follow(client: &Client, path: &str, json: bool, terminal: &mut Terminal) -> anyhow::Result<()> {
    let mut events = client.events(path).await?;
    while let Some(event) = events.next().await? {
        if event.name == "line" || event.name.is_empty() {
            let line: LogLine =
                serde_json::from_str(&event.data).map_err(|error| ClientError::Reply(error.to_string()))?;
            if json {
                terminal.line(&serde_json::to_string(&line)?)?;
            } else {
                let replica = terminal.paint(Tone::Dim, &printable(&line.replica));
                terminal.line(&format!("{replica}  {}", printable(&line.text)))?;
            }
        }
        if terminal.gone() {
            break;
        }
    }
    Ok(())
}

/// A run's output as it comes, until the run ends.
async fn run_as_json(client: &Client, run: RunId, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let mut events = client.events(&format!("/runs/{run}/events")).await?;
    while let Some(event) = events.next().await? {
        if event.name == "line" {
            let line: RunLine =
                serde_json::from_str(&event.data).map_err(|error| ClientError::Reply(error.to_string()))?;
            terminal.line(&serde_json::to_string(&line)?)?;
        }
        if event.name == "end" || terminal.gone() {
            break;
        }
    }
    Ok(Outcome::Done)
}
