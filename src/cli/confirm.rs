//! Asks a person, on the terminal itself: what is piped into standard input never answers for them.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};

use anyhow::Context;

/// Asks a yes-or-no question; anything but `y` or `yes` is a no, and so is the end of input.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn ask(question: &str) -> anyhow::Result<bool> {
    let mut tty = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .context("the terminal cannot be asked; use --yes or --plan DIGEST")?;
    write!(tty, "\n{question} [y/N] ")?;
    tty.flush()?;
    let mut answer = String::new();
    BufReader::new(&tty).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
