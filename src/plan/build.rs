//! Drift → plan. One function makes plans, [`make`]; everyone uses its value.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::declared::{Declared, DeclaredLeaf, DeclaredService};
use crate::drift::{Base, BaseLeaf, Drift, LeafDrift, Orphan, Presence, ServiceDrift};
use crate::ids::{CommitSha, EnvironmentRef, ServiceName};
use crate::live::capability::{Capabilities, Effect, Support};
use crate::live::field::FieldPath;
use crate::plan::blocks::{Surroundings, needs, refusal, stays_absent};
use crate::plan::digest::digest;
use crate::plan::notes;
use crate::plan::order::by_dependency;
use crate::plan::{Action, ActionKind, Blocked, Change, PLAN_FORMAT, Plan, PlanOptions, PlanSuppressed, Unknown};

/// What a plan needs to know beyond the drift.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The ref, as asked for.
    pub reference: String,
    /// The commit it stands at.
    pub commit: Option<CommitSha>,
    /// The commit of each service whose code is another commit's.
    pub commits: BTreeMap<ServiceName, CommitSha>,
    /// What was asked for.
    pub options: PlanOptions,
    /// Services whose health check could not be carried out, and why.
    pub unprobeable: BTreeMap<ServiceName, String>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// The time it is made.
    pub made_at: Timestamp,
}

/// Makes the plan.
pub fn make(declared: &Declared, base: &Base, drift: &Drift, can: &Capabilities, context: PlanContext) -> Plan {
    let nothing = BTreeMap::new();
    let services = declared.services.as_ref().unwrap_or(&nothing);
    let wanted = |name: &ServiceName| context.options.covers(name);

    let Parts { mut actions, unknowns, mut in_sync, suppressed } = parts(services, drift, can, &context);
    let orphans: Vec<&Orphan> = drift.orphans.iter().filter(|orphan| wanted(&orphan.name)).collect();
    if context.options.prune {
        actions.extend(orphans.iter().map(|orphan| delete(orphan)));
    }
    let orphans = orphans.into_iter().map(|orphan| orphan.name.clone()).collect();
    in_sync.sort();

    let desired = services.iter().filter(|(name, _)| wanted(name));
    let wanted_of = |name: &ServiceName, service| match (drift.services.get(name), base.services.get(name)) {
        (Some(drift), Some(base)) if drift.recorded => base.leaves.clone(),
        _ => record(service).into(),
    };
    let mut plan = Plan {
        format: PLAN_FORMAT,
        environment: context.environment,
        provider: can.provider.to_owned(),
        reference: context.reference,
        commit: context.commit,
        commits: context.commits,
        desired: desired.map(|(name, service)| (name.clone(), wanted_of(name, service))).collect(),
        options: context.options,
        actions,
        unknowns,
        suppressed,
        orphans,
        in_sync,
        notes: context.notes,
        made_at: context.made_at,
        digest: "0".repeat(64).parse().expect("64 digits"),
    };
    plan.digest = digest(&plan, base);
    plan
}

/// What the declared services come to.
#[derive(Default)]
struct Parts {
    actions: Vec<Action>,
    unknowns: Vec<Unknown>,
    suppressed: Vec<PlanSuppressed>,
    in_sync: Vec<ServiceName>,
}

