//! `trueup completions`: completions for a shell.

use clap::{Args, CommandFactory};

use crate::cli::Outcome;
use crate::cli::args::Cli;
use crate::cli::terminal::Terminal;

/// Completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup completions bash > /etc/bash_completion.d/trueup
  trueup completions zsh  > \"${fpath[1]}/_trueup\"
  trueup completions fish > ~/.config/fish/completions/trueup.fish")]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Writes the completions to standard output.
pub(super) fn run(verb: &Completions, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(verb.shell, &mut Cli::command(), "trueup", &mut script);
    terminal.text(&String::from_utf8(script)?)?;
    Ok(Outcome::Done)
}
