//! Drift → plan. One function makes plans, [`make`]; everyone uses its value.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::declared::{Declared, DeclaredService};
use crate::drift::{Base, BaseLeaf, Drift, LeafDrift, Presence, ServiceDrift};
use crate::ids::{CommitSha, EnvironmentRef, ServiceName};
use crate::live::capability::{Capabilities, ChangeKind, Effect, Support};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::digest::digest;
use crate::plan::order::by_dependency;
use crate::plan::{Action, ActionKind, Blocked, Change, PLAN_FORMAT, Plan, PlanOptions, Unknown};

/// What a plan needs to know beyond the drift.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The ref, as asked for.
    pub reference: String,
    /// The commit it stands at.
    pub commit: Option<CommitSha>,
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
    let wanted = |name: &ServiceName| context.options.services.as_ref().is_none_or(|only| only.contains(name));
    let order = by_dependency(&services.iter().map(|(name, service)| (name.clone(), needs(service))).collect());

    let mut actions: Vec<Action> = Vec::new();
    let mut unknowns: Vec<Unknown> = Vec::new();
    let mut in_sync: Vec<ServiceName> = Vec::new();
    if let Some(why) = &drift.unseen {
        unknowns.push(Unknown { service: None, field: None, why: why.clone() });
    }
    for name in order.iter().filter(|name| wanted(name)) {
        let (Some(service), Some(differing)) = (services.get(name), drift.services.get(name)) else { continue };
        for (field, why) in &differing.unknown {
            unknowns.push(Unknown { service: Some(name.clone()), field: Some(field.clone()), why: why.clone() });
        }
        match action(name, service, differing, can, &context, &actions) {
            Some(action) => actions.push(action),
            None if differing.unknown.is_empty() => in_sync.push(name.clone()),
            None => {}
        }
    }
    if context.options.prune {
        actions.extend(drift.orphans.iter().filter(|name| wanted(name)).map(delete));
    }
    in_sync.sort();

    let desired = services
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, service)| (name.clone(), record(service)))
        .collect();
    let mut plan = Plan {
        format: PLAN_FORMAT,
        environment: context.environment,
        provider: can.provider.to_owned(),
        reference: context.reference,
        commit: context.commit,
        options: context.options,
        actions,
        unknowns,
        orphans: drift.orphans.clone(),
        in_sync,
        notes: context.notes,
        desired,
        made_at: context.made_at,
        digest: "0".repeat(64).parse().expect("64 digits"),
    };
    plan.digest = digest(&plan, base);
    plan
}

fn needs(service: &DeclaredService) -> BTreeSet<ServiceName> {
    match service.leaves.get(&FieldPath::DependsOn).map(|leaf| &leaf.value) {
        Some(Value::Services(names)) => names.clone(),
        _ => BTreeSet::new(),
    }
}

/// A service's declared leaves as base will hold them.
pub fn record(service: &DeclaredService) -> BTreeMap<FieldPath, BaseLeaf> {
    let leaf =
        |leaf: &crate::declared::DeclaredLeaf| BaseLeaf { value: leaf.value.clone(), written: leaf.written.clone() };
    service.leaves.iter().map(|(field, declared)| (field.clone(), leaf(declared))).collect()
}

fn delete(name: &ServiceName) -> Action {
    Action {
        service: name.clone(),
        kind: ActionKind::Delete,
        changes: Vec::new(),
        blocked: Vec::new(),
        notes: vec!["its volumes stay".to_owned()],
    }
}

fn action(
    name: &ServiceName,
    service: &DeclaredService,
    drift: &ServiceDrift,
    can: &Capabilities,
    context: &PlanContext,
    earlier: &[Action],
) -> Option<Action> {
    let changes: Vec<Change> = drift.leaves.iter().map(|leaf| change(leaf, drift.presence, can)).collect();
    let unsupported = service.leaves.keys().any(|field| matches!((can.support)(field), Support::Unsupported(_)));
    if changes.is_empty() && drift.presence == Presence::Present && !unsupported {
        return None;
    }
    let kind = match (drift.presence, changes.iter().map(|change| change.effect).max()) {
        (Presence::Absent, _) => ActionKind::Create,
        (Presence::Present, Some(Effect::Replace)) => ActionKind::Replace,
        (Presence::Present, Some(Effect::InPlace)) => ActionKind::InPlace,
        (Presence::Present, Some(Effect::Record) | None) => ActionKind::Record,
    };
    let blocked = blocks(name, service, drift, kind, can, context, earlier);
    let notes = notes(service, kind, &changes);
    Some(Action { service: name.clone(), kind, changes, blocked, notes })
}

