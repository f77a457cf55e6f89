//! One line for each change of a masked report, in columns: what comments, annotations, issues and the terminal share.
//!
//! Every line is one line: nothing that a repository or a runtime says can begin one.

use crate::drift::Cause;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::plan::ActionKind;
use crate::report::mask::PublicValue;
use crate::report::pull::{PublicChange, PublicReplica, PublicService};
use crate::report::words;

/// The widest that the column of fields becomes, in characters.
const FIELD_MAX: usize = 40;
/// The longest field that is spelt out, in characters.
const FIELD_SHOWN: usize = 160;
/// The longest `old → new` that stands on one line, in characters.
const ONE_LINE: usize = 84;

/// How a change stands to what is reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tense {
    /// A sync would make it.
    Would,
    /// It would have been made, and no longer is.
    Undone,
}

/// The line that a service's changes stand under.
pub(super) fn heading(service: &PublicService, tense: Tense) -> String {
    let (symbol, words) = match (service.kind, tense) {
        (ActionKind::Create, Tense::Would) => ("+", "will be created"),
        (ActionKind::InPlace, Tense::Would) => ("~", "will be changed in place"),
        (ActionKind::Replace, Tense::Would) => ("-/+", "must be replaced"),
        (ActionKind::Delete, Tense::Would) => ("-", "will be deleted"),
        (ActionKind::Record, Tense::Would) => ("~", "gets a new policy; nothing that runs is touched"),
        (ActionKind::Create, Tense::Undone) => ("=", "would no longer be created"),
        (ActionKind::InPlace | ActionKind::Replace | ActionKind::Delete | ActionKind::Record, Tense::Undone) => {
            ("=", "stays as it is in these")
        }
    };
    format!("{symbol} {} {words}", service.service)
}

/// The changes that are worth a line: that a created service runs goes without saying.
pub(super) fn shown(service: &PublicService) -> impl Iterator<Item = &PublicChange> {
    let created = service.kind == ActionKind::Create;
    service.changes.iter().filter(move |change| !(created && change.field == FieldPath::Stopped))
}

/// How wide the column of fields is.
pub(super) fn width(service: &PublicService) -> usize {
    let length = |change: &PublicChange| field(change).chars().count();
    shown(service).map(length).filter(|length| *length <= FIELD_MAX).max().unwrap_or(0)
}

/// The lines of one change.
pub(super) fn lines(change: &PublicChange, kind: ActionKind, width: usize, tense: Tense) -> Vec<String> {
    let symbol = match (tense, change.kind, &change.live) {
        (Tense::Undone, _, _) => '=',
        (Tense::Would, ChangeKind::Withdraw, _) => '-',
        (Tense::Would, ChangeKind::Set, PublicValue::Absent) => '+',
        (Tense::Would, ChangeKind::Set, _) => '~',
    };
    let (value, beneath) = match tense {
        Tense::Would if kind == ActionKind::Create => (declared(change).unwrap_or_default(), Vec::new()),
        Tense::Would => values(change),
        Tense::Undone => (undone(change), Vec::new()),
    };
    let mut line = format!("{symbol}   {:width$}  {value}", field(change));
    for remark in remarks(change) {
        line.push_str(&format!(" ({remark})"));
    }
    if tense == Tense::Would {
        line.push_str(&format!("  {}", cause(change)));
        if change.effect == Effect::Replace && kind == ActionKind::Replace {
            line.push_str("  # forces replacement");
        }
    }
    std::iter::once(line.trim_end().to_owned()).chain(beneath).collect()
}

/// The field as a line shows it.
pub(super) fn field(change: &PublicChange) -> String {
    let text = change.field.to_string();
    match text.char_indices().nth(FIELD_SHOWN) {
        Some((at, _)) => format!("{}…", words::printable(&text[..at])),
        None => words::printable(&text),
    }
}

fn declared(change: &PublicChange) -> Option<String> {
    change.declared.as_ref().map(|value| value.words().to_owned())
}

