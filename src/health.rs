//! How services are doing after their deploy: probes go on at their interval, and `status` shows what they say.
//!
//! Being healthy is not being in sync: nothing here compares anything with what is declared, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::deploy::check::check_of;
use crate::drift::Base;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::field::FieldPath;
use crate::live::{Health, Live, LiveReplica, LiveService, Observed, ReplicaId};
use crate::pass::{PassError, Passes};
use crate::provider::{Check, Probe, ProbeOutcome, Provider};
use crate::secret::mask::{Mask, running_secrets};
use crate::store::Store;
use crate::store::records::{ReplicaHealth, ServiceHealth};

/// Probes what is deployed, round by round. Cheap to clone.
#[derive(Clone)]
pub struct Monitor {
    store: Store,
    passes: Passes,
    streaks: Arc<Mutex<BTreeMap<EnvironmentRef, BTreeMap<ReplicaId, Streak>>>>,
}

/// What the last probes of one replica said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Streak {
    passed: u32,
    failed: u32,
    verdict: Health,
}

impl Streak {
    fn new() -> Self {
        Streak { passed: 0, failed: 0, verdict: Health::Starting }
    }

    /// Takes one more probe into account: the thresholds decide, and in between the verdict stands.
    fn count(&mut self, outcome: ProbeOutcome, check: &Check) {
        match outcome {
            ProbeOutcome::Passed => {
                self.failed = 0;
                self.passed = self.passed.saturating_add(1);
                if self.passed >= check.healthy_threshold {
                    self.verdict = Health::Healthy;
                }
            }
            ProbeOutcome::Failed(why) => {
                self.passed = 0;
                self.failed = self.failed.saturating_add(1);
                if self.failed >= check.unhealthy_threshold {
                    self.verdict = Health::Unhealthy { why };
                }
            }
            ProbeOutcome::Pending => {}
            ProbeOutcome::Impossible(why) => self.verdict = Health::Unknown { why },
        }
    }
}

impl Monitor {
    /// A monitor that has seen nothing yet.
    pub fn new(store: Store, passes: Passes) -> Self {
        Monitor { store, passes, streaks: Arc::default() }
    }

    /// Probes every replica of an environment once and records how its services do. Returns when the next round is due;
    /// `None` where nothing there is probed, or the project is
    /// switched off.
    ///
    /// # Errors
    /// [`PassError`] where the environment is not usable; what was recorded stays.
    pub async fn round(&self, id: &EnvironmentRef) -> Result<Option<Duration>, PassError> {
        if self.store.project(&id.project).await?.is_none_or(|project| project.disabled) {
            return Ok(None);
        }
        let base = self.store.base(id).await?;
        let checks = checks(&base);
        let Some(due) = checks.values().map(|check| check.interval.duration()).min() else { return Ok(None) };
        let provider = self.passes.provider(id).await?;
        let live = provider.observe().await;
        let streaks = self.probe(id, &*provider, &checks, &live).await;
        let now = match &live.services {
            Observed::Known(services) => {
                let mask = mask(services, |name, field| base.holds_secret(name, field));
                let verdict = |replica: &LiveReplica| streaks.get(&replica.id).map(|streak| streak.verdict.clone());
                let health = |(name, service): (&ServiceName, &LiveService)| {
                    (name.clone(), masked_service(service_health(service, verdict), &mask))
                };
                services.iter().map(health).collect()
            }
            Observed::Unknown(why) => unseen(base.services.keys(), why),
        };
        self.store.put_healths(id, now, Timestamp::now()).await?;
        Ok(Some(due.max(Duration::from_secs(1))))
    }

    async fn probe(
        &self,
        id: &EnvironmentRef,
        provider: &dyn Provider,
        checks: &BTreeMap<ServiceName, Check>,
        live: &Live,
    ) -> BTreeMap<ReplicaId, Streak> {
        let services = live.services.known().into_iter().flatten();
        let probes = services.flat_map(|(name, service)| {
            let check = checks.get(name);
            service.replicas.iter().filter_map(move |replica| check.map(|check| (replica, check)))
        });
        let asked = probes.filter(|(replica, _)| runs(replica)).map(|(replica, check)| async move {
            (replica.id.clone(), check.clone(), provider.probe(&replica.id, check).await)
        });
        let outcomes = join_all(asked).await;
        let mut all = self.streaks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.remove(id).unwrap_or_default();
        let mut after = BTreeMap::new();
        for (replica, check, outcome) in outcomes {
            let mut streak = before.get(&replica).cloned().unwrap_or_else(Streak::new);
            streak.count(outcome, &check);
            after.insert(replica, streak);
        }
        all.insert(id.clone(), after.clone());
        after
    }
}

/// The secrets that what runs holds, where `held` tells which leaves are secrets.
pub(crate) fn mask(
    services: &BTreeMap<ServiceName, LiveService>,
    held: impl Fn(&ServiceName, &FieldPath) -> bool,
) -> Mask {
    let mut mask = Mask::default();
    mask.add(running_secrets(services, held));
    mask
}

