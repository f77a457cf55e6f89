//! The command line: one file per verb, `client` speaks the daemon's API, `terminal` writes.
//!
//! Verbs ask, show and confirm; what is compared, planned and carried out is decided elsewhere, and a plan is shown
//! exactly as [`crate::report`] writes it.

mod args;
mod audit;
mod client;
mod completions;
mod config;
mod confirm;
mod deliveries;
mod doctor;
mod env;
mod events;
mod failure;
mod findings;
mod follow;
mod forge_user;
mod history;
mod integration;
mod logs;
mod missing;
mod offline;
mod outbox;
mod plan;
mod project;
mod quickstart;
mod refresh;
mod rollback;
mod sample_server;
mod schema;
mod serve;
mod service;
mod show;
mod status;
mod suggest;
mod supervise;
mod sync;
mod table;
mod terminal;
mod token;
mod validate;
mod when;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::Cli;
use crate::cli::terminal::Terminal;

/// How a verb ended that did what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// In sync, or done.
    Done,
    /// What runs is not what is declared.
    Drift,
    /// Nobody can say; what stands in the way was shown.
    Unclear,
}

impl Outcome {
    fn code(self) -> ExitCode {
        match self {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Drift => ExitCode::from(2),
            Outcome::Unclear => ExitCode::FAILURE,
        }
    }
}

/// Carries out a command line. Exit codes: 0 in sync or done, 2 drift, 1 anything else.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => return answer_usage(&without_secrets(usage)),
    };
    let mut terminal = Terminal::of_process();
    match args::dispatch(cli, &mut terminal) {
        Ok(outcome) => outcome.code(),
        Err(error) => {
            // Where not even standard error can be written, the exit code is all that is left to say it with.
            if failure::say(&mut terminal, &error).is_err() {
                return ExitCode::FAILURE;
            }
            ExitCode::FAILURE
        }
    }
}

/// Whoever writes a secret where its reference belongs is not shown it again, as clap would: terminals are logged.
fn without_secrets(mut usage: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let takes_reference = match usage.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.contains("REFERENCE>"),
        _ => false,
    };
    if takes_reference && usage.get(ContextKind::InvalidValue).is_some() {
        usage.insert(ContextKind::InvalidValue, ContextValue::String("(not repeated here)".to_owned()));
    }
    usage
}

/// `--help` and `--version` are answers (0); everything else that clap reports is an error (1, where clap says 2).
fn answer_usage(usage: &clap::Error) -> ExitCode {
    let printed = usage.print();
    match (usage.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
