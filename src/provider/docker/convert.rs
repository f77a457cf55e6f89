//! A container's inspection → [`LiveReplica`]: every leaf that the Engine shows, what the image supplies told apart.
//!
//! Pure. The engine's types end here.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerConfig, ContainerInspectResponse, HostConfig, PortMap, RestartPolicyNameEnum};
use jiff::Timestamp;

use super::capability::whole_quota;
use super::facts::{ImageFacts, clean_path, content_of_id, env_map};
use super::health;
use super::labels::{self, Identity};
use super::mounts;
use crate::live::field::FieldPath;
use crate::live::image::{ContentDigest, ImageRef, ImageValue};
use crate::live::quantity::{Bytes, DURATION_MAX, Millis, NanoCpus};
use crate::live::value::{PortBinding, RestartPolicy, Value};
use crate::live::{LiveLeaf, LiveReplica, Observed, ReplicaId};

/// The Engine's grace period where a container has none of its own.
pub(super) const DEFAULT_GRACE: Millis = Millis(10_000);

/// The fewest digits that `docker` prints of an id.
const SHORT_ID: usize = 12;

/// The default of the Engine's CPU period, in microseconds.
pub(super) const DEFAULT_CPU_PERIOD: i64 = 100_000;

/// What a container is set to when the file says nothing of `restart`.
pub(super) const DEFAULT_RESTART: RestartPolicy = RestartPolicy::UnlessStopped;

type Leaves = BTreeMap<FieldPath, Observed<LiveLeaf>>;

/// One container as a replica. `image` is `None` where the Engine no longer has the container's image: then it cannot be
/// told what the image supplied, and those leaves are unknown. `volume_prefix` begins the environment's own volumes.
pub(super) fn replica(
    inspect: &ContainerInspectResponse,
    identity: &Identity,
    image: Option<&ImageFacts>,
    volume_prefix: &str,
    now: Timestamp,
) -> LiveReplica {
    let nothing = (ContainerConfig::default(), HostConfig::default());
    let config = inspect.config.as_ref().unwrap_or(&nothing.0);
    let host = inspect.host_config.as_ref().unwrap_or(&nothing.1);
    let mut leaves = Leaves::new();
    leaves.insert(
        FieldPath::Image,
        Observed::Known(LiveLeaf::set(Value::Image(image_value(inspect, config, image).into()))),
    );
    match image {
        Some(image) => supplied_leaves(config, image, &mut leaves),
        None => unknown_leaves(config, &mut leaves),
    }
    let restart = restart_policy(host);
    let restart_leaf = LiveLeaf { value: Value::Restart(restart), supplied: restart == DEFAULT_RESTART };
    leaves.insert(FieldPath::Restart, Observed::Known(restart_leaf));
    let stopped = health::stopped(inspect.state.as_ref(), restart);
    leaves.insert(FieldPath::Stopped, Observed::Known(LiveLeaf::set(Value::Flag(stopped))));
    // -1 waits without end; the longest duration that can be written stands for it.
    let seconds = |seconds: i64| u64::try_from(seconds).map_or(DURATION_MAX, |s| Millis(s.saturating_mul(1_000)));
    let grace = config.stop_timeout.map_or(DEFAULT_GRACE, seconds);
    let grace_leaf = LiveLeaf { value: Value::Duration(grace), supplied: grace == DEFAULT_GRACE };
    leaves.insert(FieldPath::StopGracePeriod, Observed::Known(grace_leaf));
    if let Some(cpu) = cpu_limit(host) {
        leaves.insert(FieldPath::CpuLimit, Observed::Known(LiveLeaf::set(Value::Cpu(cpu))));
    }
    if let Some(memory) = host.memory.filter(|bytes| *bytes > 0) {
        let memory = Value::Memory(Bytes(memory.unsigned_abs()));
        leaves.insert(FieldPath::MemoryLimit, Observed::Known(LiveLeaf::set(memory)));
    }
    leaves.extend(ports(host.port_bindings.as_ref()));
    leaves.extend(mounts::leaves(inspect, image, volume_prefix));
    LiveReplica {
        id: ReplicaId(inspect.id.clone().unwrap_or_default()),
        name: identity.name(),
        index: identity.index,
        release: identity.release,
        leaves,
        health: health::health(inspect, now),
    }
}

fn image_value(inspect: &ContainerInspectResponse, config: &ContainerConfig, image: Option<&ImageFacts>) -> ImageValue {
    let id = inspect.image.as_deref().unwrap_or_default();
    let by_name = config.image.as_deref().filter(|text| !names_by_id(text, id));
    let reference = by_name.and_then(|text| text.parse::<ImageRef>().ok());
    let mut content: BTreeSet<ContentDigest> = inspect.image.as_deref().and_then(content_of_id).into_iter().collect();
    content.extend(reference.iter().filter_map(|reference| reference.digest.clone()));
    content.extend(image.iter().flat_map(|image| image.content.iter().cloned()));
    ImageValue { reference, content }
}

/// Whether a container was made from `text` as an image id, in full or its first digits, and so bears no name.
fn names_by_id(text: &str, id: &str) -> bool {
    let digits = |text: &str| text.strip_prefix("sha256:").unwrap_or(text).to_owned();
    text.starts_with("sha256:") || (text.len() >= SHORT_ID && digits(id).starts_with(text))
}

