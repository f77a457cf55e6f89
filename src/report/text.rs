//! A plan for a terminal, in Terraform's symbols: `+` create, `~` change, `-/+` replace, `-` delete.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceName;
use crate::plan::{Action, ActionKind, Plan, Unknown};
use crate::report::rows;
use crate::report::style::Paint;

pub use crate::report::style::Style;
pub use crate::report::words::{blocked_words, printable};

/// The whole plan, ending in a newline.
pub fn plan(plan: &Plan, style: Style) -> String {
    let mut lines = vec![style.paint(Paint::Bold, &heading(plan))];
    lines.extend(body(plan, style));
    lines.push(String::new());
    lines.push(summary(plan, style));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What to type to have the plan carried out, for whoever only asked to see it; `None` where there is nothing to do or
/// the plan was made of a file, which nothing can sync.
pub fn next_step(plan: &Plan) -> Option<String> {
    let environment = &plan.environment;
    if plan.commit.is_none() && plan.options.rollback_to.is_none() {
        return None;
    }
    let go = match plan.options.rollback_to {
        Some(run) => ("To go back:", format!("trueup rollback {environment} --to {run}")),
        None => ("To carry it out:", format!("trueup sync {environment} --plan {}", plan.digest.short())),
    };
    let prune = !plan.options.prune && !plan.orphans.is_empty() && plan.options.rollback_to.is_none();
    let orphans = if plan.orphans.len() == 1 { "To delete the orphan:" } else { "To delete the orphans:" };
    let steps: Vec<(&str, String)> = plan
        .feasible()
        .next()
        .map(|_| go)
        .into_iter()
        .chain(prune.then(|| (orphans, format!("trueup sync {environment} --prune"))))
        .collect();
    if steps.is_empty() {
        let stuck = "Nothing of it can be carried out until what blocks it is put right.";
        return (!plan.actions.is_empty()).then(|| stuck.to_owned());
    }
    let width = steps.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    Some(steps.iter().map(|(what, how)| format!("{what:width$}  {how}")).collect::<Vec<_>>().join("\n"))
}

/// Everything between the heading and the closing line: what two plans are told apart by.
pub(super) fn body(plan: &Plan, style: Style) -> Vec<String> {
    let mut lines: Vec<String> = plan.notes.iter().map(|note| format!("  note: {}", printable(note))).collect();
    lines.extend(plan.unknowns.iter().filter(|unknown| unknown.service.is_none()).flat_map(|unknown| {
        let why = printable(&unknown.why);
        [String::new(), format!("  {} what runs could not be seen (unknown: {why})", style.paint(Paint::Yellow, "?"))]
    }));
    for action in &plan.actions {
        lines.push(String::new());
        lines.extend(of_action(action, style));
    }
    lines.extend(of_unknowns(plan, style));
    lines.extend(of_orphans(plan, style));
    lines
}

fn heading(plan: &Plan) -> String {
    let reference = printable(&plan.reference);
    let place = match &plan.commit {
        Some(commit) => format!("{reference} at {}", commit.short()),
        None => reference,
    };
    let only = match &plan.options.services {
        Some(services) => {
            let names: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
            format!(", only {}", names.join(", "))
        }
        None => String::new(),
    };
    format!("{} ({}), {place}{only}", plan.environment, printable(&plan.provider))
}

fn of_action(action: &Action, style: Style) -> Vec<String> {
    let (symbol, paint, will, would) = match action.kind {
        ActionKind::Create => ("  +", Paint::Green, "will be created", "would be created"),
        ActionKind::InPlace => ("  ~", Paint::Yellow, "will be changed in place", "would be changed in place"),
        ActionKind::Replace => ("-/+", Paint::Red, "must be replaced", "would be replaced"),
        ActionKind::Delete => {
            ("  -", Paint::Red, "will be deleted (orphan: it runs and is not declared)", "would be deleted")
        }
        ActionKind::Record => {
            ("  ~", Paint::Yellow, "gets a new policy; nothing that runs is touched", "would get a new policy")
        }
    };
    let words = if action.blocked.is_empty() { will.to_owned() } else { format!("{would}, but is blocked") };
    let head = format!("{} {} {words}", style.paint(paint, symbol), style.paint(Paint::Bold, action.service.as_str()));
    let blocked = action
        .blocked
        .iter()
        .map(|blocked| format!("      {} {}", style.paint(Paint::Red, "blocked:"), printable(&blocked_words(blocked))));
    let notes = action.notes.iter().map(|note| format!("      note: {}", printable(note)));
    std::iter::once(head).chain(rows::of_action(action, style)).chain(blocked).chain(notes).collect()
}

/// What could not be compared in services that have nothing else to do; where they have, it stands there as what blocks.
fn of_unknowns(plan: &Plan, style: Style) -> Vec<String> {
    let acted_on: BTreeSet<&ServiceName> = plan.actions.iter().map(|action| &action.service).collect();
    let mut left: BTreeMap<&ServiceName, Vec<&Unknown>> = BTreeMap::new();
    for unknown in &plan.unknowns {
        if let Some(service) = unknown.service.as_ref().filter(|service| !acted_on.contains(service)) {
            left.entry(service).or_default().push(unknown);
        }
    }
    let mark = style.paint(Paint::Yellow, "?");
    let of_service = |(service, unknowns): (&ServiceName, Vec<&Unknown>)| {
        let name = style.paint(Paint::Bold, service.as_str());
        let head = format!("  {mark} {name} could not be compared in full; nothing is known to differ");
        let text =
            |unknown: &Unknown| unknown.field.as_ref().map_or_else(|| "what runs".to_owned(), ToString::to_string);
        let width = unknowns.iter().map(|unknown| text(unknown).chars().count()).max().unwrap_or(0);
        let line = |unknown: &&Unknown| {
            format!("      {mark} {:width$}  (unknown: {})", text(unknown), printable(&unknown.why))
        };
        let lines: Vec<String> = unknowns.iter().map(line).collect();
        [String::new(), head].into_iter().chain(lines)
    };
    left.into_iter().flat_map(of_service).collect()
}

fn of_orphans(plan: &Plan, style: Style) -> Vec<String> {
    let left = left_orphans(plan);
    if left.is_empty() {
        return Vec::new();
    }
    let mark = style.paint(Paint::Yellow, "!");
    let line = |name: &ServiceName| {
        let name = style.paint(Paint::Bold, name.as_str());
        format!("  {mark} {name} runs and is not declared (orphan); it stays, unless a sync with --prune deletes it")
    };
    std::iter::once(String::new()).chain(left.into_iter().map(line)).collect()
}

/// The orphans that the plan leaves alone.
fn left_orphans(plan: &Plan) -> Vec<&ServiceName> {
    let of_delete = |action: &&Action| action.kind == ActionKind::Delete;
    let deleted: BTreeSet<&ServiceName> = plan.actions.iter().filter(of_delete).map(|action| &action.service).collect();
    plan.orphans.iter().filter(|name| !deleted.contains(name)).collect()
}

/// The closing line: what a sync would do.
fn summary(plan: &Plan, style: Style) -> String {
    let in_sync = match plan.in_sync.len() {
        0 => None,
        1 => Some("1 service in sync".to_owned()),
        many => Some(format!("{many} services in sync")),
    };
    if plan.actions.is_empty() && plan.orphans.is_empty() {
        return match (plan.unknowns.is_empty(), in_sync) {
            (false, None) => style.paint(Paint::Yellow, "Whether it is in sync is not known."),
            (false, Some(words)) => style.paint(Paint::Yellow, &format!("Nothing is known to differ; {words}.")),
            (true, None) => "Nothing is declared here, and nothing is changed.".to_owned(),
            (true, Some(words)) => style.paint(Paint::Green, &format!("Nothing to do: {words}.")),
        };
    }
    let count = |kind: ActionKind| plan.feasible().filter(|action| action.kind == kind).count();
    let blocked = plan.actions.iter().filter(|action| !action.blocked.is_empty()).count();
    let to_do = listed(&[
        (count(ActionKind::Create), "to create"),
        (count(ActionKind::InPlace), "to change in place"),
        (count(ActionKind::Replace), "to replace"),
        (count(ActionKind::Delete), "to delete"),
        (count(ActionKind::Record), "to record"),
        (blocked, "blocked"),
    ]);
    let orphans = left_orphans(plan).len();
    let rest = [
        in_sync,
        (orphans > 0).then(|| format!("{orphans} {}", if orphans == 1 { "orphan stays" } else { "orphans stay" })),
    ];
    let rest: Vec<String> = rest.into_iter().flatten().collect();
    let digest = style.paint(Paint::Bold, plan.digest.short());
    let to_do = to_do.unwrap_or_else(|| "nothing to do".to_owned());
    match rest.is_empty() {
        true => format!("Plan {digest}: {to_do}."),
        false => format!("Plan {digest}: {to_do}; {}.", rest.join(", ")),
    }
}

fn listed(parts: &[(usize, &str)]) -> Option<String> {
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, words)| format!("{number} {words}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
