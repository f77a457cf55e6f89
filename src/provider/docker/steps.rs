//! Single changes to one replica, each of which is done already when it finds nothing to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerUpdateBody, HostConfig};
use jiff::Timestamp;

use super::DockerProvider;
use super::convert::{DEFAULT_CPU_PERIOD, DEFAULT_GRACE};
use super::create::engine_policy;
use super::engine::{CHANGE, EngineError};
use super::health;
use super::labels;
use crate::live::ReplicaId;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::provider::{ReplicaState, StepError};
use crate::sync::gate::SyncPermit;

impl DockerProvider {
    /// A permit for another environment permits nothing here.
    pub(super) fn permitted(&self, permit: &SyncPermit) -> Result<(), StepError> {
        if *permit.environment() == self.environment {
            return Ok(());
        }
        Err(StepError::Refused(format!(
            "the permit of run {} is for {}, not for {}",
            permit.run(),
            permit.environment(),
            self.environment
        )))
    }

    /// The replica's container, if it is this environment's.
    async fn own(&self, replica: &ReplicaId) -> Result<Option<Arc<ContainerInspectResponse>>, StepError> {
        let Some(inspect) = self.inspect(&replica.0).await? else { return Ok(None) };
        let labels = inspect.config.as_ref().and_then(|config| config.labels.as_ref());
        let own = labels::environment(&self.environment)
            .iter()
            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
        if own {
            return Ok(Some(inspect));
        }
        Err(StepError::Refused(format!("the container {replica} does not carry the labels of {}", self.environment)))
    }

    pub(super) async fn needed(&self, replica: &ReplicaId) -> Result<Arc<ContainerInspectResponse>, StepError> {
        self.own(replica).await?.ok_or_else(|| StepError::Gone(replica.clone()))
    }

    pub(super) async fn start_replica(&self, replica: &ReplicaId) -> Result<(), StepError> {
        let inspect = self.needed(replica).await?;
        let id = replica.0.as_str();
        match status(&inspect) {
            Some(Status::RUNNING | Status::RESTARTING) => Ok(()),
            Some(Status::PAUSED) => self.unpause(replica).await,
            _ => {
                let started =
                    self.engine.call(CHANGE, |docker| async move { docker.start_container(id, None).await }).await;
                gone(started, replica)
            }
        }
    }

    async fn unpause(&self, replica: &ReplicaId) -> Result<(), StepError> {
        let id = replica.0.as_str();
        gone(self.engine.call(CHANGE, |docker| async move { docker.unpause_container(id).await }).await, replica)
    }

    pub(super) async fn stop_replica(&self, replica: &ReplicaId) -> Result<(), StepError> {
        let inspect = self.needed(replica).await?;
        match status(&inspect) {
            Some(Status::CREATED | Status::EXITED | Status::DEAD) => return Ok(()),
            // A frozen process cannot end by itself.
            Some(Status::PAUSED) => self.unpause(replica).await?,
            _ => {}
        }
        let seconds = inspect.config.as_ref().and_then(|config| config.stop_timeout);
        let grace = seconds.map_or(DEFAULT_GRACE.duration(), |s| Duration::from_secs(s.max(0).unsigned_abs()));
        let id = replica.0.as_str();
        let stopped =
            self.engine.call(grace + CHANGE, |docker| async move { docker.stop_container(id, None).await }).await;
        gone(stopped, replica)
    }

