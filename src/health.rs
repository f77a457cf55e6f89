//! How services are doing after their deploy: probes go on at their interval, and `status` shows what they say.
//!
//! Being healthy is not being in sync: nothing here compares anything with what is declared, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::deploy::check::check_of;
use crate::drift::Base;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::field::FieldPath;
use crate::live::{Health, Live, LiveReplica, LiveService, Observed, ReplicaId};
use crate::pass::{PassError, Passes};
use crate::provider::{Check, Probe, ProbeOutcome, Provider};
use crate::secret::mask::{Mask, running_secrets};
use crate::store::records::{ReplicaHealth, ServiceHealth};
use crate::store::{Store, Stored};

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
    /// Since when it is seen to run. Its start may lie before, up to a look's distance; failures are then forgiven for
    /// that much longer.
    since: Instant,
    /// When it was probed last.
    probed: Option<Instant>,
}

impl Streak {
    fn new(now: Instant) -> Self {
        Streak { passed: 0, failed: 0, verdict: Health::Starting, since: now, probed: None }
    }

    /// How long until its next probe.
    fn due_in(&self, check: &Check, now: Instant) -> Duration {
        let past = self.probed.map(|probed| now.saturating_duration_since(probed));
        past.map_or(Duration::ZERO, |past| check.interval.duration().saturating_sub(past))
    }

    /// Takes one more probe into account: the thresholds decide, and in between the verdict stands. Until it was healthy
    /// once, failures within the start period do not count.
    fn count(&mut self, outcome: ProbeOutcome, check: &Check, now: Instant) {
        self.probed = Some(now);
        let starting = self.verdict == Health::Starting
            && now.saturating_duration_since(self.since) < check.start_period.duration();
        match outcome {
            ProbeOutcome::Failed(_) if starting => self.passed = 0,
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

    /// Probes every replica of an environment whose interval is over and records how the services do. Returns when the
    /// next round is due; `None` where nothing there is probed, or the project is
    /// switched off.
    ///
    /// # Errors
    /// [`PassError`] where the environment is not usable; what was recorded stays.
    pub async fn round(&self, id: &EnvironmentRef) -> Result<Option<Duration>, PassError> {
        let Stored { project, base, .. } = self.store.stored(id).await?;
        if project.is_none_or(|project| project.disabled) {
            return Ok(None);
        }
        let checks = checks(&base);
        if checks.is_empty() {
            return Ok(None);
        }
        let provider = self.passes.provider(id).await?;
        let live = provider.observe().await;
        let streaks = self.probe(id, &*provider, &checks, &live).await;
        let due = due(&checks, &live, &streaks, Instant::now());
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
        let now = Instant::now();
        let before = self.streaks().get(id).cloned().unwrap_or_default();
        let asked = probes.filter(|(replica, _)| runs(replica)).map(|(replica, check)| {
            let mut streak = before.get(&replica.id).cloned().unwrap_or_else(|| Streak::new(now));
            async move {
                if streak.due_in(check, now).is_zero() {
                    streak.count(provider.probe(&replica.id, check).await, check, now);
                }
                (replica.id.clone(), streak)
            }
        });
        let after: BTreeMap<ReplicaId, Streak> = join_all(asked).await.into_iter().collect();
        self.streaks().insert(id.clone(), after.clone());
        after
    }

    fn streaks(&self) -> MutexGuard<'_, BTreeMap<EnvironmentRef, BTreeMap<ReplicaId, Streak>>> {
        self.streaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until the first replica is due; a service of which none runs is looked at after its interval.
fn due(
    checks: &BTreeMap<ServiceName, Check>,
    live: &Live,
    streaks: &BTreeMap<ReplicaId, Streak>,
    now: Instant,
) -> Duration {
    let services = live.services.known();
    let of = |(name, check): (&ServiceName, &Check)| {
        let replicas = services.and_then(|all| all.get(name)).map(|service| service.replicas.as_slice());
        let probed = replicas.unwrap_or_default().iter().filter_map(|replica| streaks.get(&replica.id));
        let first = probed.map(|streak| streak.due_in(check, now)).min();
        first.unwrap_or_else(|| check.interval.duration())
    };
    checks.iter().map(of).min().unwrap_or_default()
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
pub(crate) fn checks(base: &Base) -> BTreeMap<ServiceName, Check> {
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

/// A service is as well as its worst replica, those that are left over aside: others have their place. `probed` gives a replica's verdict where it is probed; a replica that does
/// not run is what the provider says.
pub fn service_health(service: &LiveService, probed: impl Fn(&LiveReplica) -> Option<Health>) -> ServiceHealth {
    let of = |replica: &LiveReplica| match (runs(replica), probed(replica)) {
        (true, Some(verdict)) => verdict,
        (true, None) | (false, _) => replica.health.clone(),
    };
    let left_over = service.left_over();
    let replicas: Vec<ReplicaHealth> = service
        .replicas
        .iter()
        .filter(|replica| !left_over.contains(&replica.id))
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
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Streak;
    use crate::live::Health;
    use crate::live::quantity::Millis;
    use crate::provider::{Check, Probe, ProbeOutcome};

    fn check(start_period: u64) -> Check {
        Check {
            probe: Probe::Tcp { port: Some(1) },
            interval: Millis(10_000),
            timeout: Millis(1),
            start_period: Millis(start_period),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        }
    }

    fn refused() -> ProbeOutcome {
        ProbeOutcome::Failed("refused".into())
    }

    #[test]
    fn thresholds_decide_and_a_single_failure_does_not() {
        let (check, now) = (check(0), Instant::now());
        let mut streak = Streak::new(now);
        streak.count(ProbeOutcome::Passed, &check, now);
        assert_eq!(streak.verdict, Health::Starting);
        streak.count(ProbeOutcome::Passed, &check, now);
        assert_eq!(streak.verdict, Health::Healthy);
        streak.count(refused(), &check, now);
        assert_eq!(streak.verdict, Health::Healthy);
        streak.count(refused(), &check, now);
        assert_eq!(streak.verdict, Health::Unhealthy { why: "refused".into() });
    }

    #[test]
    fn a_start_period_forgives_until_it_is_over_or_the_replica_was_healthy() {
        let (check, start) = (check(60_000), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut streak = Streak::new(start);
        for seconds in [0, 10, 59] {
            streak.count(refused(), &check, at(seconds));
            assert_eq!(streak.verdict, Health::Starting, "{seconds}");
        }
        streak.count(refused(), &check, at(60));
        streak.count(refused(), &check, at(70));
        assert_eq!(streak.verdict, Health::Unhealthy { why: "refused".into() });

        let mut streak = Streak::new(start);
        for outcome in [ProbeOutcome::Passed, ProbeOutcome::Passed, refused(), refused()] {
            streak.count(outcome, &check, at(5));
        }
        assert_eq!(streak.verdict, Health::Unhealthy { why: "refused".into() });
    }

    #[test]
    fn each_replica_is_due_at_its_own_interval() {
        let (check, start) = (check(0), Instant::now());
        let mut streak = Streak::new(start);
        assert!(streak.due_in(&check, start).is_zero());
        streak.count(ProbeOutcome::Passed, &check, start);
        assert_eq!(streak.due_in(&check, start + Duration::from_secs(4)), Duration::from_secs(6));
        assert!(streak.due_in(&check, start + Duration::from_secs(10)).is_zero());
    }
}
