//! What runs, as a provider reports it, and the normal forms in which declared, base and live are compared.
//!
//! Pure. Knows nothing of any provider: their reply types are converted to [`Live`] in their own folders.

pub mod capability;
pub mod field;
pub mod image;
pub mod quantity;
pub mod rule;
pub mod shared;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{RunId, ServiceName};
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// Something that was looked at: seen, or not seen and why. Never mistaken for absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// Seen.
    Known(T),
    /// Could not be seen; the reason is for people and holds no secret.
    Unknown(String),
}

impl<T> Observed<T> {
    /// The value, if it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Observed::Known(value) => Some(value),
            Observed::Unknown(_) => None,
        }
    }

    /// The same observation of something made from the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Observed::Known(value) => Observed::Known(make(value)),
            Observed::Unknown(reason) => Observed::Unknown(reason),
        }
    }
}

/// What a provider reports of one environment. Services are those that carry Trueup's labels for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The services, or why they could not be listed.
    pub services: Observed<BTreeMap<ServiceName, LiveService>>,
}

/// One service as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveService {
    /// Its replicas, ordered by index and then id.
    pub replicas: Vec<LiveReplica>,
    /// The names of replicas that are there and could not be looked at, and why.
    pub unseen: BTreeMap<String, String>,
}

impl LiveService {
    /// Why the service could not be seen whole, where it could not. How many replicas it has, and whether those that
    /// were seen are all that differ, is not known then.
    pub fn unseen_why(&self) -> Option<String> {
        let each = self.unseen.iter().map(|(name, why)| format!("{name}: {why}"));
        (!self.unseen.is_empty()).then(|| each.collect::<Vec<_>>().join("; "))
    }

    /// Replicas whose place another one has taken: several stand at one number where a deploy broke off between its switch
    /// and the removal of the old. Of each number the one that runs counts, of several the latest release's.
    pub fn left_over(&self) -> BTreeSet<&ReplicaId> {
        if self.replicas.len() < 2 {
            return BTreeSet::new();
        }
        let rank = |replica: &LiveReplica| (!matches!(replica.health, Health::Stopped { .. }), replica.release);
        let mut current: BTreeMap<u32, &LiveReplica> = BTreeMap::new();
        for replica in &self.replicas {
            let holder = current.entry(replica.index).or_insert(replica);
            if (rank(replica), &replica.id) > (rank(holder), &holder.id) {
                *holder = replica;
            }
        }
        self.replicas.iter().filter(|replica| current[&replica.index].id != replica.id).map(|one| &one.id).collect()
    }
}

/// One replica as it runs. Until it is sealed its environment holds secrets, so it prints the names alone.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveReplica {
    /// The provider's id for it.
    pub id: ReplicaId,
    /// Its name, for people (`web-1`).
    pub name: String,
    /// Its number within the service, from 1.
    pub index: u32,
    /// The run that made it.
    pub release: Option<RunId>,
    /// The leaves that the provider can see. One that is missing is known to be absent. `Replicas` is not among
    /// them: it is counted.
    pub leaves: BTreeMap<FieldPath, Observed<LiveLeaf>>,
    /// How it is doing.
    pub health: Health,
}

impl fmt::Debug for LiveReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A leaf as it may be printed.
        struct Printable<'a>(&'a FieldPath, &'a Observed<LiveLeaf>);
        impl fmt::Debug for Printable<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match (self.0, self.1) {
                    (FieldPath::Env(_), Observed::Known(LiveLeaf { value: Value::Text(_), supplied })) => {
                        f.debug_struct("LiveLeaf").field("value", &"(text)").field("supplied", supplied).finish()
                    }
                    (_, leaf) => leaf.fmt(f),
                }
            }
        }
        let LiveReplica { id, name, index, release, leaves, health } = self;
        let leaves: BTreeMap<_, _> = leaves.iter().map(|(field, leaf)| (field, Printable(field, leaf))).collect();
        f.debug_struct("LiveReplica")
            .field("id", id)
            .field("name", name)
            .field("index", index)
            .field("release", release)
            .field("leaves", &leaves)
            .field("health", health)
            .finish()
    }
}

/// One leaf of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveLeaf {
    /// Its value in normal form.
    pub value: Value,
    /// Whether the image or the provider supplies this value by itself, so that a withdrawn leaf is satisfied by it.
    pub supplied: bool,
}

impl LiveLeaf {
    /// A leaf that someone set.
    pub fn set(value: Value) -> Self {
        LiveLeaf { value, supplied: false }
    }

    /// A leaf with the value that the image or the provider gives by itself.
    pub fn supplied(value: Value) -> Self {
        LiveLeaf { value, supplied: true }
    }
}

/// A provider's own id of a replica: a container id, a supervisor's replica name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct ReplicaId(pub String);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a replica or a service is doing. Being in sync is another question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Health {
    /// Runs, and its probe (where it has one) passes.
    Healthy,
    /// Runs, no verdict yet.
    Starting,
    /// Runs, and its probe fails.
    Unhealthy {
        /// What the probe said.
        why: String,
    },
    /// Ends and is started again, over and over.
    CrashLooping {
        /// How it ended last.
        why: String,
    },
    /// Does not run.
    Stopped {
        /// How it ended.
        why: String,
    },
    /// Could not be seen.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Health {
    /// The state's word.
    pub fn word(&self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Starting => "starting",
            Health::Unhealthy { .. } => "unhealthy",
            Health::CrashLooping { .. } => "crash-looping",
            Health::Stopped { .. } => "stopped",
            Health::Unknown { .. } => "unknown",
        }
    }

    /// The reason that goes with the state, where it has one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Health::Healthy | Health::Starting => None,
            Health::Unhealthy { why }
            | Health::CrashLooping { why }
            | Health::Stopped { why }
            | Health::Unknown { why } => Some(why),
        }
    }
}
