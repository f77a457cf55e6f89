//! The leaves of a service: every field that can be declared, recorded or observed, by its path.
//!
//! One closed enum on purpose: a new field does not compile until the comparison, every provider and the
//! report have decided what it means to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::schema_as_text;
use crate::live::shared::SharedText;

/// The path of one leaf within a service. Its `Display` is what reports print and `trueup why` accepts:
/// `resources.memory_limit`, `env.LOG_LEVEL`, `labels["com.acme.team"]`, `ports["8080/tcp"]`.
///
/// The derived order is the order of every report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldPath {
    /// The container image, with the content its tag resolved to.
    Image,
    /// The service's code.
    Source,
    /// What runs before `command`'s words.
    Entrypoint,
    /// The words after the entry point.
    Command,
    /// The user that the process runs as.
    User,
    /// The process's working directory.
    WorkingDir,
    /// Implicit in every declared service: `false`, as a declared service runs. Live says `true` where a replica
    /// is stopped (or paused) although its restart policy would have it run.
    Stopped,
    /// How many replicas run.
    Replicas,
    /// One environment variable, by name.
    Env(SharedText),
    /// Published addresses of one container port, keyed `PORT/PROTOCOL`.
    Ports(SharedText),
    /// One mount, keyed by its absolute path in the container.
    Volumes(SharedText),
    /// One label, by key.
    Labels(SharedText),
    /// CPU limit.
    CpuLimit,
    /// Memory limit.
    MemoryLimit,
    /// Restart policy.
    Restart,
    /// How long a stop may take before it becomes a kill.
    StopGracePeriod,
    /// Where the process listens.
    Port,
    /// When a tag is resolved and pulled.
    Pull,
    /// Services that must be healthy first.
    DependsOn,
    /// Health check: path of an HTTP GET.
    HealthPath,
    /// Health check: port dialled, where it is not `port`.
    HealthPort,
    /// Health check: command run in the replica.
    HealthCommand,
    /// Time between probes.
    HealthInterval,
    /// Time one probe may take.
    HealthTimeout,
    /// Time after a start in which failures do not count.
    HealthStartPeriod,
    /// Successes in a row that make a replica healthy.
    HealthyThreshold,
    /// Failures in a row that make it unhealthy.
    UnhealthyThreshold,
    /// Deploy strategy.
    DeployStrategy,
    /// Whether a failed deploy brings the old release back.
    RollbackOnFailure,
}

/// What a map-like field does with its entries; single fields have none.
impl FieldPath {
    /// The path's fixed part, as the file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            FieldPath::Image => "image",
            FieldPath::Source => "source",
            FieldPath::Entrypoint => "entrypoint",
            FieldPath::Command => "command",
            FieldPath::User => "user",
            FieldPath::WorkingDir => "working_dir",
            FieldPath::Stopped => "stopped",
            FieldPath::Replicas => "replicas",
            FieldPath::Env(_) => "env",
            FieldPath::Ports(_) => "ports",
            FieldPath::Volumes(_) => "volumes",
            FieldPath::Labels(_) => "labels",
            FieldPath::CpuLimit => "resources.cpu_limit",
            FieldPath::MemoryLimit => "resources.memory_limit",
            FieldPath::Restart => "restart",
            FieldPath::StopGracePeriod => "stop_grace_period",
            FieldPath::Port => "port",
            FieldPath::Pull => "pull",
            FieldPath::DependsOn => "depends_on",
            FieldPath::HealthPath => "healthcheck.path",
            FieldPath::HealthPort => "healthcheck.port",
            FieldPath::HealthCommand => "healthcheck.command",
            FieldPath::HealthInterval => "healthcheck.interval",
            FieldPath::HealthTimeout => "healthcheck.timeout",
            FieldPath::HealthStartPeriod => "healthcheck.start_period",
            FieldPath::HealthyThreshold => "healthcheck.healthy_threshold",
            FieldPath::UnhealthyThreshold => "healthcheck.unhealthy_threshold",
            FieldPath::DeployStrategy => "deploy.strategy",
            FieldPath::RollbackOnFailure => "deploy.rollback_on_failure",
        }
    }

    /// The entry's key, for the map-like fields.
    pub fn key(&self) -> Option<&str> {
        match self {
            FieldPath::Env(key) | FieldPath::Ports(key) | FieldPath::Volumes(key) | FieldPath::Labels(key) => Some(key),
            _ => None,
        }
    }

    /// Every field without a key, in report order. Tests use it to leave none out.
    pub const SINGLE: [FieldPath; 25] = [
        FieldPath::Image,
        FieldPath::Source,
        FieldPath::Entrypoint,
        FieldPath::Command,
        FieldPath::User,
        FieldPath::WorkingDir,
        FieldPath::Stopped,
        FieldPath::Replicas,
        FieldPath::CpuLimit,
        FieldPath::MemoryLimit,
        FieldPath::Restart,
        FieldPath::StopGracePeriod,
        FieldPath::Port,
        FieldPath::Pull,
        FieldPath::DependsOn,
        FieldPath::HealthPath,
        FieldPath::HealthPort,
        FieldPath::HealthCommand,
        FieldPath::HealthInterval,
        FieldPath::HealthTimeout,
        FieldPath::HealthStartPeriod,
        FieldPath::HealthyThreshold,
        FieldPath::UnhealthyThreshold,
        FieldPath::DeployStrategy,
        FieldPath::RollbackOnFailure,
    ];
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain =
            |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        match self.key() {
            None => f.write_str(self.name()),
            Some(key) if plain(key) => write!(f, "{}.{key}", self.name()),
            Some(key) => {
                write!(f, "{}[\"", self.name())?;
                for c in key.chars() {
                    write_escaped(f, c)?;
                }
                f.write_str("\"]")
            }
        }
    }
}

