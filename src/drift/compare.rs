//! The comparison itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::declared::{Declared, DeclaredLeaf, DeclaredService};
use crate::drift::{Base, BaseLeaf, BaseService, Cause, Drift, Gaps, LeafDrift, Presence, ReplicaLive, ServiceDrift};
use crate::ids::ServiceName;
use crate::live::capability::{Capabilities, ChangeKind, Support};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{Live, LiveReplica, LiveService, Observed};

/// Compares everything that is declared (or was, and is withdrawn) with base and live.
///
/// `gaps` names the declared leaves whose value could not be completed (an image that does not resolve, a secret
/// without a value). Costs time linear in the leaves of all three sides.
pub fn compare(declared: &Declared, gaps: &Gaps, base: &Base, live: &Live, can: &Capabilities) -> Drift {
    let Some(declared) = &declared.services else { return Drift::default() };
    let running = match &live.services {
        Observed::Known(running) => running,
        Observed::Unknown(why) => {
            return Drift { services: BTreeMap::new(), unseen: Some(why.clone()), orphans: Vec::new() };
        }
    };
    let absent = LiveService::default();
    let nothing = BTreeMap::new();
    let services = declared
        .iter()
        .map(|(name, service)| {
            let comparison = Comparison {
                declared: service,
                gaps: gaps.services.get(name).unwrap_or(&nothing),
                base: base.services.get(name),
                live: running.get(name).unwrap_or(&absent),
                can,
            };
            (name.clone(), comparison.run())
        })
        .collect();
    let orphans: Vec<ServiceName> = running.keys().filter(|name| !declared.contains_key(*name)).cloned().collect();
    Drift { services, unseen: None, orphans }
}

/// One service's three sides.
struct Comparison<'a> {
    declared: &'a DeclaredService,
    gaps: &'a BTreeMap<FieldPath, String>,
    base: Option<&'a BaseService>,
    live: &'a LiveService,
    can: &'a Capabilities,
}

