//! `trueup history`: the runs of an environment.

use clap::Args;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Tone;
use crate::cli::when::Viewpoint;
use crate::cli::{Outcome, missing};
use crate::http::dto::RunView;
use crate::ids::EnvironmentRef;
use crate::store::records::{RunKind, RunState};

/// The runs of an environment
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup history shop/production
  trueup history shop/production --limit 100 --json

`trueup show RUN` shows one with its steps; `trueup rollback … --to RUN` goes back to one.")]
pub(super) struct History {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// How many, the latest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the runs.
pub(super) async fn run(verb: &History, context: Context<'_>) -> anyhow::Result<Outcome> {
    let runs = runs(&context.client, &verb.target, verb.limit).await?;
    if verb.json {
        context.terminal.json(&runs)?;
    } else if runs.is_empty() {
        context.terminal.line(&format!("Nothing was ever synced to {}.", verb.target))?;
    } else {
        let text = table(&runs, &Viewpoint::of_process()).render(context.terminal.colour());
        context.terminal.text(&text)?;
    }
    Ok(Outcome::Done)
}

/// An environment's runs, the latest first.
async fn runs(client: &Client, target: &EnvironmentRef, limit: u32) -> anyhow::Result<Vec<RunView>> {
    let path = format!("/projects/{}/environments/{}/runs?limit={limit}", target.project, target.environment);
    let reply: Result<Vec<RunView>, ClientError> = client.get(&path).await;
    match reply {
        Ok(runs) => Ok(runs),
        Err(error) => Err(missing::explain(client, target, error).await),
    }
}

fn table(runs: &[RunView], view: &Viewpoint) -> Table {
    let mut table = Table::new(&["RUN", "WHAT", "STATE", "COMMIT", "STARTED", "TOOK", "BY", "SUMMARY"]);
    for run in runs {
        table.row(vec![
            Cell::plain(run.id.to_string()),
            Cell::plain(kind_word(run.kind)),
            state_cell(run.state),
            Cell::plain(run.commit.as_ref().map_or("-", |commit| commit.short())),
            Cell::plain(view.both(run.started_at)),
            Cell::plain(run.finished_at.map_or_else(
                || "-".to_owned(),
                |end| crate::cli::when::span((end.as_second() - run.started_at.as_second()).max(0)),
            )),
            Cell::plain(&run.actor),
            Cell::plain(run.summary.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// The verb behind a run.
pub(super) fn kind_word(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Sync => "sync",
        RunKind::Rollback => "rollback",
    }
}

/// A run's state in its tone.
pub(super) fn state_cell(state: RunState) -> Cell {
    match state {
        RunState::Running => Cell::new(Tone::Warn, "running"),
        RunState::Succeeded => Cell::new(Tone::Good, "succeeded"),
        RunState::Failed => Cell::new(Tone::Bad, "failed"),
    }
}
