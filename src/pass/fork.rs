//! What a fork's head is compared with: what was last applied, in place of what runs and of what registries and secrets'
//! stores would say. Nothing that the head names is contacted, and nothing of what runs can show.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::declared::Declared;
use crate::drift::{Base, BaseService};
use crate::ids::ServiceName;
use crate::live::field::FieldPath;
use crate::live::value::{SecretValue, Value};
use crate::live::{Health, Live, LiveLeaf, LiveReplica, LiveService, Observed, ReplicaId};

/// The most replicas that stand in for a service's; more of them tell nothing more.
const REPLICAS_MAX: u64 = 1000;

/// What would run if everything ran as it was last applied.
pub(super) fn live_of(base: &Base) -> Live {
    let services: BTreeMap<ServiceName, LiveService> =
        base.services.iter().map(|(name, service)| (name.clone(), running(name, service))).collect();
    Live { services: Observed::Known(services) }
}

fn running(name: &ServiceName, service: &BaseService) -> LiveService {
    let count = match service.leaves.get(&FieldPath::Replicas).map(|leaf| &leaf.value) {
        Some(Value::Integer(count)) => *count,
        Some(_) | None => 1,
    };
    let leaf = |value: &Value| {
        Observed::Known(LiveLeaf::set(match value {
            Value::Secret(secret) => Value::Secret(SecretValue { name: None, fingerprint: secret.fingerprint.clone() }),
            other => other.clone(),
        }))
    };
    let leaves: BTreeMap<FieldPath, Observed<LiveLeaf>> = service
        .leaves
        .iter()
        .filter(|(field, _)| **field != FieldPath::Replicas)
        .map(|(field, base)| (field.clone(), leaf(&base.value)))
        .collect();
    let replica = |index: u64| LiveReplica {
        id: ReplicaId(format!("{name}-{index}")),
        name: format!("{name}-{index}"),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        release: None,
        leaves: leaves.clone(),
        health: Health::Unknown { why: "it was not looked at".to_owned() },
    };
    LiveService { replicas: (1..=count.min(REPLICAS_MAX)).map(replica).collect(), ..LiveService::default() }
}

/// Completes what is declared with what was last applied: an image of the same name has the same content, a secret of the
/// same name the same value. What is new stays incomplete, and so differs.
pub(super) fn complete(declared: &mut Declared, base: &Base) {
    for (name, service) in declared.services.iter_mut().flatten() {
        let Some(applied) = base.services.get(name) else { continue };
        for (field, leaf) in &mut service.leaves {
            let Some(base) = applied.leaves.get(field) else { continue };
            match (&mut leaf.value, &base.value) {
                (Value::Image(image), Value::Image(then))
                    if image.content.is_empty() && image.reference == then.reference =>
                {
                    Arc::make_mut(image).content = then.content.clone();
                }
                (Value::Secret(secret), Value::Secret(then)) if secret.name.is_some() && secret.name == then.name => {
                    secret.fingerprint = then.fingerprint.clone();
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{complete, live_of};
    use crate::declared::{Declared, DeclaredLeaf, DeclaredService, Position};
    use crate::drift::{Base, BaseLeaf, BaseService};
    use crate::live::Observed;
    use crate::live::field::FieldPath;
    use crate::live::value::{SecretValue, Value};

    fn image(text: &str, digest: Option<u8>) -> Value {
        let content = digest.map(|n| format!("sha256:{n:064x}").parse().expect("a digest")).into_iter().collect();
        let reference = Some(text.parse().expect("a reference"));
        Value::Image(crate::live::image::ImageValue { reference, content }.into())
    }

    fn secret(name: &str, print: Option<u8>) -> Value {
        let fingerprint = print.map(|n| format!("{n:064x}").parse().expect("a fingerprint"));
        Value::Secret(SecretValue { name: Some(name.parse().expect("a name")), fingerprint })
    }

    #[test]
    fn only_what_goes_by_the_same_name_is_completed() {
        let token = FieldPath::Env("TOKEN".into());
        let leaf = |value| BaseLeaf { value, written: "".into() };
        let base = Base {
            services: BTreeMap::from([(
                "web".parse().expect("a name"),
                BaseService {
                    leaves: Arc::new(BTreeMap::from([
                        (FieldPath::Image, leaf(image("acme/web:1", Some(1)))),
                        (token.clone(), leaf(secret("api-key", Some(7)))),
                        (FieldPath::Replicas, leaf(Value::Integer(3))),
                    ])),
                    commit: None,
                    run: None,
                    verified_at: jiff::Timestamp::UNIX_EPOCH,
                },
            )]),
        };
        let declared = |image, secret| {
            let leaf = |value| DeclaredLeaf { value, written: "".into(), uses_commit: false, at: Position::default() };
            let leaves = BTreeMap::from([(FieldPath::Image, leaf(image)), (token.clone(), leaf(secret))]);
            let service = DeclaredService { leaves, at: Position::default() };
            Declared { services: Some(BTreeMap::from([("web".parse().expect("a name"), service)])) }
        };
        let mut same = declared(image("acme/web:1", None), secret("api-key", None));
        complete(&mut same, &base);
        assert_eq!(same, declared(image("acme/web:1", Some(1)), secret("api-key", Some(7))));
        let other = declared(image("acme/web:2", None), secret("root-password", None));
        let mut completed = other.clone();
        complete(&mut completed, &base);
        assert_eq!(completed, other);

        let Observed::Known(services) = live_of(&base).services else { panic!("known") };
        let web = &services[&"web".parse().expect("a name")];
        assert_eq!(web.replicas.len(), 3);
        assert!(!web.replicas[0].leaves.contains_key(&FieldPath::Replicas));
    }
}
