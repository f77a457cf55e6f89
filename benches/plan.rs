//! Comparing and planning, from 1,000 to 100,000 services of 20 leaves: the target is 10,000 in under 100 ms on one
//! core, and a cost that grows with the leaves and no faster.
//!
//! `cargo bench --bench plan`. `in_sync` is the background's everyday pass; in `drift` every tenth service differs in
//! one leaf; in `first_sync` nothing runs yet, so that every leaf is planned.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trueup::declared::{Declared, DeclaredLeaf, DeclaredService, Position};
use trueup::drift::compare::compare;
use trueup::drift::{Base, BaseLeaf, BaseService, Gaps};
use trueup::ids::ServiceName;
use trueup::live::capability::{Capabilities, ChangeKind, Effect, Support};
use trueup::live::field::FieldPath;
use trueup::live::image::{ContentDigest, ImageValue};
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, SecretValue, Value, VolumeMount, VolumeSource};
use trueup::live::{Health, Live, LiveLeaf, LiveReplica, LiveService, Observed, ReplicaId};
use trueup::plan::PlanOptions;
use trueup::plan::build::{PlanContext, make};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Docker's abilities as far as they matter here.
const CAN: Capabilities = Capabilities {
    provider: "docker",
    support,
    accepts: |_, _| Ok(()),
    effect,
    required: &[],
    default_of,
    kept: |_, _| None,
};

fn support(field: &FieldPath) -> Support {
    match field {
        FieldPath::Port | FieldPath::HealthPath | FieldPath::HealthInterval => Support::Policy,
        _ => Support::Observed,
    }
}

fn effect(_: &FieldPath, _: ChangeKind) -> Effect {
    Effect::Replace
}

fn default_of(_: &FieldPath) -> Option<&'static str> {
    None
}

fn content(number: usize) -> ContentDigest {
    format!("sha256:{number:064x}").parse().expect("64 digits")
}

/// Twenty leaves, as a service of a shop has them.
fn leaves(number: usize) -> BTreeMap<FieldPath, Value> {
    let text = |text: &str| Value::Text(text.into());
    let reference = format!("registry.acme.dev/shop/service-{number}:1.{}", number % 50).parse().expect("a reference");
    let secret = SecretValue {
        name: Some("database-url".parse().expect("a name")),
        fingerprint: Some(format!("{number:064x}").parse().expect("64 digits")),
    };
    let volume =
        VolumeMount { source: VolumeSource::Named(format!("shop-production-{number}").into()), read_only: false };
    let binding = PortBinding { host_ip: None, host_port: u16::try_from(number % 60_000 + 1).ok() };
    BTreeMap::from([
        (
            FieldPath::Image,
            Value::Image(Arc::new(ImageValue { reference: Some(reference), content: [content(number)].into() })),
        ),
        (FieldPath::Command, Value::Words(["serve", "--port", "8080"].map(str::to_owned).as_slice().into())),
        (FieldPath::User, text("1000:1000")),
        (FieldPath::WorkingDir, text("/srv/shop")),
        (FieldPath::Stopped, Value::Flag(false)),
        (FieldPath::Replicas, Value::Integer(1)),
        (FieldPath::Env("LOG_LEVEL".into()), text("info")),
        (FieldPath::Env("REGION".into()), text("eu-north-1")),
        (FieldPath::Env("FEATURES".into()), text("checkout,search,basket")),
        (FieldPath::Env("DATABASE_URL".into()), Value::Secret(secret)),
        (FieldPath::Ports("8080/tcp".into()), Value::Ports(Arc::new([binding].into()))),
        (FieldPath::Volumes("/var/lib/shop".into()), Value::Volume(volume)),
        (FieldPath::Labels("team".into()), text("shop")),
        (FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000))),
        (FieldPath::MemoryLimit, Value::Memory(Bytes(256 << 20))),
        (FieldPath::Restart, Value::Restart(RestartPolicy::Always)),
        (FieldPath::StopGracePeriod, Value::Duration(Millis(30_000))),
        (FieldPath::Port, Value::Integer(8080)),
        (FieldPath::HealthPath, text("/healthz")),
        (FieldPath::HealthInterval, Value::Duration(Millis(10_000))),
    ])
}

