//! The body that creates a replica: what is declared, over what its predecessor had and nobody manages, over what the
//! image supplies.
//!
//! Pure. Here a secret becomes a container's environment; nothing here may end in a log or an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, NetworkingConfig,
    PortBinding as EngineBinding, RestartPolicy as EnginePolicy, RestartPolicyNameEnum,
};
use secrecy::{ExposeSecret, SecretString};

use super::capability::whole_seconds;
use super::carry;
use super::convert::{DEFAULT_RESTART, Words};
use super::facts::ImageFacts;
use super::labels::{self, Identity};
use super::mounts;
use crate::ids::{EnvironmentRef, SecretName};
use crate::live::field::FieldPath;
use crate::live::value::{PortBinding, RestartPolicy, Value};

/// All that a new replica is made of.
pub(super) struct Blueprint<'a> {
    pub(super) environment: &'a EnvironmentRef,
    pub(super) identity: &'a Identity,
    /// The declared leaves.
    pub(super) leaves: &'a BTreeMap<FieldPath, Value>,
    /// Leaves that are not carried over.
    pub(super) withdrawn: &'a BTreeSet<FieldPath>,
    pub(super) secrets: &'a BTreeMap<SecretName, SecretString>,
    /// How the image is named to the Engine.
    pub(super) image_name: &'a str,
    /// The image that it will run.
    pub(super) image: &'a ImageFacts,
    /// The replica whose place it takes, and that one's image.
    pub(super) from: Option<(&'a ContainerInspectResponse, &'a ImageFacts)>,
    /// The environment's network.
    pub(super) network: &'a str,
}

/// The words of a command line that are given; `None` leaves them to the image.
type OwnWords = Option<Vec<String>>;

/// What is asked of the Engine. Its environment holds secrets: it prints as its image alone.
pub(super) struct Creation {
    pub(super) body: ContainerCreateBody,
    /// Networks that are joined after the creation, beside the environment's own.
    pub(super) further_networks: BTreeMap<String, EndpointSettings>,
}

impl std::fmt::Debug for Creation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Creation").field("image", &self.body.image).finish_non_exhaustive()
    }
}

