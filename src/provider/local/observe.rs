//! What the supervisor saw → [`LiveReplica`]. Pure.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use crate::ids::ServiceName;
use crate::live::field::FieldPath;
use crate::live::value::{RestartPolicy, Value};
use crate::live::{Health, LiveLeaf, LiveReplica, LiveService, Observed, ReplicaId};
use crate::provider::ReplicaState;
use crate::provider::local::supervisor::protocol::{Listing, Unseen};
use crate::provider::local::supervisor::replica::{Blueprint, Phase, View};

/// The services of an environment.
pub(super) fn services(listing: Listing) -> BTreeMap<ServiceName, LiveService> {
    let mut services: BTreeMap<ServiceName, LiveService> = BTreeMap::new();
    for view in listing.seen {
        services.entry(view.blueprint.service.clone()).or_default().replicas.push(replica(&view));
    }
    for Unseen { service, index, why } in listing.unseen {
        let name = replica_name(&service, index);
        services.entry(service).or_default().unseen.insert(name, why);
    }
    for service in services.values_mut() {
        service.replicas.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
    }
    services
}

fn replica_name(service: &ServiceName, index: u32) -> String {
    format!("{service}-{index}")
}

fn replica(view: &View) -> LiveReplica {
    LiveReplica {
        id: ReplicaId(view.id.clone()),
        name: replica_name(&view.blueprint.service, view.blueprint.index),
        index: view.blueprint.index,
        release: Some(view.blueprint.release),
        leaves: leaves(view),
        health: health(view),
    }
}

/// The leaves of a replica.
pub(super) fn leaves(view: &View) -> BTreeMap<FieldPath, Observed<LiveLeaf>> {
    let Blueprint { entrypoint, command, working_dir, labels, restart, grace, .. } = &view.blueprint;
    let set = |value: Value| Observed::Known(LiveLeaf::set(value));
    let words = |words: &Option<Vec<String>>| words.as_deref().map(|words| Value::Words(words.into()));
    let mut leaves = BTreeMap::new();
    let mut may = |field: FieldPath, seen: Observed<Option<Value>>| match seen {
        Observed::Known(Some(value)) => drop(leaves.insert(field, set(value))),
        Observed::Known(None) => {}
        Observed::Unknown(why) => drop(leaves.insert(field, Observed::Unknown(why))),
    };
    may(FieldPath::Source, view.source.clone().map(|hash| hash.map(Value::Source)));
    may(FieldPath::Entrypoint, Observed::Known(words(entrypoint)));
    may(FieldPath::Command, Observed::Known(words(command)));
    may(FieldPath::WorkingDir, Observed::Known(working_dir.as_deref().map(|dir| Value::Text(dir.into()))));
    may(FieldPath::MemoryLimit, view.memory.clone().map(|bytes| bytes.map(Value::Memory)));
    may(FieldPath::CpuLimit, view.cpu.clone().map(|cpus| cpus.map(Value::Cpu)));
    for (key, text) in labels {
        may(FieldPath::Labels(key.into()), Observed::Known(Some(Value::Text(text.into()))));
    }
    let or_default = |given: bool, value: Value| LiveLeaf { value, supplied: !given };
    let policy = or_default(restart.is_some(), Value::Restart(view.blueprint.restart_policy()));
    leaves.insert(FieldPath::Restart, Observed::Known(policy));
    let grace = or_default(grace.is_some(), Value::Duration(view.blueprint.stop_grace()));
    leaves.insert(FieldPath::StopGracePeriod, Observed::Known(grace));
    leaves.insert(FieldPath::Stopped, set(Value::Flag(is_stopped(view))));
    leaves.extend(env(view));
    leaves
}

fn env(view: &View) -> BTreeMap<FieldPath, Observed<LiveLeaf>> {
    // The supervisor's own are no leaves: no file may declare them.
    let reserved = super::supervisor::RESERVED;
    let names = view.given_env.iter().filter(|name| !reserved.contains(&name.as_str()));
    names
        .filter_map(|name| {
            let leaf = match &view.env {
                Observed::Known(values) => {
                    let value = Value::Text(values.0.get(name)?.expose_secret().into());
                    Observed::Known(LiveLeaf { value, supplied: view.supplied_env.contains(name) })
                }
                Observed::Unknown(why) => Observed::Unknown(why.clone()),
            };
            Some((FieldPath::Env(name.into()), leaf))
        })
        .collect()
}

// Stopped although its policy would have it run.
fn is_stopped(view: &View) -> bool {
    let wants_to_run = match view.blueprint.restart_policy() {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        // A failure whose restarts are used up; a success is an end as wished. Never started is neither.
        RestartPolicy::OnFailure { .. } => view.failed || view.paused || view.phase == Phase::Prepared,
    };
    wants_to_run
        && match view.phase {
            Phase::Running => view.paused,
            Phase::Waiting => false,
            Phase::Prepared | Phase::Stopped | Phase::Ended => true,
        }
}

/// How a replica is doing, as far as the supervisor can tell.
pub(super) fn health(view: &View) -> Health {
    let ended = || view.ended.clone().unwrap_or_else(|| "it never ran".to_owned());
    match view.phase {
        Phase::Running if view.paused => Health::Stopped { why: "its process is paused by a signal (SIGSTOP)".into() },
        Phase::Running | Phase::Waiting if view.crash_looping => {
            Health::CrashLooping { why: format!("{}; restarted {} times", ended(), view.restarts) }
        }
        Phase::Running => Health::Healthy,
        Phase::Waiting => Health::Unhealthy { why: format!("{}; it will be started again", ended()) },
        Phase::Prepared => Health::Stopped { why: "prepared, not started yet".into() },
        Phase::Stopped => Health::Stopped { why: format!("stopped on request ({})", ended()) },
        Phase::Ended => Health::Stopped { why: ended() },
    }
}

/// The same as a provider's state.
pub(super) fn state(view: &View) -> ReplicaState {
    ReplicaState {
        running: view.phase == Phase::Running && !view.paused,
        restarts: view.restarts,
        ended: view.ended.clone(),
        health: health(view),
    }
}
