//! What the Engine shows and what it changes while a container runs. Pure.

use crate::live::capability::{Capabilities, ChangeKind, Effect, Support};
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// The provider's word.
pub(super) const PROVIDER: &str = "docker";

/// The docker provider's abilities.
pub(super) const CAPABILITIES: Capabilities =
    Capabilities { provider: PROVIDER, support, accepts, effect, required: &[FieldPath::Image], default_of };

fn support(field: &FieldPath) -> Support {
    match field {
        FieldPath::Image
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::User
        | FieldPath::WorkingDir
        | FieldPath::Stopped
        | FieldPath::Replicas
        | FieldPath::Env(_)
        | FieldPath::Ports(_)
        | FieldPath::Volumes(_)
        | FieldPath::Labels(_)
        | FieldPath::CpuLimit
        | FieldPath::MemoryLimit
        | FieldPath::Restart
        | FieldPath::StopGracePeriod => Support::Observed,
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
        | FieldPath::RollbackOnFailure => Support::Policy,
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

fn effect(field: &FieldPath, kind: ChangeKind) -> Effect {
    match (support(field), field, kind) {
        (Support::Policy | Support::Unsupported(_), _, _) => Effect::Record,
        (Support::Observed, FieldPath::Stopped | FieldPath::Replicas, _) => Effect::InPlace,
        // The Engine ignores an update to a limit of 0 (20.10, `POST /containers/{id}/update`): unsetting one replaces.
        (Support::Observed, FieldPath::CpuLimit | FieldPath::MemoryLimit | FieldPath::Restart, ChangeKind::Set) => {
            Effect::InPlace
        }
        (Support::Observed, _, _) => Effect::Replace,
    }
}

fn default_of(field: &FieldPath) -> Option<&'static str> {
    match field {
        FieldPath::CpuLimit | FieldPath::MemoryLimit => Some("no limit"),
        FieldPath::Restart => Some("unless-stopped"),
        FieldPath::StopGracePeriod => Some("10s"),
        FieldPath::Replicas => Some("1"),
        FieldPath::Stopped => Some("false"),
        // The image decides, or the entry goes, or it is policy, whose defaults are not the Engine's.
        FieldPath::Image
        | FieldPath::Source
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::User
        | FieldPath::WorkingDir
        | FieldPath::Env(_)
        | FieldPath::Ports(_)
        | FieldPath::Volumes(_)
        | FieldPath::Labels(_)
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
        | FieldPath::RollbackOnFailure => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{effect, support};
    use crate::live::capability::{ChangeKind, Effect, Support};
    use crate::live::field::FieldPath;

    #[test]
    fn limits_are_set_in_place_and_unset_by_replacing() {
        for field in [FieldPath::CpuLimit, FieldPath::MemoryLimit, FieldPath::Restart] {
            assert_eq!(effect(&field, ChangeKind::Set), Effect::InPlace, "{field}");
            assert_eq!(effect(&field, ChangeKind::Withdraw), Effect::Replace, "{field}");
        }
    }

    #[test]
    fn policy_leaves_touch_nothing() {
        for field in FieldPath::SINGLE {
            if support(&field) == Support::Policy {
                assert_eq!(effect(&field, ChangeKind::Set), Effect::Record, "{field}");
            }
        }
    }
}
