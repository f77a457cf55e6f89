//! On a real Engine: whatever is declared is what is observed after it was applied, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use trueup::live::Observed;
use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, Value, VolumeMount, VolumeSource};

use crate::world::docker::{World, available, text, words};

const SERVICES: usize = 15;

type Leaves = BTreeMap<FieldPath, Value>;

fn maybe(field: FieldPath, value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Leaves> {
    proptest::option::of(value)
        .prop_map(move |value| value.into_iter().map(|value| (field.clone(), value)).collect())
        .boxed()
}

fn entries(
    field: fn(trueup::live::shared::SharedText) -> FieldPath,
    key: &'static str,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Leaves> {
    proptest::collection::btree_map(key.prop_map(move |key: String| field(key.into())), value, 0..4).boxed()
}

fn any_text() -> impl Strategy<Value = Value> {
    // No control characters but tab and newline; quotes, `=`, `$`, spaces and letters of other scripts.
    "[ -~äß漢\t\n]{0,20}".prop_map(|value| text(&value))
}

/// A service, its command one that goes on running.
fn service(project: String) -> impl Strategy<Value = Leaves> {
    let binding = proptest::sample::select(vec!["127.0.0.1", "127.0.0.2", "::1"])
        .prop_map(|ip| PortBinding { host_ip: Some(ip.parse().unwrap()), host_port: None });
    let volume = (proptest::sample::select(vec!["data", "cache"]), any::<bool>()).prop_map(move |(name, read_only)| {
        Value::Volume(VolumeMount { source: VolumeSource::Named(format!("{project}-test-{name}").into()), read_only })
    });
    let restart = proptest::sample::select(vec![
        RestartPolicy::No,
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::OnFailure { max: None },
        RestartPolicy::OnFailure { max: Some(4) },
    ]);
    let command = proptest::sample::select(vec![
        words(&["/bin/sleep", "1000"]),
        words(&["sh", "-c", "exec sleep \"$SECONDS_TO_LIVE\"\"1000\""]),
        words(&["sh", "-c", "sleep 1000", "", "a b", "'"]),
    ]);
    let parts = vec![
        maybe(FieldPath::Command, command),
        maybe(FieldPath::Entrypoint, Just(words(&["/bin/busybox", "env", "X=1"]))),
        maybe(FieldPath::User, "[1-9][0-9]{0,3}(:[1-9][0-9]{0,3})?".prop_map(|user| text(&user))),
        maybe(FieldPath::WorkingDir, "(/[a-z]{1,5}){1,2}".prop_map(|dir| text(&dir))),
        maybe(FieldPath::CpuLimit, (1u64..200).prop_map(|hundredths| Value::Cpu(NanoCpus(hundredths * 10_000_000)))),
        maybe(FieldPath::MemoryLimit, (8u64..64).prop_map(|mebi| Value::Memory(Bytes(mebi << 20)))),
        maybe(FieldPath::StopGracePeriod, (0u64..30).prop_map(|seconds| Value::Duration(Millis(seconds * 1_000)))),
        maybe(FieldPath::Restart, restart.prop_map(Value::Restart)),
        entries(FieldPath::Env, "[A-Za-z_][A-Za-z0-9_.]{0,8}", any_text()),
        entries(FieldPath::Labels, "[a-z][a-z0-9./-]{0,12}", any_text()),
        entries(
            FieldPath::Ports,
            "[1-9][0-9]{0,3}/(tcp|udp)",
            proptest::collection::btree_set(binding, 1..3).prop_map(|set| Value::Ports(set.into())),
        ),
        entries(FieldPath::Volumes, "(/[a-z]{2,6}){1,2}/[A-Z]", volume),
    ];
    parts.prop_map(|parts| parts.into_iter().flatten().collect())
}

fn declared(found: &BTreeMap<FieldPath, Observed<trueup::live::LiveLeaf>>) -> Leaves {
    let own = |(field, leaf): (&FieldPath, &Observed<trueup::live::LiveLeaf>)| match leaf {
        Observed::Known(leaf) if leaf.supplied => None,
        Observed::Known(leaf) => Some((field.clone(), leaf.value.clone())),
        Observed::Unknown(why) => panic!("{field}: {why}"),
    };
    found.iter().filter_map(own).filter(|(field, _)| *field != FieldPath::Stopped).collect()
}

#[tokio::test]
async fn what_was_applied_is_observed_and_nothing_else() {
    if !available() {
        return;
    }
    let world = World::new().await;
    // Written down, so that a failure can be had again.
    let seed = [7u8; 32];
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = service(world.project().to_owned());
    let mut previous: Option<(Leaves, trueup::live::ReplicaId)> = None;
    for number in 0..SERVICES {
        let leaves = world.leaves(strategy.new_tree(&mut runner).unwrap().current().into_iter().collect()).await;
        // Half of them anew, half over what was there, from which everything that is not declared again is withdrawn.
        let id = match previous.take().filter(|_| number % 2 == 1) {
            None => {
                for replica in world.services().await.values().flat_map(|service| &service.replicas) {
                    crate::world::docker::docker(&["rm", "-f", &replica.id.0]);
                }
                world.deploy("web", &leaves).await
            }
            Some((old_leaves, old)) => {
                let withdrawn: BTreeSet<FieldPath> =
                    old_leaves.keys().filter(|field| !leaves.contains_key(field)).cloned().collect();
                let permit = world.gate.permit().await;
                let id = world.prepare(&permit, "web", &leaves, &withdrawn, Some(&old)).await.unwrap();
                crate::world::docker::docker(&["rm", "-f", &old.0]);
                world.gate.finish(permit).await;
                id
            }
        };
        let replica = world.replica("web").await;
        let found = declared(&replica.leaves);
        // What is declared as it would be by itself shows as supplied.
        for (field, value) in &leaves {
            let live = replica.leaves.get(field).and_then(Observed::known);
            assert!(
                live.is_some_and(|live| live.value.same(value)),
                "service {number}: {field}: {live:?} for {value:?}"
            );
        }
        let surplus: Vec<&FieldPath> = found.keys().filter(|field| !leaves.contains_key(field)).collect();
        assert!(surplus.is_empty(), "service {number}: {surplus:?} were not declared: {leaves:?}");
        previous = Some((leaves, id));
    }
}
