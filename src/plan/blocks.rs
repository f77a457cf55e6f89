//! What stands in an action's way.

use std::collections::BTreeSet;

use crate::declared::DeclaredService;
use crate::drift::{Drift, Presence, ServiceDrift};
use crate::ids::ServiceName;
use crate::live::capability::{Capabilities, ChangeKind, Support};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::build::PlanContext;
use crate::plan::{ActionKind, Blocked, Change};

/// What blocks are told from.
pub(super) struct Surroundings<'a> {
    /// The whole drift.
    pub(super) drift: &'a Drift,
    /// What the provider can do.
    pub(super) can: &'a Capabilities,
    /// What else is known.
    pub(super) context: &'a PlanContext,
    /// Declared services that do not run and that this plan does not start.
    pub(super) stay_absent: BTreeSet<&'a ServiceName>,
}

impl Surroundings<'_> {
    /// Everything that stands in the way of one service's action.
    pub(super) fn blocks(
        &self,
        name: &ServiceName,
        service: &DeclaredService,
        drift: &ServiceDrift,
        kind: ActionKind,
        changes: &[Change],
    ) -> Vec<Blocked> {
        let mut blocked: Vec<Blocked> = drift.unknown.iter().map(|unknown| not_known(service, unknown)).collect();
        let refused = service.leaves.iter().filter_map(|(field, leaf)| {
            let why = refusal(self.can, field, &leaf.value)?;
            Some(Blocked::Unsupported { field: field.clone(), why: why.to_owned() })
        });
        blocked.extend(refused);
        blocked.extend(self.incomplete(service, kind, changes));
        if let (Some(why), true) = (self.context.unprobeable.get(name), is_gated(kind)) {
            blocked.push(Blocked::CannotProbe { why: why.clone() });
        }
        if matches!(kind, ActionKind::Create | ActionKind::Replace) {
            let missing = needs(service).into_iter().flatten().filter(|need| !self.will_run(need));
            blocked.extend(missing.map(|need| Blocked::Dependency { service: need.clone() }));
        }
        blocked
    }

    /// Whether a service runs, or this plan starts it before those that need it.
    fn will_run(&self, service: &ServiceName) -> bool {
        let declared = self.drift.services.contains_key(service) && !self.stay_absent.contains(service);
        declared || self.drift.orphans.iter().any(|orphan| orphan.name == *service)
    }

    /// Required fields that a new service lacks, or that a running one is to lose.
    fn incomplete(&self, service: &DeclaredService, kind: ActionKind, changes: &[Change]) -> Vec<Blocked> {
        let withdrawn =
            |field: &FieldPath| changes.iter().any(|it| it.field == *field && it.kind == ChangeKind::Withdraw);
        let lacking = |field: &&FieldPath| {
            !service.leaves.contains_key(*field) && (kind == ActionKind::Create || withdrawn(field))
        };
        let words = |field: &FieldPath| {
            let verb = if withdrawn(field) { "is no longer declared" } else { "is not declared" };
            let why = format!("{field} {verb}, and a service of the {} provider needs it", self.can.provider);
            Blocked::Incomplete { why }
        };
        self.can.required.iter().filter(lacking).map(words).collect()
    }
}

/// Why a provider cannot do what a leaf declares.
pub(super) fn refusal(can: &Capabilities, field: &FieldPath, value: &Value) -> Option<&'static str> {
    match (can.support)(field) {
        Support::Unsupported(why) => Some(why),
        Support::Observed | Support::Policy => (can.accepts)(field, value).err(),
    }
}

/// Whether an action ends at the health gate, which nothing passes unprobed.
fn is_gated(kind: ActionKind) -> bool {
    match kind {
        ActionKind::Create | ActionKind::Replace | ActionKind::InPlace => true,
        ActionKind::Delete | ActionKind::Record => false,
    }
}

fn not_known(service: &DeclaredService, (field, why): &(FieldPath, String)) -> Blocked {
    match service.leaves.get(field).map(|leaf| &leaf.value) {
        Some(Value::Secret(secret)) if secret.fingerprint.is_none() => Blocked::MissingSecret { why: why.clone() },
        Some(_) | None => Blocked::Unknown { field: Some(field.clone()), why: why.clone() },
    }
}

/// The services that a service's file says it depends on.
pub(super) fn needs(service: &DeclaredService) -> Option<&BTreeSet<ServiceName>> {
    match service.leaves.get(&FieldPath::DependsOn).map(|leaf| &leaf.value) {
        Some(Value::Services(names)) => Some(names),
        Some(_) | None => None,
    }
}

/// Whether a declared service does not run and goes on not running.
pub(super) fn stays_absent(drift: &ServiceDrift, blocked: &[Blocked]) -> bool {
    drift.presence == Presence::Absent && !blocked.is_empty()
}