fn remarks(change: &PublicChange) -> Vec<String> {
    let known = |value: &&PublicValue| **value != PublicValue::HiddenValue;
    let last = change.last_applied.as_ref().filter(known).map(|value| format!("last applied: {}", value.words()));
    let instead = change.instead_of.as_ref().map(|value| match value {
        PublicValue::Absent => "waiting before: to be withdrawn".to_owned(),
        PublicValue::HiddenValue => "something else was waiting".to_owned(),
        value => format!("waiting before: {}", value.words()),
    });
    let commit = change.every_commit.then(|| "changes with every commit".to_owned());
    last.into_iter().chain(instead).chain(change.note.clone()).chain(commit).collect()
}

/// What a field has and is to have.
fn values(change: &PublicChange) -> (String, Vec<String>) {
    match change.replicas.as_slice() {
        [] => one(&change.live, change.declared.as_ref()),
        [only] => {
            let (value, beneath) = one(&only.live, change.declared.as_ref());
            (format!("{value} in {} only", only.name), beneath)
        }
        several => {
            let to = declared(change).map(|value| format!("→ {value}")).unwrap_or_default();
            let line = |replica: &PublicReplica| format!("      {}  {}", replica.name, replica.live.words());
            (to, several.iter().map(line).collect())
        }
    }
}

fn one(live: &PublicValue, declared: Option<&PublicValue>) -> (String, Vec<String>) {
    match (live, declared) {
        (live, None) => (live.words().to_owned(), Vec::new()),
        (PublicValue::Absent, Some(declared)) => (declared.words().to_owned(), Vec::new()),
        (PublicValue::Secret, Some(PublicValue::Secret)) => ("(secret) changed".to_owned(), Vec::new()),
        (PublicValue::HiddenValue, Some(PublicValue::HiddenValue)) => (String::new(), Vec::new()),
        (PublicValue::HiddenOperator, Some(PublicValue::HiddenOperator)) => {
            ("(the operator's value) changed".to_owned(), Vec::new())
        }
        (live, Some(declared)) if live == declared => (declared.words().to_owned(), Vec::new()),
        (live, Some(declared)) => {
            let line = format!("{} → {}", live.words(), declared.words());
            if line.chars().count() <= ONE_LINE {
                return (line, Vec::new());
            }
            (String::new(), vec![format!("-     {}", live.words()), format!("+     {}", declared.words())])
        }
    }
}

/// What stays, and what it was to become.
fn undone(change: &PublicChange) -> String {
    let stays = change.live.words();
    match &change.declared {
        Some(PublicValue::HiddenValue) => String::new(),
        Some(declared) => format!("stays {stays}, was to become {}", declared.words()),
        None => format!("stays {stays}, was to be withdrawn"),
    }
}

/// Why a field differs: the cause's word, and where or what.
pub(super) fn cause(change: &PublicChange) -> String {
    let word = change.cause.word();
    let outside = match (&change.field, &change.live) {
        (FieldPath::Stopped, _) => "stopped outside Trueup",
        (FieldPath::Replicas, _) if change.at.is_none() && change.kind == ChangeKind::Set => {
            "left of an earlier release"
        }
        (_, PublicValue::Absent) => "removed outside Trueup",
        (_, _) => "changed outside Trueup",
    };
    match change.cause {
        Cause::New | Cause::Repo => format!("{word}: {}", place(change)),
        Cause::Live => format!("{word}: {outside}"),
        Cause::Both => format!("{word}: {}, and {outside}", place(change)),
        Cause::Input => format!("{word}: {}", moved(change)),
    }
}

fn place(change: &PublicChange) -> String {
    match (&change.at, change.kind) {
        (_, ChangeKind::Withdraw) => "no longer declared".to_owned(),
        (Some(at), ChangeKind::Set) if at.line > 0 => format!("{}:{}", words::printable(&at.file), at.line),
        (Some(at), ChangeKind::Set) => words::printable(&at.file),
        (None, ChangeKind::Set) => "declared".to_owned(),
    }
}

fn moved(change: &PublicChange) -> &'static str {
    match (change.kind, &change.field, &change.declared) {
        (ChangeKind::Withdraw, _, _) => "the operator no longer sets it",
        (ChangeKind::Set, FieldPath::Image, _) => "the tag means another image now, or the operator's setting changed",
        (ChangeKind::Set, _, Some(PublicValue::Secret)) => "the secret's value changed",
        (ChangeKind::Set, _, Some(PublicValue::HiddenValue)) => "what the operator supplies changed",
        (ChangeKind::Set, _, _) => "the operator's setting changed",
    }
}
