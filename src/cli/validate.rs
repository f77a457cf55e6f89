//! `trueup validate`: checks a file, without a daemon.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::terminal::{Terminal, Tone};
use crate::declared::file::{self, File, MAX_BYTES};
use crate::declared::{Diagnostic, InvalidFile, snippet};
use crate::ids::EnvironmentName;

/// Check a file, with every mistake at its line and column
///
/// Checks everything that can be known without the daemon: keys, types, units, names, secrets in plain text.
/// What the operator decides (which host paths are allowed, which template values there are) is checked when the
/// daemon reads the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup validate .trueup.yml
  trueup validate --json .trueup.yml        the mistakes as JSON, for editors and CI
  git show main:.trueup.yml | trueup validate -

Exit codes: 0 valid, 1 not.")]
pub(super) struct Validate {
    /// The file; `-` for standard input
    #[arg(value_name = "FILE")]
    path: String,
    /// Print JSON: whether it is valid, its environments, its mistakes
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict<'a> {
    valid: bool,
    environments: Vec<EnvironmentName>,
    diagnostics: &'a [Diagnostic],
}

/// Reads the file, parses it and shows what is wrong with it.
pub(super) fn run(verb: &Validate, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let bytes = read(&verb.path)?;
    let parsed = file::parse(&verb.path, &bytes);
    if verb.json {
        let diagnostics = parsed.as_ref().err().map_or(&[][..], |invalid| &invalid.diagnostics);
        let environments = parsed.as_ref().map(File::environments).unwrap_or_default();
        terminal.json(&Verdict { valid: parsed.is_ok(), environments, diagnostics })?;
        return Ok(if parsed.is_ok() { Outcome::Done } else { Outcome::Unclear });
    }
    match parsed {
        Ok(file) => {
            let names: Vec<String> = file.environments().iter().map(ToString::to_string).collect();
            let what = match (file.is_short_form(), names.as_slice()) {
                (true, _) => "the short form, for the one registered service".to_owned(),
                (false, []) => "no environments: nothing is declared".to_owned(),
                (false, [one]) => format!("environment {one}"),
                (false, many) => format!("environments {}", many.join(", ")),
            };
            terminal.line(&format!("{}: {} ({what})", verb.path, terminal.paint(Tone::Good, "valid")))?;
            Ok(Outcome::Done)
        }
        Err(invalid) => {
            show_invalid(terminal, &verb.path, &bytes, &invalid)?;
            Ok(Outcome::Unclear)
        }
    }
}

/// Reads a file or, for `-`, standard input, but never more than may be parsed.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the parser sees that it is too large.
    let limit = MAX_BYTES as u64 + 1;
    if path == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("{path} cannot be opened"))?;
        file.take(limit).read_to_end(&mut bytes).with_context(|| format!("{path} cannot be read"))?;
    }
    Ok(bytes)
}

/// Shows diagnostics over their source lines, as results: they are what was asked for.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn show_invalid(
    terminal: &mut Terminal,
    path: &str,
    bytes: &[u8],
    invalid: &InvalidFile,
) -> anyhow::Result<()> {
    let sources = BTreeMap::from([(path.to_owned(), String::from_utf8_lossy(bytes).into_owned())]);
    let text = snippet::render(invalid, &sources, terminal.colour());
    terminal.line(text.trim_end())?;
    let count = invalid.diagnostics.len();
    let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
    terminal.note(Tone::Bad, &format!("{path}: not valid ({mistakes})"))?;
    Ok(())
}
