//! What the local provider can see and change, field by field. Pure.

use crate::live::capability::{Ability, Capabilities, Support};
use crate::live::field::FieldPath;

/// The provider's word.
pub const PROVIDER: &str = "local";

/// Its abilities; whether CPU can be limited depends on the machine.
pub(super) fn capabilities(cpu_limits: bool) -> Capabilities {
    Capabilities {
        provider: PROVIDER,
        support: if cpu_limits { |field| ability(field).support } else { support_without_cpu },
        accepts: |_, _| Ok(()),
        effect: |field, kind| ability(field).effect(kind),
        required: &[FieldPath::Command],
        default_of: |field| ability(field).default,
        kept: |_, _| None,
    }
}

fn ability(field: &FieldPath) -> Ability {
    match field {
        FieldPath::Image | FieldPath::Pull => Ability::unsupported(
            "the local provider runs programs of the repository, not images: write `command`, or use provider docker",
        ),
        FieldPath::User => Ability::unsupported(
            "which user a local replica runs as is the operator's to say: `trueup env set … --run-as USER`",
        ),
        FieldPath::Ports(_) => Ability::unsupported(
            "a local replica listens on the port that it finds in PORT, and nothing is published: put a proxy in front",
        ),
        FieldPath::Volumes(_) => Ability::unsupported(
            "a local replica sees the machine's own file system: let it write to a directory that its user owns",
        ),
        FieldPath::HealthPort => Ability::unsupported(
            "a local replica listens on the port that it finds in PORT, and its health check dials that one: leave \
             `healthcheck.port` out",
        ),
        FieldPath::Env(name) if name == "PORT" => Ability::unsupported(
            "PORT is given by the supervisor, from the operator's range, so that old and new can run side by side",
        ),
        FieldPath::Env(name) if name == super::supervisor::MARK => {
            Ability::unsupported("TRUEUP_REPLICA is the supervisor's own mark")
        }
        FieldPath::Source | FieldPath::Entrypoint | FieldPath::Command | FieldPath::Env(_) | FieldPath::Labels(_) => {
            Ability::REPLACED
        }
        FieldPath::WorkingDir => Ability::REPLACED.or("the checkout"),
        // Starts, stops, prepares and removes: no replica is replaced for them.
        FieldPath::Stopped => Ability::IN_PLACE.or("false"),
        FieldPath::Replicas => Ability::IN_PLACE.or("1"),
        // A limit that is taken away may be one that only root could lift again, so only setting is done in place.
        FieldPath::CpuLimit | FieldPath::MemoryLimit => Ability::SET_IN_PLACE.or("no limit"),
        FieldPath::Restart => Ability::SET_IN_PLACE.or("unless-stopped"),
        FieldPath::StopGracePeriod => Ability::SET_IN_PLACE.or("10s"),
        FieldPath::Port
        | FieldPath::DependsOn
        | FieldPath::HealthPath
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

fn support_without_cpu(field: &FieldPath) -> Support {
    match field {
        FieldPath::CpuLimit => Support::Unsupported(
            "the supervisor was given no cgroup v2 with the cpu controller, and nothing else limits CPU: run it from its \
             systemd unit (Delegate=yes), or leave `resources.cpu_limit` out",
        ),
        other => ability(other).support,
    }
}