fn parts(
    services: &BTreeMap<ServiceName, DeclaredService>,
    drift: &Drift,
    can: &Capabilities,
    context: &PlanContext,
) -> Parts {
    let mut parts = Parts::default();
    if let Some(why) = &drift.unseen {
        parts.unknowns.push(Unknown { service: None, field: None, why: why.clone() });
    }
    let left_out = |name: &&ServiceName| {
        !context.options.covers(name) && !drift.services.get(*name).is_some_and(ServiceDrift::runs)
    };
    let stay_absent: BTreeSet<&ServiceName> = services.keys().filter(left_out).collect();
    let mut surroundings = Surroundings { drift, can, context, stay_absent };
    let graph = services.iter().map(|(name, service)| (name, needs(service))).collect();
    for name in by_dependency(&graph) {
        let (Some(service), Some(differing)) = (services.get(name), drift.services.get(name)) else { continue };
        if !context.options.covers(name) {
            continue;
        }
        if let Some(why) = &differing.unseen {
            parts.unknowns.push(Unknown { service: Some(name.clone()), field: None, why: why.clone() });
            continue;
        }
        let suppressed = differing.suppressed.iter();
        parts.suppressed.extend(
            suppressed.map(|difference| PlanSuppressed { service: name.clone(), difference: difference.clone() }),
        );
        for (field, why) in &differing.unknown {
            parts.unknowns.push(Unknown { service: Some(name.clone()), field: Some(field.clone()), why: why.clone() });
        }
        match action(name, service, differing, &surroundings) {
            Some(action) => {
                if stays_absent(differing, &action.blocked) {
                    surroundings.stay_absent.insert(name);
                }
                parts.actions.push(action);
            }
            None if differing.unknown.is_empty() => parts.in_sync.push(name.clone()),
            None => {}
        }
    }
    parts
}

/// A service's declared leaves as base will hold them.
pub fn record(service: &DeclaredService) -> BTreeMap<FieldPath, BaseLeaf> {
    let leaf = |leaf: &DeclaredLeaf| BaseLeaf { value: leaf.value.clone(), written: leaf.written.clone() };
    service.leaves.iter().map(|(field, declared)| (field.clone(), leaf(declared))).collect()
}

fn delete(Orphan { name, unseen }: &Orphan) -> Action {
    let unseen = unseen.iter().map(|why| Blocked::Unknown { field: None, why: why.clone() });
    Action {
        service: name.clone(),
        kind: ActionKind::Delete,
        changes: Vec::new(),
        blocked: unseen.collect(),
        notes: vec!["its volumes stay".to_owned()],
    }
}

fn action(
    name: &ServiceName,
    service: &DeclaredService,
    drift: &ServiceDrift,
    surroundings: &Surroundings<'_>,
) -> Option<Action> {
    let can = surroundings.can;
    let unsupported = || service.leaves.iter().any(|(field, leaf)| refusal(can, field, &leaf.value).is_some());
    if drift.leaves.is_empty() && drift.presence == Presence::Present && !unsupported() {
        return None;
    }
    let changes: Vec<Change> = drift.leaves.iter().map(|leaf| change(leaf, drift.presence, can)).collect();
    let kind = match (drift.presence, changes.iter().map(|change| change.effect).max()) {
        (Presence::Absent, _) => ActionKind::Create,
        (Presence::Present, Some(Effect::Replace)) => ActionKind::Replace,
        (Presence::Present, Some(Effect::InPlace)) => ActionKind::InPlace,
        (Presence::Present, Some(Effect::Record) | None) => ActionKind::Record,
    };
    let blocked = surroundings.blocks(name, service, drift, kind, &changes);
    let notes = notes::on_service(service, drift, kind, &changes);
    Some(Action { service: name.clone(), kind, changes, blocked, notes })
}

fn change(leaf: &LeafDrift, presence: Presence, can: &Capabilities) -> Change {
    let LeafDrift { field, kind, declared, base, live, replicas, cause, at } = leaf;
    let effect = match ((can.support)(field), presence) {
        (Support::Observed, Presence::Present) => (can.effect)(field, *kind),
        (Support::Observed, Presence::Absent) | (Support::Policy | Support::Unsupported(_), _) => Effect::Record,
    };
    Change {
        field: field.clone(),
        kind: *kind,
        declared: declared.clone(),
        base: base.clone(),
        live: live.clone(),
        replicas: replicas.clone(),
        cause: *cause,
        effect,
        at: at.clone(),
        note: notes::on_leaf(leaf, presence, can),
    }
}
