//! What the local provider can see and change, field by field. Pure.

use crate::live::capability::{Capabilities, ChangeKind, Effect, Support};
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// The provider's word.
pub const PROVIDER: &str = "local";

/// Its abilities; whether CPU can be limited depends on the machine.
pub(super) fn capabilities(cpu_limits: bool) -> Capabilities {
    let support = if cpu_limits { support as fn(&FieldPath) -> Support } else { support_without_cpu };
    let accepts = |_: &FieldPath, _: &Value| Ok(());
    Capabilities {
        provider: PROVIDER,
        support,
        accepts,
        effect,
        required: &[FieldPath::Command],
        default_of,
        kept: |_, _| None,
    }
}

fn support(field: &FieldPath) -> Support {
    match field {
        FieldPath::Image | FieldPath::Pull => Support::Unsupported(
            "the local provider runs programs of the repository, not images: write `command`, or use provider docker",
        ),
        FieldPath::User => Support::Unsupported(
            "which user a local replica runs as is the operator's to say: `trueup env set … --run-as USER`",
        ),
        FieldPath::Ports(_) => Support::Unsupported(
            "a local replica listens on the port that it finds in PORT, and nothing is published: put a proxy in front",
        ),
        FieldPath::Volumes(_) => Support::Unsupported(
            "a local replica sees the machine's own file system: let it write to a directory that its user owns",
        ),
        FieldPath::HealthPort => Support::Unsupported(
            "a local replica listens on the port that it finds in PORT, and its health check dials that one: leave \
             `healthcheck.port` out",
        ),
        FieldPath::Env(name) if name == "PORT" => Support::Unsupported(
            "PORT is given by the supervisor, from the operator's range, so that old and new can run side by side",
        ),
        FieldPath::Env(name) if name == super::supervisor::MARK => {
            Support::Unsupported("TRUEUP_REPLICA is the supervisor's own mark")
        }
        FieldPath::Source
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::WorkingDir
        | FieldPath::Stopped
        | FieldPath::Replicas
        | FieldPath::Env(_)
        | FieldPath::Labels(_)
        | FieldPath::CpuLimit
        | FieldPath::MemoryLimit
        | FieldPath::Restart
        | FieldPath::StopGracePeriod => Support::Observed,
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
        | FieldPath::RollbackOnFailure => Support::Policy,
    }
}

fn support_without_cpu(field: &FieldPath) -> Support {
    match field {
        FieldPath::CpuLimit => Support::Unsupported(
            "the supervisor was given no cgroup v2 with the cpu controller, and nothing else limits CPU: run it from its \
             systemd unit (Delegate=yes), or leave `resources.cpu_limit` out",
        ),
        other => support(other),
    }
}

fn effect(field: &FieldPath, change: ChangeKind) -> Effect {
    match field {
        // Starts, stops, prepares and removes: no replica is replaced for them.
        FieldPath::Stopped | FieldPath::Replicas => Effect::InPlace,
        // A limit that is taken away may be one that only root could lift again, so only setting is done in place.
        FieldPath::CpuLimit | FieldPath::MemoryLimit | FieldPath::Restart | FieldPath::StopGracePeriod => {
            match change {
                ChangeKind::Set => Effect::InPlace,
                ChangeKind::Withdraw => Effect::Replace,
            }
        }
        FieldPath::Image
        | FieldPath::Source
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::User
        | FieldPath::WorkingDir
        | FieldPath::Env(_)
        | FieldPath::Ports(_)
        | FieldPath::Volumes(_)
        | FieldPath::Labels(_) => Effect::Replace,
        FieldPath::Port
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
        | FieldPath::RollbackOnFailure => Effect::Record,
    }
}

fn default_of(field: &FieldPath) -> Option<&'static str> {
    match field {
        FieldPath::CpuLimit | FieldPath::MemoryLimit => Some("no limit"),
        FieldPath::Restart => Some("unless-stopped"),
        FieldPath::StopGracePeriod => Some("10s"),
        FieldPath::WorkingDir => Some("the checkout"),
        FieldPath::Replicas => Some("1"),
        FieldPath::HealthInterval => Some("10s"),
        FieldPath::HealthTimeout => Some("5s"),
        FieldPath::HealthStartPeriod => Some("0s"),
        FieldPath::HealthyThreshold => Some("1"),
        FieldPath::UnhealthyThreshold => Some("3"),
        FieldPath::DeployStrategy => Some("recreate"),
        FieldPath::Image
        | FieldPath::Source
        | FieldPath::Entrypoint
        | FieldPath::Command
        | FieldPath::User
        | FieldPath::Stopped
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
        | FieldPath::RollbackOnFailure => None,
    }
}
