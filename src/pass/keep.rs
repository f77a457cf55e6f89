//! Keeping what a pass found: what `status` and `why` answer from.

use std::collections::BTreeMap;

use crate::deploy::check::check_of;
use crate::drift::{Base, Cause};
use crate::health::{checks, mask, service_health, unseen};
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::field::FieldPath;
use crate::live::{Health, Live, LiveReplica, LiveService, Observed};
use crate::pass::{PassError, Passes};
use crate::plan::{Action, Plan};
use crate::provider::Probe;
use crate::secret::mask::Mask;
use crate::store::records::ServiceHealth;

impl Passes {
    /// Keeps what `status` and `why` answer from: the plan, since when each leaf drifts, and how services do.
    /// `known` is how they were last seen to do.
    pub(super) async fn keep_latest(
        &self,
        plan: &Plan,
        live: &Live,
        base: &Base,
        known: &BTreeMap<ServiceName, ServiceHealth>,
    ) -> Result<(), PassError> {
        let store = &self.parts.store;
        let id = &plan.environment;
        self.seen.probed(id, !checks(base).is_empty());
        if self.seen.planned(plan) {
            let kept = self.keep_plan(plan).await;
            match kept {
                Ok(()) => {
                    self.seen.kept(plan);
                    self.tell_moved(id);
                }
                // It may have been kept in part: the next look writes, whatever it comes to.
                Err(_) => self.seen.forget(id),
            }
            kept?;
        }
        let now = |known: &BTreeMap<ServiceName, ServiceHealth>| match &live.services {
            Observed::Known(services) => {
                services.iter().map(|(name, service)| (name.clone(), health_now(base, name, service, known))).collect()
            }
            Observed::Unknown(why) => unseen(plan.desired.keys(), why),
        };
        if now(known) != *known {
            // A probe may have said something since `known` was read: its verdict stands.
            let known = self.known_healths(id).await?;
            store.put_healths(id, now(&known), plan.made_at).await?;
        }
        Ok(())
    }

    /// How each service was last seen to do.
    pub(super) async fn known_healths(
        &self,
        id: &EnvironmentRef,
    ) -> Result<BTreeMap<ServiceName, ServiceHealth>, PassError> {
        let healths = self.parts.store.healths(id).await?;
        Ok(healths.into_iter().map(|(name, health, _)| (name, health)).collect())
    }

    /// The secrets of these services of an environment, to be taken out of what they print: those that were applied, and
    /// those that are being applied.
    ///
    /// # Errors
    /// The database failed; then nothing that they print can be shown.
    pub async fn mask(
        &self,
        id: &EnvironmentRef,
        services: &BTreeMap<ServiceName, LiveService>,
    ) -> Result<Mask, PassError> {
        let store = &self.parts.store;
        let (base, plan) = (store.base(id).await?, store.latest_plan(id).await?);
        let planned =
            |name: &ServiceName, field: &FieldPath| plan.as_ref().is_some_and(|plan| plan.holds_secret(name, field));
        Ok(mask(services, |name, field| base.holds_secret(name, field) || planned(name, field)))
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

/// How a service does, as far as a pass can tell: where a probe decides, each replica's last verdict stands while it runs.
/// Which check is probed is base's to say, as it is to whoever probes: a commit that is not synced changes no health.
fn health_now(
    base: &Base,
    name: &ServiceName,
    service: &LiveService,
    known: &BTreeMap<ServiceName, ServiceHealth>,
) -> ServiceHealth {
    let applied = base.services.get(name);
    let check = check_of(|field| applied.and_then(|service| service.leaves.get(field)).map(|leaf| &leaf.value));
    let before = |replica: &LiveReplica| {
        let service = known.get(name)?;
        if service.replicas.is_empty() {
            // What was recorded of the service as a whole (it passed its gate) holds for each replica.
            return Some(service.health.clone());
        }
        service.replicas.iter().find(|before| before.name == replica.name).map(|before| before.health.clone())
    };
    let verdict = |replica: &LiveReplica| match before(replica) {
        Some(verdict @ (Health::Healthy | Health::Unhealthy { .. })) => verdict,
        Some(_) | None => Health::Starting,
    };
    service_health(service, |replica| match check.probe {
        Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. } => Some(verdict(replica)),
        Probe::Running => None,
    })
}
