//! Which change comes from where: from this pull request, from what was merged and not synced, or from what runs.
//!
//! Told from plans over one look at base and live, so that they differ by what is declared alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::drift::Cause;
use crate::ids::ServiceName;
use crate::live::field::FieldPath;
use crate::plan::{Action, Change, Plan};

/// The plans that a pull request's report is sorted from, over one look at base and live.
#[derive(Clone, Copy, Debug)]
pub struct Plans<'a> {
    /// Without the pull request: the target as it is, or as it was before the merge.
    pub without: &'a Plan,
    /// With it and nothing later.
    pub with: &'a Plan,
    /// What a sync would carry out: `with`, until something else was merged after it.
    pub now: &'a Plan,
}

/// The same changes, sorted. Those of `now` are each in exactly one of `own`, `waiting` and `live`.
#[derive(Clone, Debug, Default)]
pub struct Parts<'a> {
    /// By the pull request.
    pub own: Vec<Part<'a>>,
    /// What would be done without the pull request and no longer is; the actions are those of `without`.
    pub undone: Vec<Part<'a>>,
    /// Merged before, not synced.
    pub waiting: Vec<Part<'a>>,
    /// Changed outside.
    pub live: Vec<Part<'a>>,
    /// The services that run and would not be declared, and whether that is by the pull request.
    pub orphans: Vec<(&'a ServiceName, bool)>,
}

/// One action's changes of one part.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The action that they are of.
    pub action: &'a Action,
    /// The changes, in field order.
    pub changes: Vec<Sorted<'a>>,
}

/// A change, and what would be done in its place without the pull request.
#[derive(Clone, Copy, Debug)]
pub struct Sorted<'a> {
    /// The change.
    pub change: &'a Change,
    /// What would be done to the same field without the pull request, where that is something else.
    pub instead_of: Option<&'a Change>,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Own,
    Waiting,
    Live,
}

type Key<'a> = (&'a ServiceName, &'a FieldPath);

/// Sorts.
pub fn sort<'a>(plans: Plans<'a>) -> Parts<'a> {
    let (without, with, now) = (by_field(plans.without), by_field(plans.with), by_field(plans.now));
    let touched = |key: &Key<'_>| match (without.get(key), with.get(key)) {
        (Some(before), Some(after)) => !same(before, after),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    let from = |key: &Key<'_>, change: &Change| match change.cause {
        _ if touched(key) => From::Own,
        Cause::New | Cause::Repo | Cause::Input => From::Waiting,
        Cause::Live | Cause::Both => From::Live,
    };
    let pick = |wanted: From| -> Vec<Part<'a>> {
        let of = |action: &'a Action| {
            let changes: Vec<Sorted<'a>> = action
                .changes
                .iter()
                .filter(|change| from(&(&action.service, &change.field), change) == wanted)
                .map(|change| {
                    let before = without.get(&(&action.service, &change.field)).copied();
                    let instead_of = before.filter(|before| wanted == From::Own && !same(before, change));
                    Sorted { change, instead_of }
                })
                .collect();
            let whole = action.changes.is_empty() && of_whole(plans.without, action) == wanted;
            (whole || !changes.is_empty()).then_some(Part { action, changes })
        };
        plans.now.actions.iter().filter_map(of).collect()
    };
    let undone = |action: &'a Action| {
        let gone = |key: &Key<'_>| !with.contains_key(key) && !now.contains_key(key);
        let changes: Vec<Sorted<'a>> = action
            .changes
            .iter()
            .filter(|change| gone(&(&action.service, &change.field)))
            .map(|change| Sorted { change, instead_of: None })
            .collect();
        let whole = action.changes.is_empty()
            && [plans.with, plans.now].iter().all(|plan| plan.action(&action.service).is_none());
        (whole || !changes.is_empty()).then_some(Part { action, changes })
    };
    let before: BTreeSet<&ServiceName> = plans.without.orphans.iter().collect();
    let after: BTreeSet<&ServiceName> = plans.with.orphans.iter().collect();
    let by_pull_request = |name: &ServiceName| after.contains(name) && !before.contains(name);
    Parts {
        own: pick(From::Own),
        undone: plans.without.actions.iter().filter_map(undone).collect(),
        waiting: pick(From::Waiting),
        live: pick(From::Live),
        orphans: plans.now.orphans.iter().map(|name| (name, by_pull_request(name))).collect(),
    }
}

/// Where an action comes from that names no field (what is declared cannot be done at all).
fn of_whole(without: &Plan, action: &Action) -> From {
    let there = without.action(&action.service).is_some_and(|before| before.changes.is_empty());
    if there { From::Waiting } else { From::Own }
}

fn by_field(plan: &Plan) -> BTreeMap<Key<'_>, &Change> {
    let mut found = BTreeMap::new();
    for action in &plan.actions {
        found.extend(action.changes.iter().map(|change| ((&action.service, &change.field), change)));
    }
    found
}

/// Whether two changes of one field come to the same: base and live are one look's, so what is declared decides.
fn same(a: &Change, b: &Change) -> bool {
    a.kind == b.kind && a.declared == b.declared
}