    /// Stops and removes a container; every volume stays, but for the nameless ones of one that never ran or, with
    /// `nameless`, never served.
    pub(super) async fn remove_replica(&self, replica: &ReplicaId, nameless: bool) -> Result<(), StepError> {
        let Some(inspect) = self.own(replica).await? else { return Ok(()) };
        let never_ran = status(&inspect) == Some(Status::CREATED);
        if !never_ran {
            match self.stop_replica(replica).await {
                Ok(()) | Err(StepError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.delete(&replica.0, never_ran || nameless).await?)
    }

    pub(super) async fn update_replica(
        &self,
        replica: &ReplicaId,
        leaves: &BTreeMap<FieldPath, Value>,
    ) -> Result<(), StepError> {
        let inspect = self.needed(replica).await?;
        let host = inspect.host_config.clone().unwrap_or_default();
        let body = update_body(leaves, &host).map_err(StepError::Refused)?;
        let id = replica.0.as_str();
        let updated = self.engine.call(CHANGE, |docker| async move { docker.update_container(id, body).await }).await;
        gone(updated, replica)
    }

    pub(super) async fn state_of(&self, replica: &ReplicaId) -> Result<ReplicaState, StepError> {
        let inspect = self.needed(replica).await?;
        let state = inspect.state.clone().unwrap_or_default();
        let running = status(&inspect) == Some(Status::RUNNING);
        let has_ended = matches!(state.status, Some(Status::EXITED | Status::DEAD | Status::RESTARTING))
            || inspect.restart_count.unwrap_or(0) > 0;
        Ok(ReplicaState {
            running,
            restarts: inspect.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            ended: has_ended.then(|| health::ended(&state)),
            health: health::health(&inspect, Timestamp::now()),
        })
    }
}

fn status(inspect: &ContainerInspectResponse) -> Option<Status> {
    inspect.state.as_ref().and_then(|state| state.status)
}

/// A replica that vanished under a call is gone, not refused.
fn gone(result: Result<(), EngineError>, replica: &ReplicaId) -> Result<(), StepError> {
    match result {
        Err(EngineError::Missing(why)) if why.contains("No such container") || why.contains("no such container") => {
            Err(StepError::Gone(replica.clone()))
        }
        other => Ok(other?),
    }
}

/// The limits as `docker update` sets them.
fn update_body(leaves: &BTreeMap<FieldPath, Value>, host: &HostConfig) -> Result<ContainerUpdateBody, String> {
    let mut body = ContainerUpdateBody::default();
    for (field, value) in leaves {
        match (field, value) {
            (FieldPath::MemoryLimit, Value::Memory(bytes)) => {
                // Together: the Engine refuses a limit above the swap limit that stands.
                body.memory = i64::try_from(bytes.0).ok();
                body.memory_swap = body.memory;
            }
            (FieldPath::CpuLimit, Value::Cpu(cpus)) => {
                let by_quota = host.cpu_quota.unwrap_or(0) > 0 || host.cpu_period.unwrap_or(0) > 0;
                if by_quota {
                    // The Engine does not let `NanoCpus` take the place of a quota that someone set.
                    // Its period goes: of a short one, the limit may be no whole number of microseconds.
                    let period = DEFAULT_CPU_PERIOD.unsigned_abs();
                    let quota = u128::from(cpus.0) * u128::from(period) / 1_000_000_000;
                    body.cpu_period = Some(DEFAULT_CPU_PERIOD);
                    body.cpu_quota = i64::try_from(quota).ok();
                } else {
                    body.nano_cpus = i64::try_from(cpus.0).ok();
                }
            }
            (FieldPath::Restart, Value::Restart(policy)) => body.restart_policy = Some(engine_policy(*policy)),
            (field, _) => return Err(format!("{field} cannot be changed while the container runs")),
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::update_body;
    use crate::live::field::FieldPath;
    use crate::live::quantity::NanoCpus;
    use crate::live::value::Value;
    use crate::provider::docker::capability::CAPABILITIES;
    use crate::provider::docker::convert::cpu_limit;

    #[test]
    fn a_limit_set_over_a_quota_reads_back_as_what_was_set() {
        // By hand: `docker update --cpu-period 7000 --cpu-quota 3500`.
        let by_hand = HostConfig { cpu_period: Some(7_000), cpu_quota: Some(3_500), ..HostConfig::default() };
        for nanos in [333_333_333, 500_000_000, 1_234_567_891, 10_000] {
            let wanted = Value::Cpu(NanoCpus(nanos));
            let body = update_body(&[(FieldPath::CpuLimit, wanted.clone())].into(), &by_hand).expect("it can be set");
            let after = HostConfig { cpu_period: body.cpu_period, cpu_quota: body.cpu_quota, ..HostConfig::default() };
            let seen = cpu_limit(&after).expect("a limit");
            assert!(CAPABILITIES.same(&FieldPath::CpuLimit, &wanted, &Value::Cpu(seen)), "{nanos}: {seen}");
        }
    }
}
