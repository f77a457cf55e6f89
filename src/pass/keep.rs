//! Keeping what a pass found: what `status` and `why` answer from.

use std::collections::BTreeMap;

use crate::deploy::check::check_of;
use crate::drift::Cause;
use crate::health::service_health;
use crate::ids::ServiceName;
use crate::live::field::FieldPath;
use crate::live::{Health, Live, LiveService, Observed};
use crate::pass::{PassError, Passes};
use crate::plan::{Action, Plan};
use crate::provider::Probe;

impl Passes {
    /// Keeps what `status` and `why` answer from: the plan, since when each leaf drifts, and how services do.
    pub(super) async fn keep_latest(&self, plan: &Plan, live: &Live) -> Result<(), PassError> {
        let store = &self.parts.store;
        let id = &plan.environment;
        if self.seen.planned(plan) {
            let kept = self.keep_plan(plan).await;
            if kept.is_err() {
                self.seen.forget(id);
            }
            kept?;
        }
        let known: BTreeMap<ServiceName, Health> =
            store.healths(id).await?.into_iter().map(|(name, health, _)| (name, health)).collect();
        let now = match &live.services {
            Observed::Known(services) => {
                services.iter().map(|(name, service)| (name.clone(), health_now(plan, name, service, &known))).collect()
            }
            Observed::Unknown(why) => {
                plan.desired.keys().map(|name| (name.clone(), Health::Unknown { why: why.clone() })).collect()
            }
        };
        store.put_healths(id, now, plan.made_at).await?;
        Ok(())
    }

    async fn keep_plan(&self, plan: &Plan) -> Result<(), PassError> {
        let store = &self.parts.store;
        let changes = |action: &Action| -> Vec<(ServiceName, FieldPath, Cause)> {
            action.changes.iter().map(|change| (action.service.clone(), change.field.clone(), change.cause)).collect()
        };
        let marks = plan.actions.iter().flat_map(changes).collect();
        store.save_plan(plan).await?;
        store.set_latest_plan(&plan.environment, &plan.digest).await?;
        store.update_drift_marks(&plan.environment, marks, plan.made_at).await?;
        Ok(())
    }
}

/// How a service does, as far as a pass can tell: where a probe decides, its last verdict stands while the replicas run.
fn health_now(plan: &Plan, name: &ServiceName, service: &LiveService, known: &BTreeMap<ServiceName, Health>) -> Health {
    let declared = plan.desired.get(name);
    let check = check_of(|field| declared.and_then(|leaves| leaves.get(field)).map(|leaf| &leaf.value));
    let seen = service_health(service, |_| None);
    match (check.probe, &seen) {
        (Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. }, Health::Healthy | Health::Starting) => {
            match known.get(name) {
                Some(Health::Healthy) => Health::Healthy,
                Some(Health::Unhealthy { why }) => Health::Unhealthy { why: why.clone() },
                _ => Health::Starting,
            }
        }
        _ => seen,
    }
}
