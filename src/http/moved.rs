//! What moved between a plan that was confirmed and the plan of now, one line each.

use std::collections::{BTreeMap, BTreeSet};

use crate::live::Observed;
use crate::live::value::Value;
use crate::plan::{Action, Change, Plan};

/// The most lines; the plan of now comes along in full anyway.
const LINES_MAX: usize = 50;

/// The lines, most telling first: what would be done, then what it rests on.
pub(super) fn lines(confirmed: &Plan, current: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if confirmed.commit != current.commit {
        let short = |plan: &Plan| plan.commit.as_ref().map_or("no commit", |commit| commit.short()).to_owned();
        lines.push(format!("{}: {} → {}", current.reference, short(confirmed), short(current)));
    }
    let (before, after) = (by_service(confirmed), by_service(current));
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(name), after.get(name)) {
            (Some(_), None) => lines.push(format!("{name}: nothing to do any more")),
            (None, Some(action)) => lines.push(format!("{name}: {} leaf(s) differ now", action.changes.len())),
            (Some(before), Some(after)) if before != after => service(before, after, &mut lines),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    for orphan in current.orphans.iter().filter(|orphan| !confirmed.orphans.contains(orphan)) {
        lines.push(format!("{orphan}: no longer declared"));
    }
    if lines.is_empty() {
        lines.push(
            "what was last applied, what is declared or what runs differs in a leaf that the plan does not change"
                .into(),
        );
    }
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn by_service(plan: &Plan) -> BTreeMap<&str, &Action> {
    plan.actions.iter().map(|action| (action.service.as_str(), action)).collect()
}

fn service(before: &Action, after: &Action, lines: &mut Vec<String>) {
    let name = &after.service;
    let said = lines.len();
    let find = |action: &'_ Action, change: &Change| -> Option<Change> {
        action.changes.iter().find(|other| other.field == change.field).cloned()
    };
    for change in &before.changes {
        let field = &change.field;
        match find(after, change) {
            None => lines.push(format!("{name}.{field}: no longer differs")),
            Some(now) => {
                if now.declared != change.declared {
                    let (was, is) = (declared(change.declared.as_ref()), declared(now.declared.as_ref()));
                    lines.push(format!("{name}.{field}: declared {was} → {is}"));
                }
                if now.live != change.live {
                    lines.push(format!("{name}.{field}: live {} → {}", live(&change.live), live(&now.live)));
                }
            }
        }
    }
    for change in after.changes.iter().filter(|change| find(before, change).is_none()) {
        lines.push(format!("{name}.{}: differs now", change.field));
    }
    if before.blocked != after.blocked {
        let word = if after.blocked.is_empty() { "no longer blocked" } else { "blocked now, or for another reason" };
        lines.push(format!("{name}: {word}"));
    }
    if lines.len() == said {
        lines.push(format!("{name}: would be done in another way"));
    }
}

fn declared(value: Option<&Value>) -> String {
    value.map_or_else(|| "(nothing)".to_owned(), ToString::to_string)
}

fn live(value: &Observed<Option<Value>>) -> String {
    match value {
        Observed::Known(value) => value.as_ref().map_or_else(|| "(absent)".to_owned(), ToString::to_string),
        Observed::Unknown(why) => format!("(unknown: {why})"),
    }
}
