//! The value of a leaf in normal form: two values that mean the same are equal.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Fingerprint, SecretName, ServiceName, SourceHash};
use crate::live::image::ImageValue;
use crate::live::quantity::{Bytes, Millis, NanoCpus};
use crate::live::shared::SharedText;

// Every look holds each leaf several times: a copy shares whatever is larger than a number.
/// A leaf's value. Which variant a field has is fixed by its type; `Env` alone may be plain or secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Value {
    /// Plain text.
    Text(SharedText),
    /// The words of a command line, in order.
    Words(Arc<[String]>),
    /// A set of services.
    Services(Arc<BTreeSet<ServiceName>>),
    /// A whole number.
    Integer(u64),
    /// True or false.
    Flag(bool),
    /// A duration.
    Duration(Millis),
    /// An amount of memory.
    Memory(Bytes),
    /// A CPU limit.
    Cpu(NanoCpus),
    /// An image with its content.
    Image(Arc<ImageValue>),
    /// Published addresses of one container port.
    Ports(Arc<BTreeSet<PortBinding>>),
    /// One mount.
    Volume(VolumeMount),
    /// A restart policy.
    Restart(RestartPolicy),
    /// A pull policy.
    Pull(PullPolicy),
    /// A deploy strategy.
    Strategy(Strategy),
    /// A secret, by fingerprint only.
    Secret(SecretValue),
    /// Code.
    Source(SourceHash),
}

impl Value {
    /// Whether the two mean the same. Derived equality, but for images (the same content under one name counts,
    /// whichever of its digests either side knows), secrets (the fingerprint counts, not the name) and volumes (a
    /// volume is the one that goes by its name, whoever made it).
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Image(a), Value::Image(b)) => a.same(b),
            (Value::Secret(a), Value::Secret(b)) => a.fingerprint.is_some() && a.fingerprint == b.fingerprint,
            (Value::Volume(a), Value::Volume(b)) => a.read_only == b.read_only && a.source.same(&b.source),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Words(words) => write!(f, "{words:?}"),
            Value::Services(names) => {
                f.write_str("[")?;
                for (i, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Integer(number) => write!(f, "{number}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Duration(millis) => write!(f, "{millis}"),
            Value::Memory(bytes) => write!(f, "{bytes}"),
            Value::Cpu(cpus) => write!(f, "{cpus}"),
            Value::Image(image) => write!(f, "{image}"),
            Value::Ports(bindings) => {
                for (i, binding) in bindings.iter().enumerate() {
                    write!(f, "{}{binding}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Value::Volume(mount) => write!(f, "{mount}"),
            Value::Restart(policy) => write!(f, "{policy}"),
            Value::Pull(policy) => write!(f, "{policy}"),
            Value::Strategy(strategy) => write!(f, "{strategy}"),
            Value::Secret(_) => f.write_str("(secret)"),
            Value::Source(hash) => write!(f, "{}", hash.short()),
        }
    }
}

/// A secret as it is compared: never the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretValue {
    /// The name under which the environment holds it; `None` on the live side.
    pub name: Option<SecretName>,
    /// Keyed fingerprint of the value; `None` where it could not be resolved.
    pub fingerprint: Option<Fingerprint>,
}

/// One published address. A host port of `None` lets the provider choose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PortBinding {
    /// The host's address; `None` is every address.
    #[schema(value_type = Option<String>)]
    pub host_ip: Option<std::net::IpAddr>,
    /// The host's port.
    pub host_port: Option<u16>,
}

impl fmt::Display for PortBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(ip @ std::net::IpAddr::V6(_)) => write!(f, "[{ip}]:")?,
            Some(ip) => write!(f, "{ip}:")?,
            None => f.write_str("*:")?,
        }
        match self.host_port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("(any)"),
        }
    }
}

/// What is mounted at a path, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VolumeMount {
    /// What is mounted.
    pub source: VolumeSource,
    /// Whether the mount refuses writes.
    pub read_only: bool,
}

/// Where a mount's content lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum VolumeSource {
    /// A volume by the name that the provider knows it by (`PROJECT-ENVIRONMENT-NAME`, or as is where external).
    Named(SharedText),
    /// An external volume: it must exist; Trueup neither creates nor renames it.
    External(SharedText),
    /// A directory or file of the host, absolute.
    Host(SharedText),
}

impl VolumeSource {
    /// The text that names it, whichever kind it is.
    pub fn name(&self) -> &str {
        match self {
            VolumeSource::Named(name) | VolumeSource::External(name) | VolumeSource::Host(name) => name,
        }
    }
}

impl VolumeSource {
    /// Whether both are the same: an external volume and one of Trueup's own are the same under the same name.
    pub fn same(&self, other: &VolumeSource) -> bool {
        matches!(self, VolumeSource::Host(_)) == matches!(other, VolumeSource::Host(_)) && self.name() == other.name()
    }
}

impl fmt::Display for VolumeMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.source.name(), if self.read_only { " (read-only)" } else { "" })
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Every value, in order of its word.
            pub const ALL: &'static [($name, &'static str)] = &[$(($name::$variant, $text)),+];
            /// The word for it in the file.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
            /// The value that a word of the file means.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, text)| *text == word).map(|(value, _)| *value)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(
    /// When a tag is resolved, and where.
    PullPolicy {
        /// The tag resolves at its registry for every plan.
        Always = "always",
        /// What the Engine has under the tag counts; pulled only where it has nothing.
        IfNotPresent = "if-not-present",
        /// What the Engine has counts; never pulled.
        Never = "never",
    }
);

words!(
    /// How a new release takes the place of the old one.
    Strategy {
        /// Prepare the new, stop the old, start the new, gate, else the old again.
        Recreate = "recreate",
    }
);

/// What happens when the process ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "policy", rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// It starts again, also after the machine's restart.
    Always,
    /// As `Always`, unless someone stopped it.
    UnlessStopped,
    /// It starts again after a failure, at most `max` times (`None`: always).
    OnFailure {
        /// The most restarts.
        max: Option<u32>,
    },
}

impl RestartPolicy {
    /// Parses `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:5`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "no" => Some(RestartPolicy::No),
            "always" => Some(RestartPolicy::Always),
            "unless-stopped" => Some(RestartPolicy::UnlessStopped),
            "on-failure" => Some(RestartPolicy::OnFailure { max: None }),
            _ => {
                let max = word.strip_prefix("on-failure:")?.parse().ok()?;
                Some(RestartPolicy::OnFailure { max: (max > 0).then_some(max) })
            }
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartPolicy::No => f.write_str("no"),
            RestartPolicy::Always => f.write_str("always"),
            RestartPolicy::UnlessStopped => f.write_str("unless-stopped"),
            RestartPolicy::OnFailure { max: None } => f.write_str("on-failure"),
            RestartPolicy::OnFailure { max: Some(max) } => write!(f, "on-failure:{max}"),
        }
    }
}
