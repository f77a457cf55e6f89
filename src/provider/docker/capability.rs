//! What the Engine shows and what it changes while a container runs. Pure.

use super::convert::DEFAULT_CPU_PERIOD;
use crate::live::capability::{Ability, Capabilities};
use crate::live::field::FieldPath;
use crate::live::quantity::{Millis, NanoCpus};
use crate::live::value::Value;

/// The provider's word.
pub(super) const PROVIDER: &str = "docker";

/// The docker provider's abilities.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    provider: PROVIDER,
    support: |field| ability(field).support,
    accepts,
    effect: |field, kind| ability(field).effect(kind),
    required: &[FieldPath::Image],
    default_of: |field| ability(field).default,
    kept,
};

fn ability(field: &FieldPath) -> Ability {
    match field {
        FieldPath::Image
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::User
        | FieldPath::WorkingDir
        | FieldPath::Env(_)
        | FieldPath::Ports(_)
        | FieldPath::Volumes(_)
        | FieldPath::Labels(_) => Ability::REPLACED,
        FieldPath::StopGracePeriod => Ability::REPLACED.or("10s"),
        FieldPath::Stopped => Ability::IN_PLACE.or("false"),
        FieldPath::Replicas => Ability::IN_PLACE.or("1"),
        // The Engine ignores an update to a limit of 0 (20.10, `POST /containers/{id}/update`): unsetting one replaces.
        FieldPath::CpuLimit | FieldPath::MemoryLimit => Ability::SET_IN_PLACE.or("no limit"),
        FieldPath::Restart => Ability::SET_IN_PLACE.or("unless-stopped"),
        FieldPath::Source
        | FieldPath::Port
        | FieldPath::Pull
        | FieldPath::DependsOn
        | FieldPath::HealthPath
        | FieldPath::HealthPort
        | FieldPath::HealthCommand
        | FieldPath::HealthInterval
        | FieldPath::HealthTimeout
        | FieldPath::HealthStartPeriod
        | FieldPath::HealthyThreshold
        | FieldPath::UnhealthyThreshold
        | FieldPath::DeployStrategy
        | FieldPath::RollbackOnFailure => Ability::POLICY,
    }
}

fn accepts(field: &FieldPath, value: &Value) -> Result<(), &'static str> {
    match (field, value) {
        (FieldPath::WorkingDir, Value::Text(path)) if !path.starts_with('/') => {
            Err("a container's directory is absolute, such as /app")
        }
        (_, _) => Ok(()),
    }
}

/// The Engine counts a grace period in seconds and a CPU limit in microseconds of a period of 100 milliseconds
/// (`StopTimeout`, `CpuQuota`): what is finer is rounded as `create` and `update` round it.
fn kept(field: &FieldPath, value: &Value) -> Option<Value> {
    match (field, value) {
        (FieldPath::StopGracePeriod, Value::Duration(grace)) => Some(Value::Duration(whole_seconds(*grace))),
        (FieldPath::CpuLimit, Value::Cpu(cpus)) => Some(Value::Cpu(whole_quota(*cpus))),
        _ => None,
    }
}

/// A grace period as the Engine keeps it: a part of a second counts as one.
pub(super) fn whole_seconds(grace: Millis) -> Millis {
    Millis(grace.0.div_ceil(1_000).saturating_mul(1_000))
}

/// A CPU limit as the kernel is told it: whole microseconds of each 100 milliseconds.
pub(super) fn whole_quota(cpus: NanoCpus) -> NanoCpus {
    const STEP: u64 = 1_000_000_000 / DEFAULT_CPU_PERIOD.unsigned_abs();
    NanoCpus(cpus.0 / STEP * STEP)
}

#[cfg(test)]
mod tests {
    use super::{CAPABILITIES, ability};
    use crate::live::capability::{ChangeKind, Effect, Support};
    use crate::live::field::FieldPath;
    use crate::live::quantity::Millis;
    use crate::live::value::Value;

    #[test]
    fn limits_are_set_in_place_and_unset_by_replacing() {
        for field in [FieldPath::CpuLimit, FieldPath::MemoryLimit, FieldPath::Restart] {
            assert_eq!(ability(&field).effect(ChangeKind::Set), Effect::InPlace, "{field}");
            assert_eq!(ability(&field).effect(ChangeKind::Withdraw), Effect::Replace, "{field}");
        }
    }

    #[test]
    fn policy_leaves_touch_nothing() {
        for field in FieldPath::SINGLE {
            if ability(&field).support == Support::Policy {
                assert_eq!(ability(&field).effect(ChangeKind::Set), Effect::Record, "{field}");
            }
        }
    }

    #[test]
    fn a_part_of_a_second_counts_as_one() {
        let field = FieldPath::StopGracePeriod;
        let grace = |millis| Value::Duration(Millis(millis));
        assert!(CAPABILITIES.same(&field, &grace(1_500), &grace(2_000)));
        assert!(CAPABILITIES.same(&field, &grace(0), &grace(0)));
        assert!(!CAPABILITIES.same(&field, &grace(1_500), &grace(1_000)));
        assert!(!CAPABILITIES.same(&field, &grace(2_000), &grace(1_500)));
    }
}
