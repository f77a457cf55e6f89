//! The words of a report: values cut to what a line holds, causes, reasons; safe to print on any terminal.

use crate::drift::Cause;
use crate::live::Observed;
use crate::live::capability::ChangeKind;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::{Blocked, Change};

/// The longest value that a line shows in full, in characters.
const VALUE_MAX: usize = 100;

/// How much of what two long values have in common is shown before they part, in characters.
const BEFORE_PARTING: usize = 24;

/// A value as a line shows it.
pub(super) fn value(value: &Value) -> String {
    cut(&whole(value), 0)
}

/// Two values as lines show them: where they are too long, cut so that the place where they part is seen.
pub(super) fn pair(old: &Value, new: &Value) -> (String, String) {
    let (old, new) = (whole(old), whole(new));
    let alike = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let long = [&old, &new].into_iter().any(|text| text.chars().count() > VALUE_MAX);
    let from = if long && alike > VALUE_MAX / 2 { alike - BEFORE_PARTING } else { 0 };
    (cut(&old, from), cut(&new, from))
}

fn whole(value: &Value) -> String {
    match value {
        // A mount and a set of bindings may be empty or hold anything; they are never mistaken for nothing.
        Value::Ports(bindings) if bindings.is_empty() => "(none)".to_owned(),
        other => printable(&other.to_string()),
    }
}

/// A text from its `from`th character on, cut to what a line can hold.
fn cut(text: &str, from: usize) -> String {
    let length = text.chars().count();
    let head = if from > 0 { "…" } else { "" };
    if length - from.min(length) <= VALUE_MAX {
        return format!("{head}{}", text.chars().skip(from).collect::<String>());
    }
    let shown: String = text.chars().skip(from).take(VALUE_MAX - 1).collect();
    format!("{head}{shown}…")
}

/// Why a leaf differs: the cause's word, and where or what.
pub(super) fn cause(change: &Change) -> String {
    let word = change.cause.word();
    let outside = match (&change.field, &change.live) {
        (FieldPath::Stopped, _) => "stopped outside Trueup",
        (FieldPath::Replicas, _) if change.at.is_none() && change.kind == ChangeKind::Set => {
            "left of an earlier release"
        }
        (_, Observed::Known(None)) => "removed outside Trueup",
        (_, Observed::Known(Some(_)) | Observed::Unknown(_)) => "changed outside Trueup",
    };
    match change.cause {
        Cause::New | Cause::Repo => format!("{word}: {}", place(change)),
        Cause::Live => format!("{word}: {outside}"),
        Cause::Both => format!("{word}: {}, and {outside}", place(change)),
        Cause::Input => format!("{word}: {}", moved(change)),
    }
}

/// Where the repo says what it says.
fn place(change: &Change) -> String {
    match (&change.at, change.kind) {
        (_, ChangeKind::Withdraw) => "no longer declared".to_owned(),
        (Some(at), ChangeKind::Set) if at.line > 0 => format!("{}:{}", printable(&at.file), at.line),
        (Some(at), ChangeKind::Set) => printable(&at.file),
        (None, ChangeKind::Set) => "declared".to_owned(),
    }
}

/// What moved although the file stood still.
fn moved(change: &Change) -> &'static str {
    match (change.kind, &change.declared, &change.base) {
        (ChangeKind::Withdraw, _, _) => "the operator no longer sets it",
        (ChangeKind::Set, Some(Value::Image(now)), Some(Value::Image(then))) if now.same_reference(then) => {
            "the tag means another image now"
        }
        (ChangeKind::Set, Some(Value::Secret(_)), Some(Value::Secret(_))) => "the secret's value changed",
        (ChangeKind::Set, _, _) => "the operator's setting changed",
    }
}

/// Why an action is blocked, in words.
pub fn blocked_words(blocked: &Blocked) -> String {
    match blocked {
        Blocked::Unknown { field: Some(field), why } => format!("{field} is not known: {why}"),
        Blocked::Unknown { field: None, why } => format!("it could not be seen: {why}"),
        Blocked::Unsupported { field, why } => format!("{field}: {why}"),
        Blocked::MissingSecret { why } | Blocked::Incomplete { why } | Blocked::NotAllowed { why } => why.clone(),
        Blocked::CannotProbe { why } => format!("its health check could not be carried out: {why}"),
        Blocked::Dependency { service } => {
            format!("it depends on {service}, which does not run and which this plan does not start")
        }
    }
}

/// Text on one line without anything that steers a terminal: what a repository or an engine says is not trusted.
pub fn printable(text: &str) -> String {
    let neutral = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns_text(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(neutral).collect()
}

/// Marks that change the direction of text or take no room (Unicode's bidirectional controls, zero-width characters,
/// line and paragraph separators, tags): with them a line could read as another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{pair, printable, value};
    use crate::live::value::Value;

    #[test]
    fn long_values_are_shown_where_they_part() {
        let long = |end: &str| Value::Text(format!("{}{end}", "x".repeat(150)).into());
        let (old, new) = pair(&long("old"), &long("new"));
        assert_eq!(old, format!("…{}old\"", "x".repeat(24)));
        assert_eq!(new, format!("…{}new\"", "x".repeat(24)));
        let (old, new) = pair(&Value::Text("a".repeat(200).into()), &Value::Text("b".into()));
        assert!(old.ends_with('…') && old.chars().count() == 100, "{old}");
        assert_eq!(new, "\"b\"");
        assert_eq!(value(&Value::Text("a".repeat(200).into())).chars().count(), 100);
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}c\u{2066}"), "a b\u{fffd}[31m\u{fffd}c\u{fffd}");
        assert_eq!(printable("naïve → 日本"), "naïve → 日本");
    }
}