struct Sides {
    declared: Declared,
    base: Base,
    live: Live,
}

fn name(number: usize) -> ServiceName {
    format!("service-{number}").parse().expect("a name")
}

fn sides(services: usize, runs: bool, drifting_each: usize) -> Sides {
    // Each side has texts of its own, as it has when the file, the database and the Engine are read.
    let all = || (0..services).map(|number| (name(number), leaves(number)));
    let at = Position { file: ".trueup.yml".into(), line: 7, column: 9 };
    let declared_leaf =
        |value: Value| DeclaredLeaf { written: value.to_string().into(), value, uses_commit: false, at: at.clone() };
    let declared = all().map(|(name, leaves)| {
        let leaves = leaves.into_iter().map(|(field, value)| (field, declared_leaf(value))).collect();
        (name, DeclaredService { leaves, at: at.clone() })
    });
    let base_leaf = |value: Value| BaseLeaf { written: value.to_string().into(), value };
    let base = all().map(|(name, leaves)| {
        let leaves: BTreeMap<_, _> = leaves.into_iter().map(|(field, value)| (field, base_leaf(value))).collect();
        let leaves = leaves.into();
        (name, BaseService { leaves, commit: None, run: None, verified_at: jiff::Timestamp::UNIX_EPOCH })
    });
    let live = all().enumerate().filter(|_| runs).map(|(number, (name, leaves))| {
        let mut leaves: BTreeMap<FieldPath, Observed<LiveLeaf>> = leaves
            .into_iter()
            .filter(|(field, _)| support(field) == Support::Observed)
            .map(|(field, value)| (field, Observed::Known(LiveLeaf::set(value))))
            .collect();
        if drifting_each > 0 && number.is_multiple_of(drifting_each) {
            let other = LiveLeaf::set(Value::Text("debug".into()));
            leaves.insert(FieldPath::Env("LOG_LEVEL".into()), Observed::Known(other));
        }
        let replica = LiveReplica {
            id: ReplicaId(format!("{number:064x}")),
            name: format!("{name}-1"),
            index: 1,
            release: None,
            leaves,
            health: Health::Healthy,
        };
        (name, LiveService { replicas: vec![replica], ..LiveService::default() })
    });
    Sides {
        declared: Declared { services: Some(declared.collect()) },
        base: Base { services: if runs { base.collect() } else { BTreeMap::new() } },
        live: Live { services: Observed::Known(live.collect()) },
    }
}

fn plan(sides: &Sides) -> trueup::plan::Plan {
    let drift = compare(&sides.declared, &Gaps::default(), &sides.base, &sides.live, &CAN);
    let context = PlanContext {
        environment: "shop/production".parse().expect("valid"),
        reference: "main".to_owned(),
        commit: None,
        commits: Default::default(),
        options: PlanOptions::default(),
        unprobeable: BTreeMap::new(),
        notes: Vec::new(),
        made_at: jiff::Timestamp::UNIX_EPOCH,
    };
    make(&sides.declared, &sides.base, &drift, &CAN, context)
}

fn compare_and_plan(criterion: &mut Criterion) {
    for (question, runs, drifting_each) in [("in_sync", true, 0), ("drift", true, 10), ("first_sync", false, 0)] {
        let mut group = criterion.benchmark_group(format!("plan/{question}"));
        group.sample_size(10);
        for size in SIZES {
            let sides = sides(size, runs, drifting_each);
            let expected = if !runs { size } else { size.checked_div(drifting_each).unwrap_or(0) };
            assert_eq!(plan(&sides).actions.len(), expected);
            group.throughput(Throughput::Elements(20 * size as u64));
            group.bench_with_input(BenchmarkId::from_parameter(size), &sides, |bencher, sides| {
                // What becomes of the plan afterwards (it is stored) is not what is measured.
                bencher.iter_batched(|| (), |()| plan(black_box(sides)), BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, compare_and_plan);
criterion_main!(benches);
