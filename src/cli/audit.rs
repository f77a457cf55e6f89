//! `trueup audit`: who did what, the latest first.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Tone;
use crate::cli::when::Viewpoint;
use crate::store::records::AuditLine;

/// Who changed, synced, was denied or resolved a secret's reference
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup audit
  trueup audit --limit 1000 --json

What is done over and over within an hour is one line that counts.")]
pub(super) struct Audit {
    /// How many lines, the latest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the lines.
pub(super) async fn run(verb: &Audit, context: Context<'_>) -> anyhow::Result<Outcome> {
    let lines: Vec<AuditLine> = context.client.get(&format!("/audit?limit={}", verb.limit)).await?;
    if verb.json {
        context.terminal.json(&lines)?;
    } else if lines.is_empty() {
        context.terminal.line("Nothing was done yet.")?;
    } else {
        let view = Viewpoint::of_process();
        let mut table = Table::new(&["WHEN", "WHO", "WHAT", "ON", "TIMES", "OUTCOME"]);
        for AuditLine { entry, last_at, times } in &lines {
            let tone = if entry.outcome == "allowed" { Tone::Good } else { Tone::Bad };
            table.row(vec![
                Cell::plain(view.both(*last_at)),
                Cell::plain(&entry.actor),
                Cell::plain(&entry.operation),
                Cell::plain(&entry.target),
                Cell::plain(times.to_string()),
                Cell::new(tone, &entry.outcome),
            ]);
        }
        context.terminal.text(&table.render(context.terminal.colour()))?;
    }
    Ok(Outcome::Done)
}