/// Takes them out of the words on how replicas are doing: a probe's answer, or that of an image's own check, may quote what
/// the replica printed.
pub(crate) fn mask_words(live: &mut Live, held: impl Fn(&ServiceName, &FieldPath) -> bool) {
    let Observed::Known(services) = &mut live.services else { return };
    let mask = mask(services, held);
    for replica in services.values_mut().flat_map(|service| &mut service.replicas) {
        let health = std::mem::replace(&mut replica.health, Health::Starting);
        replica.health = masked(health, &mask);
    }
}

fn masked_service(service: ServiceHealth, mask: &Mask) -> ServiceHealth {
    let replica = |replica: ReplicaHealth| ReplicaHealth { health: masked(replica.health, mask), ..replica };
    ServiceHealth {
        health: masked(service.health, mask),
        replicas: service.replicas.into_iter().map(replica).collect(),
    }
}

fn masked(health: Health, mask: &Mask) -> Health {
    match health {
        Health::Healthy => Health::Healthy,
        Health::Starting => Health::Starting,
        Health::Unhealthy { why } => Health::Unhealthy { why: mask.apply(&why) },
        Health::CrashLooping { why } => Health::CrashLooping { why: mask.apply(&why) },
        Health::Stopped { why } => Health::Stopped { why: mask.apply(&why) },
        Health::Unknown { why } => Health::Unknown { why: mask.apply(&why) },
    }
}

/// The services that are probed, as they were last applied.
fn checks(base: &Base) -> BTreeMap<ServiceName, Check> {
    base.services
        .iter()
        .map(|(name, service)| (name.clone(), check_of(|field| service.leaves.get(field).map(|leaf| &leaf.value))))
        .filter(|(_, check)| check.probe != Probe::Running)
        .collect()
}

fn runs(replica: &LiveReplica) -> bool {
    match replica.health {
        Health::Healthy | Health::Starting | Health::Unhealthy { .. } => true,
        Health::CrashLooping { .. } | Health::Stopped { .. } | Health::Unknown { .. } => false,
    }
}

/// A service is as well as its worst replica. `probed` gives a replica's verdict where it is probed; a replica that does
/// not run is what the provider says.
pub fn service_health(service: &LiveService, probed: impl Fn(&LiveReplica) -> Option<Health>) -> ServiceHealth {
    let of = |replica: &LiveReplica| match (runs(replica), probed(replica)) {
        (true, Some(verdict)) => verdict,
        (true, None) | (false, _) => replica.health.clone(),
    };
    let replicas: Vec<ReplicaHealth> = service
        .replicas
        .iter()
        .map(|replica| ReplicaHealth { name: replica.name.clone(), health: of(replica) })
        .collect();
    let unseen = service
        .unseen
        .iter()
        .map(|(name, why)| ReplicaHealth { name: name.clone(), health: Health::Unknown { why: why.clone() } });
    let replicas: Vec<ReplicaHealth> = replicas.into_iter().chain(unseen).collect();
    let worst = replicas.iter().map(|replica| &replica.health).max_by_key(|health| severity(health));
    let health = worst.cloned().unwrap_or_else(|| Health::Stopped { why: "it has no replica".to_owned() });
    ServiceHealth { health, replicas }
}

/// How every named service is doing where what runs could not be seen.
pub fn unseen<'a>(services: impl Iterator<Item = &'a ServiceName>, why: &str) -> BTreeMap<ServiceName, ServiceHealth> {
    let unknown = || ServiceHealth { health: Health::Unknown { why: why.to_owned() }, replicas: Vec::new() };
    services.map(|name| (name.clone(), unknown())).collect()
}

fn severity(health: &Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Starting => 1,
        Health::Unknown { .. } => 2,
        Health::Unhealthy { .. } => 3,
        Health::CrashLooping { .. } => 4,
        Health::Stopped { .. } => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::Streak;
    use crate::live::Health;
    use crate::live::quantity::Millis;
    use crate::provider::{Check, Probe, ProbeOutcome};

    #[test]
    fn thresholds_decide_and_a_single_failure_does_not() {
        let check = Check {
            probe: Probe::Tcp { port: Some(1) },
            interval: Millis(1),
            timeout: Millis(1),
            start_period: Millis(0),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        };
        let mut streak = Streak::new();
        streak.count(ProbeOutcome::Passed, &check);
        assert_eq!(streak.verdict, Health::Starting);
        streak.count(ProbeOutcome::Passed, &check);
        assert_eq!(streak.verdict, Health::Healthy);
        streak.count(ProbeOutcome::Failed("refused".into()), &check);
        assert_eq!(streak.verdict, Health::Healthy);
        streak.count(ProbeOutcome::Failed("refused".into()), &check);
        assert_eq!(streak.verdict, Health::Unhealthy { why: "refused".into() });
    }
}
