//! How a verb fails in front of a person: what happened, why, and what to do.

use std::fmt;

use crate::cli::client::ClientError;
use crate::cli::terminal::{Terminal, Tone};

/// An error that knows what to do about it.
#[derive(Debug)]
pub(super) struct Advice {
    message: String,
    help: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Advice {
    /// What happened, and what to do.
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Advice { message: message.into(), help: help.into(), source: None }
    }

    /// The same with the error that it came from.
    #[must_use]
    pub(super) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advice {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// The advice that an error carries. A client's error shows it in its own place and so hides it from the chain.
fn advice_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Advice> {
    match cause.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable(advice)) => Some(advice),
        _ => cause.downcast_ref::<Advice>(),
    }
}

/// What to do about an error, where it knows.
pub(super) fn help_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    advice_of(error).map(|advice| advice.help.as_str())
}

/// Says an error on standard error: the message, each cause on its own line, the advice last.
///
/// # Errors
/// Standard error cannot be written.
pub(super) fn say(terminal: &mut Terminal, error: &anyhow::Error) -> std::io::Result<()> {
    terminal.note(Tone::Bad, &format!("error: {error}"))?;
    for cause in error.chain().skip(1) {
        terminal.note(Tone::Plain, &format!("  because: {cause}"))?;
    }
    for advice in error.chain().filter_map(advice_of) {
        for line in advice.help.lines() {
            terminal.note(Tone::Plain, &format!("  help: {line}"))?;
        }
    }
    Ok(())
}