/// The leaves that an image may supply.
fn supplied_leaves(config: &ContainerConfig, image: &ImageFacts, leaves: &mut Leaves) {
    let mut add = |field: FieldPath, value: Value, supplied: bool| {
        leaves.insert(field, Observed::Known(LiveLeaf { value, supplied }));
    };
    for (key, value) in env_map(config.env.as_deref().unwrap_or_default()) {
        let supplied = image.env.get(&key) == Some(&value);
        add(FieldPath::Env(key.into()), Value::Text(value.into()), supplied);
    }
    for (key, value) in config.labels.iter().flatten().filter(|(key, _)| !key.starts_with(labels::PREFIX)) {
        let supplied = image.labels.get(key) == Some(value);
        add(FieldPath::Labels(key.into()), Value::Text(value.into()), supplied);
    }
    let words = Words::of(config, image);
    add(FieldPath::Entrypoint, Value::Words(words.entrypoint.as_slice().into()), words.entrypoint_supplied);
    add(FieldPath::Command, Value::Words(words.command.as_slice().into()), words.command_supplied);
    if let Some(user) = config.user.as_ref().filter(|user| !user.is_empty()) {
        add(FieldPath::User, Value::Text(user.into()), *user == image.user);
    }
    if let Some(dir) = config.working_dir.as_ref().filter(|dir| !dir.is_empty()) {
        add(
            FieldPath::WorkingDir,
            Value::Text(clean_path(dir).into()),
            clean_path(dir) == clean_path(&image.working_dir),
        );
    }
}

/// A container's command line beside its image's, as the Engine merges them (daemon/commit.go, `merge`): an own entry
/// point drops the image's command.
pub(super) struct Words {
    pub(super) entrypoint: Vec<String>,
    pub(super) entrypoint_supplied: bool,
    pub(super) command: Vec<String>,
    pub(super) command_supplied: bool,
}

impl Words {
    pub(super) fn of(config: &ContainerConfig, image: &ImageFacts) -> Self {
        let entrypoint = config.entrypoint.clone().unwrap_or_default();
        let command = config.cmd.clone().unwrap_or_default();
        // The image's own entry point, written out, is told from an inherited one by the command that it dropped.
        let written_out = !entrypoint.is_empty() && command.is_empty() && !image.command.is_empty();
        let entrypoint_supplied = entrypoint == image.entrypoint && !written_out;
        let inherited: &[String] = if entrypoint_supplied { &image.command } else { &[] };
        let command_supplied = command == inherited;
        Words { entrypoint, entrypoint_supplied, command, command_supplied }
    }
}

/// Without the image it is not known which of these it supplied.
fn unknown_leaves(config: &ContainerConfig, leaves: &mut Leaves) {
    let fields = [FieldPath::Entrypoint, FieldPath::Command, FieldPath::User, FieldPath::WorkingDir].into_iter();
    let env = env_map(config.env.as_deref().unwrap_or_default()).into_keys().map(|key| FieldPath::Env(key.into()));
    let labels = config.labels.iter().flatten().map(|(key, _)| key);
    let labels = labels.filter(|key| !key.starts_with(labels::PREFIX)).map(|key| FieldPath::Labels(key.into()));
    let why = "the Engine no longer has this container's image, so what the image supplied cannot be told apart";
    leaves.extend(fields.chain(env).chain(labels).map(|field| (field, Observed::Unknown(why.to_owned()))));
}

pub(super) fn restart_policy(host: &HostConfig) -> RestartPolicy {
    let policy = host.restart_policy.as_ref();
    match policy.and_then(|policy| policy.name) {
        None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) => RestartPolicy::No,
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => RestartPolicy::OnFailure {
            max: policy
                .and_then(|policy| policy.maximum_retry_count)
                .and_then(|max| u32::try_from(max).ok())
                .filter(|max| *max > 0),
        },
    }
}

/// `NanoCpus`, or the quota of a period that says the same, in the steps that are enforced.
pub(super) fn cpu_limit(host: &HostConfig) -> Option<NanoCpus> {
    if let Some(nanos) = host.nano_cpus.filter(|nanos| *nanos > 0) {
        return Some(whole_quota(NanoCpus(nanos.unsigned_abs())));
    }
    let quota = host.cpu_quota.filter(|quota| *quota > 0)?.unsigned_abs();
    let period = host.cpu_period.filter(|period| *period > 0).unwrap_or(DEFAULT_CPU_PERIOD).unsigned_abs();
    Some(whole_quota(NanoCpus(quota.saturating_mul(1_000_000_000) / period)))
}

fn ports(bindings: Option<&PortMap>) -> Leaves {
    let mut leaves = Leaves::new();
    for (port, bindings) in bindings.into_iter().flatten() {
        let key = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        let published: Result<BTreeSet<PortBinding>, String> =
            bindings.iter().flatten().map(|binding| port_binding(&key, binding)).collect();
        let leaf = match published {
            Ok(set) if set.is_empty() => continue,
            Ok(set) => Observed::Known(LiveLeaf::set(Value::Ports(set.into()))),
            Err(why) => Observed::Unknown(why),
        };
        leaves.insert(FieldPath::Ports(key.into()), leaf);
    }
    leaves
}

fn port_binding(key: &str, binding: &bollard::models::PortBinding) -> Result<PortBinding, String> {
    let host_ip = match binding.host_ip.as_deref() {
        None | Some("") => None,
        Some(ip) => Some(ip.parse().map_err(|_| format!("{key} is published at `{ip}`, which is no IP address"))?),
    };
    let host_port = match binding.host_port.as_deref() {
        None | Some("" | "0") => None,
        Some(port) => Some(
            port.parse().map_err(|_| format!("{key} is published at a range of host ports ({port}), not at one"))?,
        ),
    };
    Ok(PortBinding { host_ip, host_port })
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
