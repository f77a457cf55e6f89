//! What is wrong with a file, collected: all of it, not only the first, each with its place and a way out.
//!
//! Must not know the file's keys.

use std::sync::Arc;

use crate::declared::credential;
use crate::declared::{Diagnostic, InvalidFile, Position};

/// The most diagnostics that one file is answered with.
const SHOWN: usize = 50;

/// The most that are collected at all, so that a hostile file costs no more than a bad one.
const COLLECTED: usize = 1_000;

/// A stretch of one line. Line and column count from 1, both and the width in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stretch {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) width: u32,
}

impl Stretch {
    pub(crate) fn position(self, file: &str) -> Position {
        Position { file: file.into(), line: self.line, column: self.column }
    }
}

/// Where something is written: in the file, or in a service that the operator registered (by the path of its keys).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    File(Stretch),
    Registered(Arc<str>),
}

impl Place {
    /// The place as a phrase for another place's message.
    pub(crate) fn phrase(&self) -> String {
        match self {
            Place::File(stretch) => format!("on line {}", stretch.line),
            Place::Registered(path) => format!("at `{path}` of the registered service"),
        }
    }
}

/// What is wrong with one value, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Wrong { message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Everything that was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<(Place, Wrong)>,
}

impl Problems {
    pub(crate) fn add(&mut self, place: &Place, wrong: Wrong) {
        if !self.is_full() {
            self.found.push((place.clone(), wrong));
        }
    }

    /// Whether no more are collected.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= COLLECTED
    }

    /// How many were found.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn append(&mut self, mut other: Problems) {
        self.found.append(&mut other.found);
        self.found.truncate(COLLECTED);
    }

    /// `value` where nothing was found. A problem of a registered service is shown at `deploy`, which calls for it;
    /// without one it has no position, and its message begins with the key.
    pub(crate) fn settle<T>(mut self, file: &str, deploy: Option<Stretch>, value: T) -> Result<T, InvalidFile> {
        if self.found.is_empty() {
            return Ok(value);
        }
        // The same node is read once for each alias of it.
        self.found.sort();
        self.found.dedup();
        let more = self.found.len().saturating_sub(SHOWN);
        self.found.truncate(SHOWN);
        let mut diagnostics: Vec<Diagnostic> =
            self.found.into_iter().map(|(place, wrong)| diagnostic(file, deploy, place, wrong)).collect();
        if more > 0 {
            let message = format!("{more} more problems were found; mend these first");
            diagnostics.push(Diagnostic { message, at: None, width: 1, help: None });
        }
        Err(InvalidFile { diagnostics })
    }
}

fn diagnostic(file: &str, deploy: Option<Stretch>, place: Place, wrong: Wrong) -> Diagnostic {
    let Wrong { message, help } = wrong;
    match (place, deploy) {
        (Place::File(stretch), _) => {
            Diagnostic { message, at: Some(stretch.position(file)), width: stretch.width.max(1), help }
        }
        (Place::Registered(path), Some(deploy)) => Diagnostic {
            message: format!("the service that the operator registered is not valid here: {path}: {message}"),
            at: Some(deploy.position(file)),
            width: deploy.width.max(1),
            help,
        },
        (Place::Registered(path), None) => {
            Diagnostic { message: format!("{path}: {message}"), at: None, width: 1, help }
        }
    }
}

/// A scalar as a message may repeat it: short, on one line, and never what may be a secret.
pub(crate) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "empty text".to_owned();
    }
    let short = text.chars().count() <= 48 && !text.chars().any(char::is_control);
    if short && credential::is_secret(text).is_none() { format!("`{text}`") } else { "this text".to_owned() }
}