impl Blueprint<'_> {
    /// Whether the predecessor is the replica of the same number, whose place is taken; otherwise it is but a model, and
    /// what only one can have is not carried over.
    pub(super) fn takes_over(&self) -> bool {
        let labels = self.from.and_then(|(inspect, _)| inspect.config.as_ref()?.labels.as_ref());
        labels.and_then(Identity::of).is_some_and(|from| from.index == self.identity.index)
    }

    /// Whether a leaf of the predecessor stays: neither declared anew nor withdrawn.
    pub(super) fn carries(&self, field: &FieldPath) -> bool {
        !self.leaves.contains_key(field) && !self.withdrawn.contains(field)
    }

    /// The creation.
    ///
    /// # Errors
    /// What is missing, in words that hold no secret.
    pub(super) fn creation(&self) -> Result<Creation, String> {
        let nothing = (ContainerConfig::default(), HostConfig::default());
        let (old, old_host) = match self.from {
            Some((inspect, _)) => {
                (inspect.config.clone().unwrap_or_default(), inspect.host_config.clone().unwrap_or_default())
            }
            None => nothing,
        };
        let mut host = carry::host_config(self, old_host);
        self.set_resources(&mut host)?;
        self.set_ports(&mut host)?;
        self.set_volumes(&mut host)?;
        let own_network = carry::joins_network(&host);
        if own_network {
            host.network_mode = Some(self.network.to_owned());
        }
        let (entrypoint, cmd) = self.words(&old)?;
        let mut exposed: BTreeSet<String> = carry::exposed_ports(self, &old);
        exposed.extend(host.port_bindings.iter().flatten().map(|(port, _)| port.clone()));
        let body = ContainerCreateBody {
            image: Some(self.image_name.to_owned()),
            env: Some(self.env(&old)?),
            labels: Some(self.labels(&old)?),
            entrypoint,
            cmd,
            user: self.text(&FieldPath::User, carry::user(self, &old))?,
            working_dir: self.text(&FieldPath::WorkingDir, carry::working_dir(self, &old))?,
            stop_timeout: self.stop_timeout(&old)?,
            exposed_ports: (!exposed.is_empty()).then(|| exposed.into_iter().collect()),
            host_config: Some(host),
            networking_config: own_network.then(|| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(self.network.to_owned(), carry::own_endpoint(self))])),
            }),
            ..carry::config(self, &old)
        };
        Ok(Creation {
            body,
            further_networks: if own_network { carry::further_networks(self) } else { BTreeMap::new() },
        })
    }

    fn env(&self, old: &ContainerConfig) -> Result<Vec<String>, String> {
        let mut env = carry::env(self, old);
        for (field, value) in self.leaves {
            let FieldPath::Env(key) = field else { continue };
            let text = match value {
                Value::Text(text) => text.to_string(),
                Value::Secret(secret) => {
                    let name = secret.name.as_ref().ok_or_else(|| format!("{field} is a secret without a name"))?;
                    let value = self.secrets.get(name).ok_or_else(|| format!("the secret {name} has no value"))?;
                    value.expose_secret().to_owned()
                }
                _ => return Err(mistyped(field)),
            };
            env.insert(key.to_string(), format!("{key}={text}"));
        }
        Ok(env.into_values().collect())
    }

    fn labels(&self, old: &ContainerConfig) -> Result<HashMap<String, String>, String> {
        let mut all = carry::labels(self, old);
        for (field, value) in self.leaves {
            let FieldPath::Labels(key) = field else { continue };
            let Value::Text(text) = value else { return Err(mistyped(field)) };
            all.insert(key.to_string(), text.to_string());
        }
        all.extend(labels::replica(self.environment, self.identity));
        Ok(all)
    }

    /// Entry point and command: declared, else carried where the predecessor's were its own.
    fn words(&self, old: &ContainerConfig) -> Result<(OwnWords, OwnWords), String> {
        let carried = self.from.map(|(_, image)| Words::of(old, image));
        let kept = |field: &FieldPath, words: Option<(&Vec<String>, bool)>| match self.leaves.get(field) {
            Some(Value::Words(words)) => Ok(Some(words.to_vec())),
            Some(_) => Err(mistyped(field)),
            None => Ok(words.filter(|(_, supplied)| !supplied && self.carries(field)).map(|(words, _)| words.clone())),
        };
        let of_entrypoint = carried.as_ref().map(|words| (&words.entrypoint, words.entrypoint_supplied));
        let mut entrypoint = kept(&FieldPath::Entrypoint, of_entrypoint)?;
        let command =
            kept(&FieldPath::Command, carried.as_ref().map(|words| (&words.command, words.command_supplied)))?;
        // The Engine takes an empty command for "the image's", unless an entry point is given.
        if command.as_ref().is_some_and(Vec::is_empty) && entrypoint.is_none() && !self.image.command.is_empty() {
            entrypoint = Some(self.image.entrypoint.clone());
        }
        // An empty entry point is written as one empty word (`docker run --entrypoint ""`).
        let entrypoint = entrypoint.map(|words| if words.is_empty() { vec![String::new()] } else { words });
        Ok((entrypoint, command.filter(|words| !words.is_empty())))
    }

    fn text(&self, field: &FieldPath, carried: Option<String>) -> Result<Option<String>, String> {
        match self.leaves.get(field) {
            Some(Value::Text(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(mistyped(field)),
            None => Ok(carried.filter(|_| self.carries(field))),
        }
    }

    fn stop_timeout(&self, old: &ContainerConfig) -> Result<Option<i64>, String> {
        let field = FieldPath::StopGracePeriod;
        match self.leaves.get(&field) {
            // The Engine counts whole seconds: a part of one counts as one.
            Some(Value::Duration(grace)) => Ok(i64::try_from(whole_seconds(*grace).0 / 1_000).ok()),
            Some(_) => Err(mistyped(&field)),
            None => Ok(old.stop_timeout.filter(|_| self.carries(&field))),
        }
    }

    fn set_resources(&self, host: &mut HostConfig) -> Result<(), String> {
        match self.leaves.get(&FieldPath::CpuLimit) {
            Some(Value::Cpu(cpus)) => {
                (host.cpu_quota, host.cpu_period) = (None, None);
                host.nano_cpus = i64::try_from(cpus.0).ok();
            }
            Some(_) => return Err(mistyped(&FieldPath::CpuLimit)),
            None if self.carries(&FieldPath::CpuLimit) => {}
            None => (host.nano_cpus, host.cpu_quota, host.cpu_period) = (None, None, None),
        }
        match self.leaves.get(&FieldPath::MemoryLimit) {
            Some(Value::Memory(bytes)) => {
                // Swap counts into `MemorySwap`: the same figure allows none beyond the limit.
                host.memory = i64::try_from(bytes.0).ok();
                host.memory_swap = host.memory;
            }
            Some(_) => return Err(mistyped(&FieldPath::MemoryLimit)),
            None if self.carries(&FieldPath::MemoryLimit) => {}
            None => (host.memory, host.memory_swap) = (None, None),
        }
        match self.leaves.get(&FieldPath::Restart) {
            Some(Value::Restart(policy)) => host.restart_policy = Some(engine_policy(*policy)),
            Some(_) => return Err(mistyped(&FieldPath::Restart)),
            None if self.from.is_some() && self.carries(&FieldPath::Restart) => {}
            None => host.restart_policy = Some(engine_policy(DEFAULT_RESTART)),
        }
        Ok(())
    }

    fn set_ports(&self, host: &mut HostConfig) -> Result<(), String> {
        for (field, value) in self.leaves {
            let FieldPath::Ports(port) = field else { continue };
            let Value::Ports(bindings) = value else { return Err(mistyped(field)) };
            let bindings = bindings.iter().map(engine_binding).collect();
            host.port_bindings.get_or_insert_default().insert(port.to_string(), Some(bindings));
        }
        Ok(())
    }

    fn set_volumes(&self, host: &mut HostConfig) -> Result<(), String> {
        for (field, value) in self.leaves {
            let FieldPath::Volumes(path) = field else { continue };
            let Value::Volume(mount) = value else { return Err(mistyped(field)) };
            host.mounts.get_or_insert_default().push(mounts::engine_mount(path, mount));
        }
        Ok(())
    }
}

fn mistyped(field: &FieldPath) -> String {
    format!("{field} has a value of another kind than the docker provider expects")
}

/// A restart policy as the Engine writes it.
pub(super) fn engine_policy(policy: RestartPolicy) -> EnginePolicy {
    let (name, max) = match policy {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, None),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, None),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        RestartPolicy::OnFailure { max } => (RestartPolicyNameEnum::ON_FAILURE, max),
    };
    EnginePolicy { name: Some(name), maximum_retry_count: Some(max.map_or(0, i64::from)) }
}

fn engine_binding(binding: &PortBinding) -> EngineBinding {
    EngineBinding {
        host_ip: Some(binding.host_ip.map(|ip| ip.to_string()).unwrap_or_default()),
        host_port: Some(binding.host_port.map(|port| port.to_string()).unwrap_or_default()),
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
