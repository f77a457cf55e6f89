//! A plan's canonical form and its digest.
//!
//! The form holds what the plan rests on and nothing that moves by itself: no ids, times, health, wording or reasons
//! in prose. Two plans with one digest do the same to the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::drift::{Base, BaseLeaf, Cause, ReplicaLive};
use crate::ids::{EnvironmentRef, PlanDigest, ServiceName};
use crate::live::Observed;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::{Action, ActionKind, Blocked, Change, PLAN_FORMAT, Plan, PlanOptions};

#[derive(Serialize)]
struct Canonical<'a> {
    format: u32,
    environment: &'a EnvironmentRef,
    provider: &'a str,
    options: &'a PlanOptions,
    actions: Vec<CanonicalAction<'a>>,
    unknowns: BTreeSet<(Option<&'a ServiceName>, Option<&'a FieldPath>)>,
    orphans: &'a [ServiceName],
    declared: &'a BTreeMap<ServiceName, BTreeMap<FieldPath, BaseLeaf>>,
    base: BTreeMap<&'a ServiceName, &'a BTreeMap<FieldPath, BaseLeaf>>,
}

#[derive(Serialize)]
struct CanonicalAction<'a> {
    service: &'a ServiceName,
    kind: ActionKind,
    changes: Vec<CanonicalChange<'a>>,
    blocked: BTreeSet<String>,
}

#[derive(Serialize)]
struct CanonicalChange<'a> {
    field: &'a FieldPath,
    kind: ChangeKind,
    declared: &'a Option<Value>,
    live: Option<&'a Option<Value>>,
    replicas: &'a [ReplicaLive],
    cause: Cause,
    effect: Effect,
}

/// The digest of a plan made over `base`; `plan.digest` itself is not read.
pub fn digest(plan: &Plan, base: &Base) -> PlanDigest {
    let Plan {
        format: _,
        environment,
        provider,
        reference: _,
        // The commit counts only where a pipeline will run; declared leaves stand for it otherwise.
        commit: _,
        options,
        actions,
        unknowns,
        orphans,
        in_sync: _,
        notes: _,
        desired,
        made_at: _,
        digest: _,
    } = plan;
    let canonical = Canonical {
        format: PLAN_FORMAT,
        environment,
        provider,
        options,
        actions: actions.iter().map(canonical_action).collect(),
        unknowns: unknowns.iter().map(|unknown| (unknown.service.as_ref(), unknown.field.as_ref())).collect(),
        orphans,
        declared: desired,
        base: base.services.iter().map(|(name, service)| (name, &service.leaves)).collect(),
    };
    let bytes = serde_json::to_vec(&canonical).expect("maps with text keys and plain values always serialise");
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().expect("SHA-256 is 64 hexadecimal digits")
}

fn canonical_action(action: &Action) -> CanonicalAction<'_> {
    let Action { service, kind, changes, blocked, notes: _ } = action;
    CanonicalAction {
        service,
        kind: *kind,
        changes: changes.iter().map(canonical_change).collect(),
        blocked: blocked.iter().map(canonical_blocked).collect(),
    }
}

fn canonical_change(change: &Change) -> CanonicalChange<'_> {
    let Change { field, kind, declared, base: _, live, replicas, cause, effect, at: _, note: _ } = change;
    let live = match live {
        Observed::Known(value) => Some(value),
        Observed::Unknown(_) => None,
    };
    CanonicalChange { field, kind: *kind, declared, live, replicas, cause: *cause, effect: *effect }
}

/// The kind of a block and what it is about, without its wording.
fn canonical_blocked(blocked: &Blocked) -> String {
    match blocked {
        Blocked::Unknown { field, why: _ } => {
            format!("unknown {}", field.as_ref().map(FieldPath::to_string).unwrap_or_default())
        }
        Blocked::Unsupported { field, why: _ } => format!("unsupported {field}"),
        Blocked::MissingSecret { why: _ } => "missing_secret".to_owned(),
        Blocked::Incomplete { why: _ } => "incomplete".to_owned(),
        Blocked::CannotProbe { why: _ } => "cannot_probe".to_owned(),
        Blocked::Dependency { service } => format!("dependency {service}"),
        Blocked::NotAllowed { why: _ } => "not_allowed".to_owned(),
    }
}
