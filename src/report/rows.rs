//! One line for each leaf of an action, in columns: symbol, field, value, cause, consequence.

use crate::drift::{Cause, ReplicaLive};
use crate::live::Observed;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::{Action, ActionKind, Change};
use crate::report::style::{Paint, Style};
use crate::report::words;

/// The widest that the column of fields becomes, in characters; longer ones push their own line only.
const FIELD_MAX: usize = 40;

/// The widest that the column of values becomes, in characters.
const VALUES_MAX: usize = 72;

/// The longest `old → new` that stands on one line, in characters; longer ones take two lines of their own.
const ONE_LINE: usize = 84;

/// One line, and what stands beneath it.
struct Row {
    symbol: char,
    paint: Paint,
    field: String,
    value: String,
    cause: String,
    replaces: bool,
    beneath: Vec<String>,
}

/// The lines of an action's leaves.
pub(super) fn of_action(action: &Action, style: Style) -> Vec<String> {
    // That a declared service runs goes without saying where it is made anew.
    let shown = |change: &&Change| !(action.kind == ActionKind::Create && change.field == FieldPath::Stopped);
    let rows: Vec<Row> = action.changes.iter().filter(shown).map(|change| row(change, action.kind)).collect();
    let widest =
        |text: fn(&Row) -> usize, most: usize| rows.iter().map(text).filter(|width| *width <= most).max().unwrap_or(0);
    let field = widest(|row| width(&row.field), FIELD_MAX);
    let value = widest(|row| width(&row.value), VALUES_MAX);
    let cause = rows.iter().filter(|row| row.replaces).map(|row| width(&row.cause)).max().unwrap_or(0);
    rows.into_iter().flat_map(|row| row.lines(field, value, cause, style)).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl Row {
    fn lines(self, field: usize, value: usize, cause: usize, style: Style) -> Vec<String> {
        let symbol = style.paint(self.paint, &self.symbol.to_string());
        let padded_cause = if self.replaces { format!("{:cause$}", self.cause) } else { self.cause };
        let mut line = format!("      {symbol} {:field$}  {:value$}  ", self.field, self.value);
        line.push_str(&style.paint(Paint::Dim, &padded_cause));
        if self.replaces {
            line.push_str("  ");
            line.push_str(&style.paint(Paint::Red, "# forces replacement"));
        }
        let beneath = self.beneath.into_iter().map(|text| format!("          {text}"));
        std::iter::once(line.trim_end().to_owned()).chain(beneath).collect()
    }
}

fn row(change: &Change, kind: ActionKind) -> Row {
    let (symbol, paint) = match (change.kind, &change.live) {
        (ChangeKind::Withdraw, _) => ('-', Paint::Red),
        (ChangeKind::Set, Observed::Known(None)) => ('+', Paint::Green),
        (ChangeKind::Set, Observed::Known(Some(_)) | Observed::Unknown(_)) => ('~', Paint::Yellow),
    };
    let (value, beneath) = match kind {
        ActionKind::Create => (change.declared.as_ref().map(words::value).unwrap_or_default(), Vec::new()),
        ActionKind::InPlace | ActionKind::Replace | ActionKind::Delete | ActionKind::Record => values(change),
    };
    let remarks: Vec<String> =
        last_applied(change).into_iter().chain(change.note.as_deref().map(words::printable)).collect();
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) };
    Row {
        symbol,
        paint,
        field: change.field.to_string(),
        value: format!("{value}{remarks}").trim_start().to_owned(),
        cause: words::cause(change),
        replaces: change.effect == Effect::Replace,
        beneath,
    }
}

/// Where both sides moved, what they moved away from.
fn last_applied(change: &Change) -> Option<String> {
    match (change.cause, &change.base) {
        (Cause::Both, Some(base)) => Some(format!("last applied: {}", words::value(base))),
        (Cause::Both | Cause::New | Cause::Repo | Cause::Live | Cause::Input, _) => None,
    }
}

/// What a leaf has and is to have: on its line, and beneath it where one line does not hold it.
fn values(change: &Change) -> (String, Vec<String>) {
    match change.replicas.as_slice() {
        [] => of_one(live(change), change.declared.as_ref()),
        [only] => {
            let (value, beneath) = of_one(Seen::of(only.live.as_ref()), change.declared.as_ref());
            (format!("{value} in {} only", words::printable(&only.name)).trim_start().to_owned(), beneath)
        }
        several => {
            let to = change.declared.as_ref().map(|value| format!("→ {}", words::value(value))).unwrap_or_default();
            let name = several.iter().map(|replica| width(&replica.name)).max().unwrap_or(0);
            let line = |replica: &ReplicaLive| {
                let live = Seen::of(replica.live.as_ref()).words();
                format!("{:name$}  {live}", words::printable(&replica.name))
            };
            (to, several.iter().map(line).collect())
        }
    }
}

/// What runs, as far as it was seen.
enum Seen<'a> {
    Value(&'a Value),
    Absent,
    Unknown(&'a str),
}

impl<'a> Seen<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        value.map_or(Seen::Absent, Seen::Value)
    }

    fn words(&self) -> String {
        match self {
            Seen::Value(value) => words::value(value),
            Seen::Absent => "(absent)".to_owned(),
            Seen::Unknown(why) => format!("(unknown: {})", words::printable(why)),
        }
    }
}

fn live(change: &Change) -> Seen<'_> {
    match &change.live {
        Observed::Known(value) => Seen::of(value.as_ref()),
        Observed::Unknown(why) => Seen::Unknown(why),
    }
}

fn of_one(live: Seen<'_>, declared: Option<&Value>) -> (String, Vec<String>) {
    match (live, declared) {
        (live, None) => (live.words(), Vec::new()),
        (Seen::Absent, Some(declared)) => (words::value(declared), Vec::new()),
        (live @ Seen::Unknown(_), Some(declared)) => {
            (format!("{} → {}", live.words(), words::value(declared)), Vec::new())
        }
        (Seen::Value(Value::Secret(_)), Some(Value::Secret(_))) => ("(secret) changed".to_owned(), Vec::new()),
        (Seen::Value(live), Some(declared)) => {
            let (old, new) = words::pair(live, declared);
            if old == new {
                return (new, Vec::new());
            }
            let line = format!("{old} → {new}");
            if width(&line) <= ONE_LINE {
                return (line, Vec::new());
            }
            (String::new(), vec![format!("- {old}"), format!("+ {new}")])
        }
    }
}
