//! `trueup deliveries`: what webhooks delivered, and what became of it.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::client::Client;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::when::Viewpoint;
use crate::http::dto::{DeliveryState, DeliveryView};
use crate::ids::ProjectName;

/// What webhooks delivered
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Deliveries {
    List(List),
    Show(Show),
    Replay(Replay),
}

/// Deliveries, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup deliveries list --project shop
  trueup deliveries list --state set-aside         those that could not be understood")]
pub(super) struct List {
    /// Those sent to this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectName>,
    /// Those that stand so
    #[arg(long, value_enum)]
    state: Option<StateWord>,
    /// Those that came before this one
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// At most so many, up to 500
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One delivery; to admins with what was sent
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its number, as `trueup deliveries list` shows it
    delivery: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take a delivery in once more; like every delivery it only has Git and the forge looked at again
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Its number
    delivery: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateWord {
    /// Waits to be taken in
    Received,
    /// Was taken in
    Done,
    /// Could not be understood
    SetAside,
}

impl StateWord {
    fn query(self) -> &'static str {
        match self {
            StateWord::Received => "received",
            StateWord::Done => "done",
            StateWord::SetAside => "set_aside",
        }
    }
}

/// Carries out a `deliveries` verb.
pub(super) async fn run(verb: &Deliveries, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Deliveries::List(verb) => list(verb, &client, terminal).await?,
        Deliveries::Show(verb) => show(verb, &client, terminal).await?,
        Deliveries::Replay(Replay { delivery }) => {
            client.tell(Method::POST, &format!("/deliveries/{delivery}/replay")).await?;
            terminal.line(&format!("Delivery {delivery} is taken in once more."))?;
        }
    }
    Ok(Outcome::Done)
}

fn state(delivery: &DeliveryView) -> Cell {
    match delivery.state {
        DeliveryState::Received => Cell::new(Tone::Dim, "waits"),
        DeliveryState::Done => Cell::plain("done"),
        DeliveryState::SetAside => Cell::new(Tone::Warn, "set aside"),
    }
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
    let mut path = format!("/deliveries?limit={}", verb.limit);
    if let Some(project) = &verb.project {
        path.push_str(&format!("&project={project}"));
    }
    if let Some(state) = verb.state {
        path.push_str(&format!("&state={}", state.query()));
    }
    if let Some(before) = verb.before {
        path.push_str(&format!("&before={before}"));
    }
    let deliveries: Vec<DeliveryView> = client.get(&path).await?;
    if verb.json {
        return Ok(terminal.json(&deliveries)?);
    }
    if deliveries.is_empty() {
        return Ok(terminal.line("No delivery is kept; docs/webhooks.md says how to set a webhook up")?);
    }
    let view = Viewpoint::of_process();
    let mut table = Table::new(&["DELIVERY", "CAME", "FORGE", "PROJECT", "EVENT", "STATE", ""]);
    for delivery in &deliveries {
        table.row(vec![
            Cell::plain(delivery.id.to_string()),
            Cell::plain(view.both(delivery.received_at)),
            Cell::plain(delivery.forge.word()),
            Cell::plain(delivery.project.as_ref().map_or("-", ProjectName::as_str)),
            Cell::plain(delivery.event.as_deref().unwrap_or("-")),
            state(delivery),
            Cell::plain(delivery.error.as_deref().unwrap_or_default()),
        ]);
    }
    Ok(terminal.text(&table.render(terminal.colour()))?)
}

async fn show(verb: &Show, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
    let delivery: DeliveryView = client.get(&format!("/deliveries/{}", verb.delivery)).await?;
    if verb.json {
        return Ok(terminal.json(&delivery)?);
    }
    let view = Viewpoint::of_process();
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, cell: Cell| facts.row(vec![Cell::new(Tone::Dim, name), cell]);
    fact("delivery", Cell::plain(delivery.id.to_string()));
    fact("forge", Cell::plain(delivery.forge.word()));
    fact("project", Cell::plain(delivery.project.as_ref().map_or("found by its repository", ProjectName::as_str)));
    fact("event", Cell::plain(delivery.event.as_deref().unwrap_or("none named")));
    fact("id", Cell::plain(delivery.delivery_id.as_deref().unwrap_or("none given")));
    fact("bytes", Cell::plain(delivery.bytes.to_string()));
    fact("came", Cell::plain(view.both(delivery.received_at)));
    fact("state", state(&delivery));
    if let Some(error) = &delivery.error {
        fact("error", Cell::plain(error));
    }
    if delivery.replays > 0 {
        fact("replays", Cell::plain(delivery.replays.to_string()));
    }
    terminal.text(facts.render(terminal.colour()).trim_start_matches('\n'))?;
    if let Some(body) = &delivery.body {
        // A terminal must not obey what a stranger wrote.
        let plain: String =
            body.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect();
        terminal.line("")?;
        terminal.line(&plain)?;
    }
    Ok(())
}
