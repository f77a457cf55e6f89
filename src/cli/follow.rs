//! Follows a run's output until it ends. Ctrl-C detaches; a daemon that restarts is waited for.

use std::time::Duration;

use crate::cli::Outcome;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::terminal::{Terminal, Tone, printable};
use crate::http::dto::RunView;
use crate::ids::RunId;
use crate::store::records::{RunLine, RunState};

/// How often a stream that broke off is taken up again, with a second between: a daemon's restart takes a few.
const RECONNECTS: u32 = 30;
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Follows a run, or with `detach` says how to.
///
/// # Errors
/// The daemon went away for good; the run is not ended by that.
pub(super) async fn run(client: &Client, run: RunId, detach: bool, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    if detach {
        terminal.line(&format!("Run {run} was started; `trueup show {run}` shows it."))?;
        return Ok(Outcome::Done);
    }
    let mut seen = 0;
    let followed = tokio::select! {
        ended = to_the_end(client, run, &mut seen, terminal) => Some(ended?),
        interrupted = tokio::signal::ctrl_c() => { interrupted?; None }
    };
    let Some(ended) = followed else {
        terminal.note(Tone::Warn, &format!("\nDetached. The run goes on; `trueup show {run}` shows it."))?;
        return Ok(Outcome::Unclear);
    };
    conclude(&ended, terminal)
}

/// One line on how a run ended, and its exit code.
fn conclude(run: &RunView, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let summary = run.summary.as_deref().unwrap_or("no more is known");
    let (tone, word, outcome) = match run.state {
        RunState::Succeeded => (Tone::Good, "succeeded", Outcome::Done),
        RunState::Failed => (Tone::Bad, "failed", Outcome::Unclear),
        RunState::Running => (Tone::Warn, "is not over", Outcome::Unclear),
    };
    terminal.line(&format!("Run {} {}: {summary}", run.id, terminal.paint(tone, word)))?;
    Ok(outcome)
}

async fn to_the_end(client: &Client, run: RunId, seen: &mut u64, terminal: &mut Terminal) -> anyhow::Result<RunView> {
    let mut attempts = 0;
    loop {
        match stream(client, run, seen, terminal).await {
            // A daemon that came back has the run to settle first.
            Ok(Some(run)) if run.state == RunState::Running && (1..RECONNECTS).contains(&attempts) => {
                attempts += 1;
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            Ok(Some(ended)) => return Ok(ended),
            // A problem is an answer; asking again would bring the same.
            Err(StreamEnd::Client(error @ ClientError::Problem(_))) => return Err(error.into()),
            Err(StreamEnd::Terminal(error)) => return Err(error),
            Ok(None) | Err(StreamEnd::Client(_)) if attempts < RECONNECTS => {
                if attempts == 0 {
                    terminal.note(Tone::Warn, "the daemon went away; waiting for it to come back …")?;
                }
                attempts += 1;
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            Ok(None) => {
                return Err(lost(run).into());
            }
            Err(StreamEnd::Client(error)) => return Err(lost(run).because(error).into()),
        }
    }
}

fn lost(run: RunId) -> Advice {
    Advice::new(
        "the daemon went away and did not come back",
        format!("its next start settles the run and says how; then: trueup show {run}"),
    )
}

enum StreamEnd {
    Client(ClientError),
    Terminal(anyhow::Error),
}

/// Reads one stream: prints what was not printed yet, and returns how the run ended, if it did.
async fn stream(
    client: &Client,
    run: RunId,
    seen: &mut u64,
    terminal: &mut Terminal,
) -> Result<Option<RunView>, StreamEnd> {
    let mut events = client.events(&format!("/runs/{run}/events")).await.map_err(StreamEnd::Client)?;
    while let Some(event) = events.next().await.map_err(StreamEnd::Client)? {
        let unreadable = |error: serde_json::Error| StreamEnd::Terminal(ClientError::Reply(error.to_string()).into());
        match event.name.as_str() {
            "line" => {
                let line: RunLine = serde_json::from_str(&event.data).map_err(unreadable)?;
                // A stream replays from the start; what was printed before it broke off is not printed again.
                if line.seq > *seen {
                    *seen = line.seq;
                    terminal.line(&printable(&line.text)).map_err(|error| StreamEnd::Terminal(error.into()))?;
                }
            }
            "end" => return serde_json::from_str(&event.data).map(Some).map_err(unreadable),
            // Newer daemons may say more.
            _ => {}
        }
    }
    Ok(None)
}
