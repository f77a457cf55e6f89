//! `trueup quickstart`: the whole story on a sample repository: a daemon of its own on temporary state, the very commands
//! that a user would type, and nothing left behind.

mod docker;
mod replica;
mod stage;
mod story;

use anyhow::Context;
use clap::Args;

use crate::cli::Outcome;
use crate::cli::config;
use crate::cli::quickstart::stage::{Stage, Target};
use crate::cli::terminal::{Terminal, Tone};

/// See it all on a sample repository, in a minute, leaving nothing behind
///
/// Makes a Git repository, starts a daemon on temporary state, and goes through plan, sync, a change by hand, a commit
/// and a sync again, by the commands that you would type. Without --docker the sample's service is a plain process, so
/// that nothing has to be installed: no Docker, not even git.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup quickstart
  trueup quickstart --keep                 and then play on with it
  trueup quickstart --docker busybox:1.36  as a container of an image that has `sleep`

Ctrl-C ends it at any moment, and cleans up.")]
pub(super) struct Quickstart {
    /// Run the sample as a container of this image, on the Docker Engine of this machine
    #[arg(long, value_name = "IMAGE")]
    docker: Option<String>,
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Tells the story and cleans up, however it ends.
pub(super) async fn run(verb: &Quickstart, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let target = match &verb.docker {
        Some(image) => Target::Docker { image: image.clone() },
        None => Target::Local,
    };
    let mut stage = Stage::new(target).context("the quickstart's folder cannot be made")?;
    let asked_to_end = config::asked_to_end()?;
    let told = tokio::select! {
        told = story::tell(&mut stage, verb.keep, terminal) => Some(told),
        () = asked_to_end => None,
    };
    if told.is_none() {
        terminal.note(Tone::Plain, "")?;
    }
    if let Some(Err(_)) = &told {
        show_logs(&stage, terminal)?;
    }
    terminal.note(Tone::Dim, "cleaning up …")?;
    let cleaned = stage.clear().await.context("the quickstart could not clean up");
    match told {
        Some(told) => told.and(cleaned)?,
        None => cleaned?,
    }
    terminal.note(Tone::Dim, "Nothing is left behind.")?;
    Ok(Outcome::Done)
}

/// When something went wrong, the last words of the daemon are what explains it.
fn show_logs(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    for (name, lines) in stage.last_words()? {
        terminal.note(Tone::Dim, &format!("the end of the {name}'s log:"))?;
        for line in lines {
            terminal.note(Tone::Dim, &format!("  {line}"))?;
        }
    }
    Ok(())
}
