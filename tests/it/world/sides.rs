//! The three sides in memory, and a model of what a provider does: live made from what is declared, a plan carried out
//! by its own words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use trueup::declared::Declared;
use trueup::drift::compare::compare;
use trueup::drift::{Base, Drift, Gaps};
use trueup::ids::{Fingerprint, ServiceName};
use trueup::live::capability::{Capabilities, ChangeKind, Effect, Support};
use trueup::live::field::FieldPath;
use trueup::live::quantity::Millis;
use trueup::live::value::{RestartPolicy, SecretValue, Value};
use trueup::live::{Health, Live, LiveLeaf, LiveReplica, LiveService, Observed, ReplicaId};
use trueup::plan::build::{PlanContext, make};
use trueup::plan::{Action, ActionKind, Change, Plan, PlanOptions};
use trueup::provider::Provider;
use trueup::provider::docker::{Credentials, DockerProvider};
use trueup::provider::local::LocalProvider;
use trueup::secret::AuthRef;

/// What the docker provider can see and change, from the provider itself; no Engine is asked.
pub fn docker() -> Capabilities {
    struct None;
    #[async_trait]
    impl Credentials for None {
        async fn password(&self, _: &AuthRef, _: &str) -> Result<SecretString, String> {
            Err("there are no credentials here".to_owned())
        }
    }
    let environment = "shop/production".parse().unwrap();
    DockerProvider::connect(environment, &BTreeMap::new(), Arc::new(None)).unwrap().capabilities()
}

/// What the local provider can see and change, from the provider itself; no supervisor is asked.
pub fn local() -> Capabilities {
    let settings = BTreeMap::from([("allow_own_user".to_owned(), "true".to_owned())]);
    let code = Arc::new(super::local::Code::default());
    let nowhere = std::path::Path::new("/nonexistent/supervise.sock");
    LocalProvider::connect("shop/production".parse().unwrap(), &settings, None, nowhere, code).unwrap().capabilities()
}