fn change(leaf: &LeafDrift, presence: Presence, can: &Capabilities) -> Change {
    let LeafDrift { field, kind, declared, base, live, replicas, cause, at } = leaf;
    let effect = match (can.support)(field) {
        Support::Observed => (can.effect)(field, *kind),
        Support::Policy | Support::Unsupported(_) => Effect::Record,
    };
    Change {
        field: field.clone(),
        kind: *kind,
        declared: declared.clone(),
        base: base.clone(),
        live: live.clone(),
        replicas: replicas.clone(),
        cause: *cause,
        effect: if presence == Presence::Absent { Effect::Record } else { effect },
        at: at.clone(),
        note: note(leaf, can),
    }
}

/// A word on a leaf where the values alone would mislead.
fn note(leaf: &LeafDrift, can: &Capabilities) -> Option<String> {
    if leaf.kind == ChangeKind::Withdraw {
        let entry = leaf.field.key().is_some();
        return Some(match (can.default_of)(&leaf.field) {
            Some(default) => format!("no longer declared: returns to {default}"),
            None if entry => "no longer declared: removed, or as the image has it".to_owned(),
            None => "no longer declared: returns to what the image has".to_owned(),
        });
    }
    match (&leaf.declared, leaf.live.known()) {
        (Some(Value::Image(declared)), Some(Some(Value::Image(live))))
            if declared.same_reference(live) && !declared.content.is_empty() =>
        {
            let short = |image: &crate::live::image::ImageValue| {
                image.content.iter().next().map(|digest| digest.short().to_owned()).unwrap_or_default()
            };
            Some(format!("same tag, other digest: {} now, {} at the registry", short(live), short(declared)))
        }
        (Some(Value::Secret(_)), Some(Some(Value::Secret(_)))) => Some("(secret) changed".to_owned()),
        _ => None,
    }
}

/// Everything that stands in an action's way.
fn blocks(
    name: &ServiceName,
    service: &DeclaredService,
    drift: &ServiceDrift,
    kind: ActionKind,
    can: &Capabilities,
    context: &PlanContext,
    earlier: &[Action],
) -> Vec<Blocked> {
    let mut blocked = Vec::new();
    for (field, why) in &drift.unknown {
        let secret = matches!(service.leaves.get(field).map(|leaf| &leaf.value), Some(Value::Secret(secret)) if secret.fingerprint.is_none());
        blocked.push(if secret {
            Blocked::MissingSecret { why: why.clone() }
        } else {
            Blocked::Unknown { field: Some(field.clone()), why: why.clone() }
        });
    }
    for field in service.leaves.keys() {
        if let Support::Unsupported(why) = (can.support)(field) {
            blocked.push(Blocked::Unsupported { field: field.clone(), why: why.to_owned() });
        }
    }
    let starts_new = matches!(kind, ActionKind::Create | ActionKind::Replace);
    if kind == ActionKind::Create {
        for field in can.required {
            if !service.leaves.contains_key(field) {
                let why = format!(
                    "`{field}` is not declared, and a service of the {} provider cannot be created without it",
                    can.provider
                );
                blocked.push(Blocked::Incomplete { why });
            }
        }
    }
    if let Some(why) = context.unprobeable.get(name).filter(|_| starts_new) {
        blocked.push(Blocked::CannotProbe { why: why.clone() });
    }
    for need in needs(service) {
        let in_the_way =
            |action: &Action| action.service == need && action.kind == ActionKind::Create && !action.blocked.is_empty();
        if starts_new && earlier.iter().any(in_the_way) {
            blocked.push(Blocked::Dependency { service: need });
        }
    }
    blocked
}

fn notes(service: &DeclaredService, kind: ActionKind, changes: &[Change]) -> Vec<String> {
    let mut notes = Vec::new();
    if kind == ActionKind::Replace {
        notes.push("strategy recreate: the new replicas are prepared first, then the old ones stop, so the service is away while the new ones start".to_owned());
    }
    let commit_in_value = |change: &&Change| {
        let leaf = service.leaves.get(&change.field);
        change.cause == crate::drift::Cause::Repo && leaf.is_some_and(|leaf| leaf.uses_commit)
    };
    if let Some(change) = changes.iter().find(commit_in_value) {
        notes.push(format!("`{}` uses the commit's id, so every commit changes this service", change.field));
    }
    notes
}