/// One character of a quoted key as JSON writes it, so that it reads back; what cannot be printed is escaped.
fn write_escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\'' => f.write_str("'"),
        c if c.escape_debug().count() == 1 => write!(f, "{c}"),
        c => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}")),
    }
}

/// The text names no leaf of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a field of a service; write it as reports do, such as resources.memory_limit, env.LOG_LEVEL or ports[\"8080/tcp\"]"
)]
pub struct UnknownField(pub String);

impl FromStr for FieldPath {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        if let Some(single) = FieldPath::SINGLE.iter().find(|field| field.name() == text) {
            return Ok(single.clone());
        }
        let unknown = || UnknownField(text.chars().take(120).collect());
        let (name, key) = match text.split_once('[') {
            Some((name, rest)) => {
                let quoted = rest.strip_suffix(']').ok_or_else(unknown)?;
                let key = match serde_json::from_str::<String>(quoted) {
                    Ok(key) => key,
                    Err(_) if !quoted.contains('"') => quoted.to_owned(),
                    Err(_) => return Err(unknown()),
                };
                (name, key)
            }
            None => {
                let (name, key) = text.split_once('.').ok_or_else(unknown)?;
                (name, key.to_owned())
            }
        };
        match name {
            _ if key.is_empty() => Err(unknown()),
            "env" => Ok(FieldPath::Env(key.into())),
            "ports" => Ok(FieldPath::Ports(key.into())),
            "volumes" => Ok(FieldPath::Volumes(key.into())),
            "labels" => Ok(FieldPath::Labels(key.into())),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

schema_as_text!(FieldPath, "a leaf's path, such as resources.memory_limit, env.LOG_LEVEL or ports[\"8080/tcp\"]");

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn every_path_round_trips_through_its_text() {
        let keyed = [
            "LOG_LEVEL",
            "com.acme.team",
            "8080/tcp",
            "/var/lib/a b",
            "quote\"d",
            "it's",
            "back\\slash",
            "tab\t",
            "\0\u{1b}[2J\u{202e}",
            "e\u{301}",
            "日本",
            "\u{e0001}🫑",
        ]
        .into_iter()
        .flat_map(|key| {
            [
                FieldPath::Env(key.into()),
                FieldPath::Ports(key.into()),
                FieldPath::Volumes(key.into()),
                FieldPath::Labels(key.into()),
            ]
        });
        for field in FieldPath::SINGLE.into_iter().chain(keyed) {
            assert_eq!(field.to_string().parse::<FieldPath>(), Ok(field));
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["", "env", "env.", "resources", "resources.memory", "labels[", "labels[\"a", "unknown.key"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
    }
}