/// A keyed fingerprint, as the installation makes them.
pub fn fingerprint(value: &str) -> Fingerprint {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a test's key");
    let tag = ring::hmac::sign(&key, value.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().unwrap()
}

pub fn context(options: PlanOptions) -> PlanContext {
    PlanContext {
        environment: "shop/production".parse().unwrap(),
        reference: "main".to_owned(),
        commit: Some("1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".parse().unwrap()),
        commits: Default::default(),
        options,
        unprobeable: BTreeMap::new(),
        notes: Vec::new(),
        made_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Compares and plans, without gaps.
pub fn plan(declared: &Declared, base: &Base, live: &Live, can: &Capabilities, options: PlanOptions) -> Plan {
    let drift = drift(declared, base, live, can);
    make(declared, base, &drift, can, context(options))
}

pub fn drift(declared: &Declared, base: &Base, live: &Live, can: &Capabilities) -> Drift {
    compare(declared, &Gaps::default(), base, live, can)
}

/// How a running replica shows a declared value: as the provider keeps it, secrets by fingerprint, without their name.
pub fn shown(field: &FieldPath, value: &Value, can: &Capabilities) -> Value {
    match &(can.kept)(field, value).unwrap_or_else(|| value.clone()) {
        Value::Secret(secret) => Value::Secret(SecretValue { name: None, fingerprint: secret.fingerprint.clone() }),
        other => other.clone(),
    }
}

/// A replica made from nothing but what is declared, with what the provider supplies by itself.
pub fn replica(
    service: &ServiceName,
    index: u32,
    leaves: &BTreeMap<FieldPath, Value>,
    can: &Capabilities,
) -> LiveReplica {
    let mut live = BTreeMap::from([
        (FieldPath::Restart, Observed::Known(LiveLeaf::supplied(Value::Restart(RestartPolicy::UnlessStopped)))),
        (FieldPath::StopGracePeriod, Observed::Known(LiveLeaf::supplied(Value::Duration(Millis(10_000))))),
        (FieldPath::Stopped, Observed::Known(LiveLeaf::set(Value::Flag(false)))),
    ]);
    let seen = |field: &FieldPath| (can.support)(field) == Support::Observed && *field != FieldPath::Replicas;
    let leaves = leaves.iter().filter(|(field, _)| seen(field));
    live.extend(leaves.map(|(field, value)| (field.clone(), Observed::Known(LiveLeaf::set(shown(field, value, can))))));
    LiveReplica {
        id: ReplicaId(format!("{service}-{index}-id")),
        name: format!("{service}-{index}"),
        index,
        release: None,
        leaves: live,
        health: Health::Healthy,
    }
}

pub fn wanted(leaves: &BTreeMap<FieldPath, Value>) -> u32 {
    match leaves.get(&FieldPath::Replicas) {
        Some(Value::Integer(count)) => u32::try_from(*count).unwrap(),
        _ => 1,
    }
}

pub fn service(name: &ServiceName, leaves: &BTreeMap<FieldPath, Value>, can: &Capabilities) -> LiveService {
    let replicas = (1..=wanted(leaves)).map(|index| replica(name, index, leaves, can)).collect();
    LiveService { replicas, ..LiveService::default() }
}

/// What runs after everything was applied.
pub fn live_of(services: &BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>, can: &Capabilities) -> Live {
    let services = services.iter().map(|(name, leaves)| (name.clone(), service(name, leaves, can)));
    Live { services: Observed::Known(services.collect()) }
}

/// Carries a plan out by its own words and nothing else: what it does not say is not done.
pub fn carry_out(plan: &Plan, live: &mut Live, base: &mut Base, can: &Capabilities) {
    let Observed::Known(services) = &mut live.services else { panic!("nothing is seen") };
    let applied = plan.applied(None, jiff::Timestamp::UNIX_EPOCH);
    for action in plan.feasible() {
        let name = &action.service;
        match action.kind {
            ActionKind::Delete => {
                services.remove(name);
                base.services.remove(name);
                continue;
            }
            ActionKind::Record => {}
            ActionKind::Create => {
                let leaves = set_by(action);
                services.insert(name.clone(), service(name, &leaves, can));
            }
            ActionKind::InPlace | ActionKind::Replace => change(services.get_mut(name).unwrap(), action, can),
        }
        base.services.insert(name.clone(), applied.services[name].clone());
    }
}

fn set_by(action: &Action) -> BTreeMap<FieldPath, Value> {
    let set = |change: &Change| change.declared.clone().map(|value| (change.field.clone(), value));
    action.changes.iter().filter_map(set).collect()
}

fn change(service: &mut LiveService, action: &Action, can: &Capabilities) {
    for change in action.changes.iter().filter(|change| change.effect != Effect::Record) {
        assert_eq!((can.support)(&change.field), Support::Observed);
        let only: BTreeSet<&String> = change.replicas.iter().map(|replica| &replica.name).collect();
        let concerned = service.replicas.iter_mut().filter(|replica| only.is_empty() || only.contains(&replica.name));
        for replica in concerned.filter(|_| change.field != FieldPath::Replicas) {
            match (change.kind, &change.declared) {
                (ChangeKind::Set, Some(value)) => {
                    let leaf = Observed::Known(LiveLeaf::set(shown(&change.field, value, can)));
                    replica.leaves.insert(change.field.clone(), leaf);
                }
                (ChangeKind::Withdraw, None) => {
                    replica.leaves.remove(&change.field);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    if let Some(change) = action.changes.iter().find(|change| change.field == FieldPath::Replicas) {
        let count = match change.declared {
            Some(Value::Integer(count)) => usize::try_from(count).unwrap(),
            _ => 1,
        };
        scale(service, &action.service, count);
    }
}

/// New replicas are like the first, which is as it should be by now.
fn scale(service: &mut LiveService, name: &ServiceName, count: usize) {
    service.replicas.truncate(count);
    let first = service.replicas[0].clone();
    for index in service.replicas.len() + 1..=count {
        let id = ReplicaId(format!("{name}-{index}-id"));
        service.replicas.push(LiveReplica {
            id,
            name: format!("{name}-{index}"),
            index: u32::try_from(index).unwrap(),
            ..first.clone()
        });
    }
}
