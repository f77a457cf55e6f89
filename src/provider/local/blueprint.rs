//! The leaves of a replica → what the supervisor is to make of them. Pure.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::ids::{EnvironmentRef, SecretName};
use crate::live::LiveLeaf;
use crate::live::Observed;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::provider::ReplicaSpec;
use crate::provider::local::supervisor::replica::{Blueprint, Change, EnvValues, RunAs};
use crate::settings::PortRange;

/// What the supervisor is told of a new replica.
pub(super) struct Draft {
    pub(super) blueprint: Blueprint,
    pub(super) env: EnvValues,
}

/// Where replicas of an environment run, by the operator's word.
pub(super) struct Ground<'a> {
    pub(super) environment: &'a EnvironmentRef,
    pub(super) user: &'a RunAs,
    pub(super) ports: Option<PortRange>,
}

/// Draws a new replica up. `old` are the leaves of the replica whose place it takes.
///
/// # Errors
/// A leaf that a local replica cannot have, a secret without a value, no commit: for people.
pub(super) fn draft(
    ground: &Ground<'_>,
    spec: &ReplicaSpec<'_>,
    old: &BTreeMap<FieldPath, Observed<LiveLeaf>>,
) -> Result<Draft, String> {
    let commit = spec.commit.ok_or("a local replica runs a commit's code, and this plan rests on no commit")?;
    let mut draft = Draft {
        blueprint: Blueprint {
            environment: ground.environment.clone(),
            service: spec.service.clone(),
            index: spec.index,
            release: spec.release,
            commit: commit.clone(),
            source: None,
            entrypoint: None,
            command: None,
            working_dir: None,
            labels: BTreeMap::new(),
            restart: None,
            grace: None,
            memory: None,
            cpu: None,
            secret_env: std::collections::BTreeSet::new(),
            user: ground.user.clone(),
            ports: ground.ports,
        },
        env: EnvValues::default(),
    };
    for (field, leaf) in old {
        let unmanaged = !spec.leaves.contains_key(field) && !spec.withdrawn.contains(field);
        match leaf {
            // The code is the commit's, whatever ran before.
            _ if !unmanaged || *field == FieldPath::Source || *field == FieldPath::Stopped => {}
            Observed::Known(leaf) if leaf.supplied => {}
            Observed::Known(leaf) => {
                draft.take(field, &leaf.value, spec.secrets)?;
                // Nobody declared it, so nobody knows that it is none.
                if let FieldPath::Env(name) = field {
                    draft.blueprint.secret_env.insert(name.to_string());
                }
            }
            Observed::Unknown(why) => {
                return Err(format!("{field} is not declared and would be carried over, but cannot be seen: {why}"));
            }
        }
    }
    for (field, value) in spec.leaves {
        draft.take(field, value, spec.secrets)?;
    }
    Ok(draft)
}

impl Draft {
    fn take(
        &mut self,
        field: &FieldPath,
        value: &Value,
        secrets: &BTreeMap<SecretName, SecretString>,
    ) -> Result<(), String> {
        let blueprint = &mut self.blueprint;
        match (field, value) {
            (FieldPath::Source, Value::Source(hash)) => blueprint.source = Some(hash.clone()),
            (FieldPath::Entrypoint, Value::Words(words)) => blueprint.entrypoint = Some(words.to_vec()),
            (FieldPath::Command, Value::Words(words)) => blueprint.command = Some(words.to_vec()),
            (FieldPath::WorkingDir, Value::Text(path)) => blueprint.working_dir = Some(path.to_string()),
            (FieldPath::Env(name), Value::Text(text)) => {
                self.env.0.insert(name.to_string(), text.as_str().into());
            }
            (FieldPath::Env(name), Value::Secret(secret)) => {
                let value = secret.name.as_ref().and_then(|name| secrets.get(name));
                let value = value.ok_or_else(|| format!("the secret of {field} has no value"))?;
                self.env.0.insert(name.to_string(), value.clone());
                blueprint.secret_env.insert(name.to_string());
            }
            (FieldPath::Labels(key), Value::Text(text)) => {
                blueprint.labels.insert(key.to_string(), text.to_string());
            }
            (FieldPath::MemoryLimit, Value::Memory(bytes)) => blueprint.memory = Some(*bytes),
            (FieldPath::CpuLimit, Value::Cpu(cpus)) => blueprint.cpu = Some(*cpus),
            (FieldPath::Restart, Value::Restart(policy)) => blueprint.restart = Some(*policy),
            (FieldPath::StopGracePeriod, Value::Duration(grace)) => blueprint.grace = Some(*grace),
            // Policy of the deploy and of the probes, or seen to by starting and counting.
            (
                FieldPath::Stopped
                | FieldPath::Replicas
                | FieldPath::Port
                | FieldPath::DependsOn
                | FieldPath::HealthPath
                | FieldPath::HealthCommand
                | FieldPath::HealthInterval
                | FieldPath::HealthTimeout
                | FieldPath::HealthStartPeriod
                | FieldPath::HealthyThreshold
                | FieldPath::UnhealthyThreshold
                | FieldPath::DeployStrategy
                | FieldPath::RollbackOnFailure,
                _,
            ) => {}
            (field, _) => return Err(format!("a local replica cannot have {field}")),
        }
        Ok(())
    }
}

/// The change in place that leaves ask for.
///
/// # Errors
/// A leaf that cannot be changed in place.
pub(super) fn change(leaves: &BTreeMap<FieldPath, Value>) -> Result<Change, String> {
    let mut change = Change::default();
    for (field, value) in leaves {
        match (field, value) {
            (FieldPath::MemoryLimit, Value::Memory(bytes)) => change.memory = Some(*bytes),
            (FieldPath::CpuLimit, Value::Cpu(cpus)) => change.cpu = Some(*cpus),
            (FieldPath::Restart, Value::Restart(policy)) => change.restart = Some(*policy),
            (FieldPath::StopGracePeriod, Value::Duration(grace)) => change.grace = Some(*grace),
            (field, _) => return Err(format!("{field} of a local replica cannot be changed while it runs")),
        }
    }
    Ok(change)
}
