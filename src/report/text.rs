//! A plan for a terminal, in Terraform's symbols: `+` create, `~` change, `-/+` replace, `-` delete.

use std::fmt::Write;

use crate::ids::ServiceName;
use crate::live::Observed;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::plan::{Action, ActionKind, Blocked, Change, Plan};

/// Whether the text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ANSI colours.
    Colour,
    /// None: for files, pipes and `NO_COLOR`.
    Plain,
}

#[derive(Clone, Copy)]
enum Paint {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

impl Style {
    fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Red => "31",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        match self {
            Style::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Style::Plain => text.to_owned(),
        }
    }
}

/// The longest value that a line shows in full, in characters.
const VALUE_MAX: usize = 100;

/// The whole plan, ending in a newline.
pub fn plan(plan: &Plan, style: Style) -> String {
    let mut out = String::new();
    let place = match &plan.commit {
        Some(commit) => format!("{} at {}", plan.reference, commit.short()),
        None => plan.reference.clone(),
    };
    let heading = format!("{} on {}, {place}", plan.environment, plan.provider);
    line(&mut out, &style.paint(Paint::Bold, &heading));
    for note in &plan.notes {
        line(&mut out, &format!("  note: {}", printable(note)));
    }
    for action in &plan.actions {
        line(&mut out, "");
        write_action(&mut out, action, style);
    }
    write_unknowns(&mut out, plan, style);
    write_orphans(&mut out, plan, style);
    line(&mut out, "");
    line(&mut out, &summary(plan, style));
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn write_action(out: &mut String, action: &Action, style: Style) {
    let (symbol, paint, words) = match action.kind {
        ActionKind::Create => ("  +", Paint::Green, "will be created"),
        ActionKind::InPlace => ("  ~", Paint::Yellow, "will be changed in place"),
        ActionKind::Replace => ("-/+", Paint::Red, "must be replaced"),
        ActionKind::Delete => ("  -", Paint::Red, "will be deleted: it runs and is no longer declared"),
        ActionKind::Record => ("  ~", Paint::Dim, "gets a new policy; nothing that runs is touched"),
    };
    let words = if action.blocked.is_empty() { words } else { "is blocked" };
    let head = format!("{} {} {words}", style.paint(paint, symbol), style.paint(Paint::Bold, action.service.as_str()));
    line(out, &head);
    // That a declared service runs goes without saying where it is made anew.
    let shown: Vec<&Change> = action
        .changes
        .iter()
        .filter(|change| !(action.kind == ActionKind::Create && change.field == FieldPath::Stopped))
        .collect();
    let width = shown.iter().map(|change| change.field.to_string().chars().count()).max().unwrap_or(0).min(40);
    for change in shown {
        write_change(out, change, action.kind, width, style);
    }
    for blocked in &action.blocked {
        line(out, &format!("      {} {}", style.paint(Paint::Red, "blocked:"), printable(&blocked_words(blocked))));
    }
    for note in &action.notes {
        line(out, &format!("      note: {}", printable(note)));
    }
}

fn write_change(out: &mut String, change: &Change, kind: ActionKind, width: usize, style: Style) {
    let (symbol, paint) = match (change.kind, change.live.known()) {
        (ChangeKind::Withdraw, _) => ("-", Paint::Red),
        (ChangeKind::Set, Some(None)) => ("+", Paint::Green),
        (ChangeKind::Set, Some(Some(_)) | None) => ("~", Paint::Yellow),
    };
    let declared = change.declared.as_ref().map(|value| shorten(&value.to_string()));
    let value = match (kind, live_words(change), declared) {
        (ActionKind::Create, _, Some(declared)) => declared,
        (_, live, Some(declared)) if live == declared => format!("{declared} (another content)"),
        (_, live, Some(declared)) => format!("{live} → {declared}"),
        (_, live, None) => format!("{live} → (default)"),
    };
    let mut text = format!("      {} {:width$}  {value}", style.paint(paint, symbol), change.field.to_string());
    if let Some(note) = &change.note {
        write!(text, "  ({})", printable(note)).expect("writing to a string never fails");
    }
    if change.effect == Effect::Replace {
        write!(text, "  {}", style.paint(Paint::Red, "# forces replacement")).expect("writing to a string never fails");
    }
    let place = match (&change.at, change.cause) {
        (Some(at), crate::drift::Cause::Repo | crate::drift::Cause::New | crate::drift::Cause::Both) => {
            format!("{}, {}:{}", change.cause.word(), at.file, at.line)
        }
        (_, cause) => cause.word().to_owned(),
    };
    write!(text, "  {}", style.paint(Paint::Dim, &format!("[{place}]"))).expect("writing to a string never fails");
    line(out, &text);
    for replica in &change.replicas {
        let live = replica.live.as_ref().map_or_else(|| "(absent)".to_owned(), |value| shorten(&value.to_string()));
        line(out, &format!("          only {}: {live}", replica.name));
    }
}

fn live_words(change: &Change) -> String {
    match &change.live {
        Observed::Unknown(why) => format!("(unknown: {})", printable(why)),
        Observed::Known(None) => "(absent)".to_owned(),
        Observed::Known(Some(value)) => shorten(&value.to_string()),
    }
}

fn write_unknowns(out: &mut String, plan: &Plan, style: Style) {
    if plan.unknowns.is_empty() {
        return;
    }
    line(out, "");
    for unknown in &plan.unknowns {
        let what = match (&unknown.service, &unknown.field) {
            (Some(service), Some(field)) => format!("{service}.{field}"),
            (Some(service), None) => service.to_string(),
            (None, _) => "what runs".to_owned(),
        };
        line(out, &format!("  {} {what} (unknown: {})", style.paint(Paint::Yellow, "?"), printable(&unknown.why)));
    }
}

fn write_orphans(out: &mut String, plan: &Plan, style: Style) {
    let deleted = |name: &&ServiceName| plan.action(name).is_some_and(|action| action.kind == ActionKind::Delete);
    let left: Vec<&ServiceName> = plan.orphans.iter().filter(|name| !deleted(name)).collect();
    if left.is_empty() {
        return;
    }
    line(out, "");
    for name in left {
        let words = "runs and is no longer declared (orphan); only a sync with --prune deletes it";
        line(out, &format!("  {} {name} {words}", style.paint(Paint::Yellow, "!")));
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
        Blocked::Dependency { service } => format!("it depends on {service}, which is blocked"),
    }
}

/// The closing line: what a sync would do.
fn summary(plan: &Plan, style: Style) -> String {
    let count = |kind: ActionKind| plan.feasible().filter(|action| action.kind == kind).count();
    let blocked = plan.actions.iter().filter(|action| !action.blocked.is_empty()).count();
    if plan.actions.is_empty() && plan.orphans.is_empty() {
        return match (plan.unknowns.is_empty(), plan.in_sync.len()) {
            (false, _) => style.paint(Paint::Yellow, "Whether it is in sync is not known."),
            (true, 0) => "Nothing is declared here, and nothing is changed.".to_owned(),
            (true, 1) => style.paint(Paint::Green, "In sync: 1 service."),
            (true, services) => style.paint(Paint::Green, &format!("In sync: {services} services.")),
        };
    }
    let parts: Vec<String> = [
        (count(ActionKind::Create), "to create"),
        (count(ActionKind::InPlace), "to change in place"),
        (count(ActionKind::Replace), "to replace"),
        (count(ActionKind::Delete), "to delete"),
        (count(ActionKind::Record), "to record"),
        (blocked, "blocked"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let parts = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    format!("Plan {}: {parts}.", style.paint(Paint::Bold, plan.digest.short()))
}

/// A value cut to what a line can hold.
fn shorten(text: &str) -> String {
    let text = printable(text);
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_MAX - 1).collect();
    format!("{head}…")
}

/// Text without control characters: what a repository or an engine says must not steer a terminal.
pub fn printable(text: &str) -> String {
    let neutral = |c: char| if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) { '\u{fffd}' } else { c };
    text.chars().map(neutral).collect()
}
