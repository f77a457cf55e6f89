//! `trueup events`: what happened, and what happens.

use std::time::Duration;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::when::Viewpoint;
use crate::events::Event;

/// How often a stream that broke off is taken up again, with a second between: a daemon's restart takes a few.
const RECONNECTS: u32 = 30;
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// What happened: the newest events, and with --follow those that come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup events
  trueup events --last 500 --json
  trueup events --follow                           until Ctrl-C; a restart of the daemon loses none")]
pub(super) struct EventsArgs {
    /// Go on until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of those that are kept to begin with
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(..=10_000))]
    last: u16,
    /// Print JSON, one event a line
    #[arg(long)]
    json: bool,
}

/// Where the reader is.
struct Reader<'a> {
    verb: &'a EventsArgs,
    seen: Option<u64>,
    view: Viewpoint,
}

/// Prints events.
pub(super) async fn run(verb: &EventsArgs, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    let mut reader = Reader { verb, seen: None, view: Viewpoint::of_process() };
    if !verb.follow {
        reader.stream(&client, terminal).await?;
        if reader.seen.is_none() && !verb.json {
            terminal.line("Nothing happened yet.")?;
        }
        return Ok(Outcome::Done);
    }
    tokio::select! {
        ended = reader.follow(&client, terminal) => ended.map(|()| Outcome::Done),
        interrupted = tokio::signal::ctrl_c() => { interrupted?; Ok(Outcome::Done) }
    }
}

impl Reader<'_> {
    /// Follows until the reader of standard output goes away; a daemon that restarts is waited for.
    async fn follow(&mut self, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
        let mut attempts = 0;
        loop {
            let before = self.seen;
            let ended = self.stream(client, terminal).await;
            if terminal.gone() {
                return Ok(());
            }
            if self.seen != before {
                attempts = 0;
            }
            match ended {
                Err(error) if error.downcast_ref::<ClientError>().is_none_or(|error| error.status().is_some()) => {
                    return Err(error);
                }
                Ok(()) | Err(_) if attempts < RECONNECTS => {
                    if attempts == 0 {
                        terminal.note(Tone::Warn, "the daemon went away; waiting for it to come back …")?;
                    }
                    attempts += 1;
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                Ok(()) => anyhow::bail!("the daemon went away and did not come back"),
                Err(error) => return Err(error.context("the daemon went away and did not come back")),
            }
        }
    }

    /// Reads one stream to its end.
    async fn stream(&mut self, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
        let begin = match self.seen {
            Some(seen) => format!("after={seen}"),
            None => format!("last={}", self.verb.last),
        };
        let mut events = client.events(&format!("/events?{begin}&follow={}", self.verb.follow)).await?;
        while let Some(event) = events.next().await? {
            if event.name == "missed" {
                self.seen = None;
                return Err(Advice::new(
                    "some events are no longer kept, as too many came since",
                    "begin again: `trueup events --follow`",
                )
                .into());
            }
            // A newer daemon may tell events that this program does not know: they are shown as they are.
            let known: serde_json::Value =
                serde_json::from_str(&event.data).map_err(|error| ClientError::Reply(error.to_string()))?;
            self.seen = known["id"].as_u64().or(self.seen);
            if self.verb.json {
                terminal.line(&event.data)?;
            } else {
                terminal.line(&self.line(&event.name, &known))?;
            }
            if terminal.gone() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn line(&self, name: &str, event: &serde_json::Value) -> String {
        let Ok(event) = serde_json::from_value::<Event>(event.clone()) else { return format!("{name}  {event}") };
        let facts: Vec<String> = event
            .data
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| !value.is_null() && key.as_str() != "name")
            .map(|(key, value)| format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        format!("{}  {}  {}  {}", self.view.exact(event.at), event.kind, event.subject, facts.join("  "))
    }
}