impl Comparison<'_> {
    fn run(&self) -> ServiceDrift {
        let presence = if self.live.replicas.is_empty() { Presence::Absent } else { Presence::Present };
        let mut drift = ServiceDrift { presence, leaves: Vec::new(), unknown: Vec::new(), stale_base: false };
        for field in self.fields() {
            let declared = self.declared.leaves.get(field);
            let base = self.base.and_then(|base| base.leaves.get(field));
            if !same_record(declared, base) {
                drift.stale_base = true;
            }
            if let Some(why) = self.gaps.get(field) {
                drift.unknown.push((field.clone(), why.clone()));
            }
            match (self.can.support)(field) {
                Support::Observed => self.observed(field, declared, base, &mut drift),
                Support::Policy | Support::Unsupported(_) => {
                    drift.leaves.extend(self.policy(field, declared, base));
                }
            }
        }
        drift
    }

    fn fields(&self) -> BTreeSet<&FieldPath> {
        let base = self.base.into_iter().flat_map(|base| base.leaves.keys());
        self.declared.leaves.keys().chain(base).collect()
    }

    /// A leaf that cannot be seen: declared × base.
    fn policy(&self, field: &FieldPath, declared: Option<&DeclaredLeaf>, base: Option<&BaseLeaf>) -> Option<LeafDrift> {
        let same = match (declared, base) {
            (Some(declared), Some(base)) => declared.value.same(&base.value),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same && !self.live.replicas.is_empty() {
            return None;
        }
        let cause = match (declared, base) {
            _ if self.base.is_none() => Cause::New,
            _ if same => Cause::Live,
            (Some(declared), Some(base)) if declared.written == base.written => Cause::Input,
            (Some(_) | None, _) => Cause::Repo,
        };
        if declared.is_none() && self.live.replicas.is_empty() {
            // A policy that is withdrawn from a service that does not run leaves nothing to do.
            return None;
        }
        let live = if self.live.replicas.is_empty() { None } else { base.map(|base| base.value.clone()) };
        Some(self.leaf(field, declared, base, Observed::Known(live), cause))
    }

    /// A leaf that can be seen: declared × base × every replica.
    fn observed(
        &self,
        field: &FieldPath,
        declared: Option<&DeclaredLeaf>,
        base: Option<&BaseLeaf>,
        drift: &mut ServiceDrift,
    ) {
        let mut differing: Vec<ReplicaLive> = Vec::new();
        for replica in self.replicas(field) {
            match replica.value {
                Observed::Unknown(why) => drift.unknown.push((field.clone(), format!("{}: {why}", replica.name))),
                Observed::Known(seen) => {
                    if !satisfied(declared, seen.as_ref()) {
                        let live = seen.map(|(value, _)| value);
                        differing.push(ReplicaLive { name: replica.name, live });
                    }
                }
            }
        }
        if self.live.replicas.is_empty() {
            let wanted = declared.is_some() && *field != FieldPath::Stopped;
            differing = if wanted { vec![ReplicaLive { name: String::new(), live: None }] } else { Vec::new() };
        }
        let Some(first) = differing.first() else { return };
        let unresolved = self.gaps.contains_key(field);
        if unresolved && !reference_differs(declared, first.live.as_ref()) && !self.live.replicas.is_empty() {
            // Nothing is known to differ: the gap alone is reported.
            return;
        }
        let cause = self.cause(declared, base, &differing);
        let mut leaf = self.leaf(field, declared, base, Observed::Known(first.live.clone()), cause);
        let uniform =
            differing.len() == self.live.replicas.len() && differing.iter().all(|other| other.live == first.live);
        let counted = *field == FieldPath::Replicas;
        if !uniform && !counted && !self.live.replicas.is_empty() {
            leaf.replicas = differing;
        }
        drift.leaves.push(leaf);
    }

    /// What each replica has for the field; the count of replicas is one reading for all of them.
    fn replicas(&self, field: &FieldPath) -> Vec<Reading> {
        if *field == FieldPath::Replicas {
            let count = Value::Integer(self.live.replicas.len() as u64);
            return match self.live.replicas.first() {
                Some(_) => vec![Reading { name: String::new(), value: Observed::Known(Some((count, false))) }],
                None => Vec::new(),
            };
        }
        let read = |replica: &LiveReplica| match replica.leaves.get(field) {
            None => Observed::Known(None),
            Some(Observed::Known(leaf)) => Observed::Known(Some((leaf.value.clone(), leaf.supplied))),
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
        };
        self.live.replicas.iter().map(|replica| Reading { name: replica.name.clone(), value: read(replica) }).collect()
    }

    fn cause(&self, declared: Option<&DeclaredLeaf>, base: Option<&BaseLeaf>, differing: &[ReplicaLive]) -> Cause {
        if self.base.is_none() {
            return Cause::New;
        }
        // A leaf that was not managed until now: whatever live has is where it starts from.
        let Some(base) = base else { return Cause::Repo };
        let declared_is_base = declared.is_some_and(|declared| declared.value.same(&base.value));
        let live_is_base =
            differing.iter().all(|replica| replica.live.as_ref().is_some_and(|live| live.same(&base.value)));
        let file_stood_still = declared.is_some_and(|declared| declared.written == base.written);
        match (declared_is_base, live_is_base) {
            (true, _) => Cause::Live,
            (false, false) => Cause::Both,
            (false, true) if file_stood_still => Cause::Input,
            (false, true) => Cause::Repo,
        }
    }

    fn leaf(
        &self,
        field: &FieldPath,
        declared: Option<&DeclaredLeaf>,
        base: Option<&BaseLeaf>,
        live: Observed<Option<Value>>,
        cause: Cause,
    ) -> LeafDrift {
        LeafDrift {
            field: field.clone(),
            kind: if declared.is_some() { ChangeKind::Set } else { ChangeKind::Withdraw },
            declared: declared.map(|leaf| leaf.value.clone()),
            base: base.map(|leaf| leaf.value.clone()),
            live,
            replicas: Vec::new(),
            cause,
            at: declared.map(|leaf| leaf.at.clone()),
        }
    }
}

struct Reading {
    name: String,
    value: Observed<Option<(Value, bool)>>,
}

/// Whether a replica already is as declared: the value, or for a withdrawn leaf nothing beyond what the image or the
/// provider supplies.
fn satisfied(declared: Option<&DeclaredLeaf>, seen: Option<&(Value, bool)>) -> bool {
    match (declared, seen) {
        (Some(declared), Some((value, _))) => declared.value.same(value),
        (Some(_), None) => false,
        (None, Some((_, supplied))) => *supplied,
        (None, None) => true,
    }
}

/// Whether an image that does not resolve is nevertheless known to be another one, by its name.
fn reference_differs(declared: Option<&DeclaredLeaf>, live: Option<&Value>) -> bool {
    match (declared.map(|leaf| &leaf.value), live) {
        (Some(Value::Image(declared)), Some(Value::Image(live))) => !declared.same_reference(live),
        (Some(_), Some(_) | None) | (None, _) => false,
    }
}

fn same_record(declared: Option<&DeclaredLeaf>, base: Option<&BaseLeaf>) -> bool {
    match (declared, base) {
        (Some(declared), Some(base)) => declared.value.same(&base.value) && declared.written == base.written,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
