//! What a plan's digest is taken over.
//!
//! The form holds what the plan rests on and nothing that moves by itself: no ids, times, health, places in the file,
//! wording or reasons in prose. Two plans with one digest do the same to the same. What runs and already is as declared
//! stands in it by not differing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::drift::{Base, BaseLeaf, BaseService, Cause, ReplicaLive};
use crate::ids::{PlanDigest, ServiceName};
use crate::live::Observed;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::plan::canonical::Canonical;
use crate::plan::{Action, ActionKind, Blocked, Change, PLAN_FORMAT, Plan, PlanOptions, Unknown};

/// The digest of a plan made over `base`; `plan.digest` itself is not read.
pub fn digest(plan: &Plan, base: &Base) -> PlanDigest {
    let Plan {
        format: _,
        environment,
        provider,
        reference: _,
        // The commit counts only where a pipeline will run; declared leaves stand for it otherwise.
        commit: _,
        commits: _,
        options,
        actions,
        unknowns,
        orphans,
        in_sync: _,
        suppressed: _,
        notes: _,
        desired,
        made_at: _,
        digest: _,
    } = plan;
    let mut form = Canonical::new();
    form.text("trueup plan");
    form.number(u64::from(PLAN_FORMAT));
    form.text(environment.project.as_str());
    form.text(environment.environment.as_str());
    form.text(provider);
    write_options(&mut form, options);
    form.length(actions.len());
    actions.iter().for_each(|action| write_action(&mut form, action));
    write_unknowns(&mut form, unknowns);
    form.length(orphans.len());
    orphans.iter().for_each(|name| form.text(name.as_str()));
    form.length(desired.len());
    for (name, leaves) in desired {
        form.text(name.as_str());
        form.leaves(leaves);
        write_base(&mut form, leaves, base.services.get(name));
    }
    let undeclared = base.services.iter().filter(|(name, _)| options.covers(name) && !desired.contains_key(*name));
    form.length(undeclared.clone().count());
    for (name, service) in undeclared {
        form.text(name.as_str());
        form.leaves(&service.leaves);
    }
    form.finish()
}

fn write_options(form: &mut Canonical, options: &PlanOptions) {
    let PlanOptions { services, prune, rollback_to } = options;
    form.optional(services.as_ref(), |form, services| {
        form.length(services.len());
        services.iter().for_each(|name| form.text(name.as_str()));
    });
    form.flag(*prune);
    form.optional(*rollback_to, |form, run| form.number(run.0));
}

/// Which things could not be seen, without the wording.
fn write_unknowns(form: &mut Canonical, unknowns: &[Unknown]) {
    let of = |unknown: &Unknown| (unknown.service.clone(), unknown.field.clone());
    let distinct: BTreeSet<(Option<ServiceName>, Option<FieldPath>)> = unknowns.iter().map(of).collect();
    form.length(distinct.len());
    for (service, field) in &distinct {
        form.optional(service.as_ref(), |form, name| form.text(name.as_str()));
        form.optional(field.as_ref(), Canonical::field);
    }
}

/// A declared service's base; of one that is recorded exactly as declared, only that.
fn write_base(form: &mut Canonical, declared: &Arc<BTreeMap<FieldPath, BaseLeaf>>, base: Option<&BaseService>) {
    match base {
        None => form.choice(0),
        Some(service) if service.leaves == *declared => form.choice(1),
        Some(service) => {
            form.choice(2);
            form.leaves(&service.leaves);
        }
    }
}

fn write_action(form: &mut Canonical, action: &Action) {
    let Action { service, kind, changes, blocked, notes: _ } = action;
    form.text(service.as_str());
    form.choice(match kind {
        ActionKind::Create => 1,
        ActionKind::InPlace => 2,
        ActionKind::Replace => 3,
        ActionKind::Delete => 4,
        ActionKind::Record => 5,
    });
    form.length(changes.len());
    changes.iter().for_each(|change| write_change(form, change));
    let blocked: BTreeSet<String> = blocked.iter().map(block).collect();
    form.length(blocked.len());
    blocked.iter().for_each(|text| form.text(text));
}

fn write_change(form: &mut Canonical, change: &Change) {
    // Base is written whole, further down.
    let Change { field, kind, declared, base: _, live, replicas, cause, effect, at: _, note: _ } = change;
    form.field(field);
    form.choice(match kind {
        ChangeKind::Set => 1,
        ChangeKind::Withdraw => 2,
    });
    form.optional(declared.as_ref(), Canonical::value);
    match live {
        Observed::Known(value) => {
            form.choice(1);
            form.optional(value.as_ref(), Canonical::value);
        }
        Observed::Unknown(_) => form.choice(2),
    }
    form.length(replicas.len());
    for ReplicaLive { name, live } in replicas {
        form.text(name);
        form.optional(live.as_ref(), Canonical::value);
    }
    form.choice(match cause {
        Cause::New => 1,
        Cause::Repo => 2,
        Cause::Live => 3,
        Cause::Both => 4,
        Cause::Input => 5,
    });
    form.choice(match effect {
        Effect::Record => 1,
        Effect::InPlace => 2,
        Effect::Replace => 3,
    });
}

/// The kind of a block and what it is about, without its wording.
fn block(blocked: &Blocked) -> String {
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
