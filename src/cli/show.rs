//! `trueup show`: one run with its steps and output, or one plan.

use clap::Args;
use serde::de::DeserializeOwned;

use crate::cli::args::Context;
use crate::cli::failure::Advice;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::when::{Viewpoint, span};
use crate::cli::{Outcome, history};
use crate::http::dto::RunDetail;
use crate::ids::{DIGEST_PREFIX_MIN, RunId};
use crate::plan::Plan;
use crate::report::text::printable;
use crate::store::records::{JournalEntry, RunState};
use crate::sync::journal::{Outcome as StepOutcome, Step};

/// One run with its steps and output, or one plan
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup show 12               run 12: what was done, step by step, and its output
  trueup show 3f9a1c0b7e21     the plan of that digest (a prefix of 8 or more digits)

Exit codes: 0 shown, 1 error, or a run that failed.")]
pub(super) struct Show {
    /// A run's number, or a plan's digest
    #[arg(value_name = "RUN|DIGEST", value_parser = what)]
    what: What,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
enum What {
    Run(RunId),
    Plan(String),
}

fn what(text: &str) -> Result<What, String> {
    if let Ok(run) = text.parse::<RunId>() {
        return Ok(What::Run(run));
    }
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex && (DIGEST_PREFIX_MIN..=64).contains(&text.len()) {
        return Ok(What::Plan(text.to_owned()));
    }
    Err(format!("write a run's number (`trueup history`), or {DIGEST_PREFIX_MIN} or more digits of a plan's digest"))
}

/// Shows it.
pub(super) async fn run(verb: &Show, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match &verb.what {
        What::Plan(digest) => {
            let plan: Plan = client.get(&format!("/plans/{digest}")).await?;
            if verb.json {
                terminal.json(&plan)?;
            } else {
                let text = terminal.plan(&plan);
                terminal.text(&text)?;
            }
            Ok(Outcome::Done)
        }
        What::Run(run) => {
            let detail: RunDetail = client.get(&format!("/runs/{run}")).await.map_err(|error| {
                if error.status() == Some(404) {
                    let help = "`trueup history PROJECT/ENVIRONMENT` lists them";
                    anyhow::Error::from(Advice::new(format!("there is no run {run}"), help))
                } else {
                    error.into()
                }
            })?;
            if verb.json {
                terminal.json(&detail)?;
            } else {
                let text = render(&detail, &Viewpoint::of_process(), terminal);
                terminal.text(&text)?;
            }
            Ok(match detail.run.state {
                RunState::Running | RunState::Succeeded => Outcome::Done,
                RunState::Failed => Outcome::Unclear,
            })
        }
    }
}

fn render(detail: &RunDetail, view: &Viewpoint, terminal: &Terminal) -> String {
    let run = &detail.run;
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, cell: Cell| facts.row(vec![Cell::new(Tone::Dim, name), cell]);
    fact("run", Cell::plain(format!("{} ({} of {})", run.id, history::kind_word(run.kind), run.environment)));
    fact("state", history::state_cell(run.state));
    if let Some(summary) = &run.summary {
        fact("summary", Cell::plain(summary));
    }
    fact("plan", Cell::plain(run.plan.short()));
    fact("commit", Cell::plain(run.commit.as_ref().map_or("-", |commit| commit.short())));
    fact("by", Cell::plain(&run.actor));
    fact("started", Cell::plain(view.both(run.started_at)));
    if let Some(end) = run.finished_at {
        let took = span((end.as_second() - run.started_at.as_second()).max(0));
        fact("ended", Cell::plain(format!("{} after {took}", view.exact(end))));
    }
    let mut text = facts.render(terminal.colour()).trim_start_matches('\n').to_owned();
    if !detail.steps.is_empty() {
        let mut steps = Table::new(&["STEP", "SERVICE", "WHAT", "HOW IT WENT"]);
        for step in &detail.steps {
            steps.row(step_row(step));
        }
        text.push('\n');
        text.push_str(&steps.render(terminal.colour()));
    }
    if !detail.lines.is_empty() {
        text.push('\n');
    }
    for line in &detail.lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

fn step_row(step: &JournalEntry) -> Vec<Cell> {
    let outcome = match &step.outcome {
        None => Cell::new(Tone::Warn, "not known"),
        Some(outcome) => Cell::plain(words::<StepOutcome>(outcome)),
    };
    vec![
        Cell::plain(step.seq.to_string()),
        Cell::plain(step.service.as_ref().map_or("-", |service| service.as_str())),
        Cell::plain(words::<Step>(&step.intent)),
        outcome,
    ]
}

/// A journal entry's value in words; as it is where this version does not know it.
fn words<T: DeserializeOwned + std::fmt::Display>(value: &serde_json::Value) -> String {
    let text = serde_json::from_value::<T>(value.clone()).map_or_else(|_| value.to_string(), |known| known.to_string());
    let text = printable(&text);
    if text.chars().count() <= 80 { text } else { format!("{}…", text.chars().take(79).collect::<String>()) }
}
