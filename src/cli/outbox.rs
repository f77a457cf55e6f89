//! `trueup outbox`: what is said on forges, and what became of it.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::client::Client;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::when::Viewpoint;
use crate::http::dto::{ReportState, ReportView};
use crate::ids::ProjectName;

/// What is said on forges: comments, statuses, check runs, issues
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Outbox {
    List(List),
    Show(Show),
    Post(Post),
}

/// Reports, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup outbox list --project shop
  trueup outbox list --state failed        those that the forge refused")]
pub(super) struct List {
    /// Those about this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectName>,
    /// Those that stand so
    #[arg(long, value_enum)]
    state: Option<StateWord>,
    /// At most so many, up to 500
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One report, with what is to be written
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its number, as `trueup outbox list` shows it
    report: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Post a report that failed, or was skipped as the daemon is offline
#[derive(Debug, Args)]
pub(super) struct Post {
    /// Its number
    report: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateWord {
    /// Is to be posted
    Waiting,
    /// Is being posted
    Posting,
    /// Stands on the forge
    Posted,
    /// Was refused by the forge
    Failed,
    /// Was not sent, as the daemon is offline
    Skipped,
    /// Gave way to a newer one
    Superseded,
}

impl StateWord {
    fn query(self) -> &'static str {
        match self {
            StateWord::Waiting => "waiting",
            StateWord::Posting => "posting",
            StateWord::Posted => "posted",
            StateWord::Failed => "failed",
            StateWord::Skipped => "skipped",
            StateWord::Superseded => "superseded",
        }
    }
}

/// Carries out an `outbox` verb.
pub(super) async fn run(verb: &Outbox, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Outbox::List(verb) => list(verb, &client, terminal).await?,
        Outbox::Show(verb) => show(verb, &client, terminal).await?,
        Outbox::Post(Post { report }) => {
            client.tell(Method::POST, &format!("/outbox/{report}/post")).await?;
            terminal
                .line(&format!("Report {report} is posted; `trueup outbox show {report}` says what became of it."))?;
        }
    }
    Ok(Outcome::Done)
}

fn state(report: &ReportView) -> Cell {
    match report.state {
        ReportState::Waiting if report.attempts > 0 => Cell::new(Tone::Warn, "waits, tried before"),
        ReportState::Waiting => Cell::new(Tone::Dim, "waits"),
        ReportState::Posting => Cell::new(Tone::Dim, "being posted"),
        ReportState::Posted => Cell::plain("posted"),
        ReportState::Failed => Cell::new(Tone::Bad, "failed"),
        ReportState::Skipped => Cell::new(Tone::Warn, "skipped"),
        ReportState::Superseded => Cell::new(Tone::Dim, "superseded"),
    }
}

fn about(report: &ReportView) -> String {
    let pull = report.pull.map(|number| format!(" #{number}")).unwrap_or_default();
    let environment = report.environment.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    format!("{}{environment}{pull}", report.project)
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
    let mut path = format!("/outbox?limit={}", verb.limit);
    if let Some(project) = &verb.project {
        path.push_str(&format!("&project={project}"));
    }
    if let Some(state) = verb.state {
        path.push_str(&format!("&state={}", state.query()));
    }
    let reports: Vec<ReportView> = client.get(&path).await?;
    if verb.json {
        return Ok(terminal.json(&reports)?);
    }
    if reports.is_empty() {
        return Ok(terminal.line("Nothing was reported yet; docs/pull-requests.md says what is, and when")?);
    }
    let view = Viewpoint::of_process();
    let mut table = Table::new(&["REPORT", "WRITTEN", "ABOUT", "KIND", "STATE", "TRIES", ""]);
    for report in &reports {
        table.row(vec![
            Cell::plain(report.id.to_string()),
            Cell::plain(view.both(report.created_at)),
            Cell::plain(about(report)),
            Cell::plain(&report.kind),
            state(report),
            Cell::plain(report.attempts.to_string()),
            Cell::plain(report.error.as_deref().unwrap_or_default()),
        ]);
    }
    Ok(terminal.text(&table.render(terminal.colour()))?)
}

async fn show(verb: &Show, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
    let report: ReportView = client.get(&format!("/outbox/{}", verb.report)).await?;
    if verb.json {
        return Ok(terminal.json(&report)?);
    }
    let view = Viewpoint::of_process();
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, cell: Cell| facts.row(vec![Cell::new(Tone::Dim, name), cell]);
    fact("report", Cell::plain(report.id.to_string()));
    fact("about", Cell::plain(about(&report)));
    fact("kind", Cell::plain(&report.kind));
    fact("state", state(&report));
    fact("written", Cell::plain(view.both(report.created_at)));
    fact("tries", Cell::plain(report.attempts.to_string()));
    if let Some(due_at) = report.due_at {
        fact("next try", Cell::plain(view.both(due_at)));
    }
    if let Some(error) = &report.error {
        fact("error", Cell::plain(error));
    }
    terminal.text(facts.render(terminal.colour()).trim_start_matches('\n'))?;
    if let Some(payload) = &report.payload {
        // The text itself is what one posts by hand; the rest is for machines.
        let text = payload.get("body").or_else(|| payload.get("summary")).or_else(|| payload.get("description"));
        terminal.line("")?;
        match text.and_then(serde_json::Value::as_str) {
            Some(text) => terminal.line(text)?,
            None => terminal.line(&serde_json::to_string_pretty(payload)?)?,
        }
    }
    Ok(())
}
