//! Leaves of every kind, generated: the normal forms that properties range over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use trueup::declared::{Declared, DeclaredLeaf, DeclaredService, Position};
use trueup::drift::{Base, BaseLeaf, BaseService};
use trueup::ids::{SecretName, ServiceName};
use trueup::live::field::FieldPath;
use trueup::live::image::{ContentDigest, ImageRef, ImageValue};
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{
    PortBinding, PullPolicy, RestartPolicy, SecretValue, Strategy as Deploying, Value, VolumeMount, VolumeSource,
};

use crate::world::sides::fingerprint;

/// Text that people, attackers and terminals come up with.
pub fn text() -> BoxedStrategy<String> {
    prop_oneof!["[a-z]{0,8}", "\\PC{0,12}", any::<String>(), Just("\u{1b}[2J\u{202e}\r\n\0".to_owned())].boxed()
}

pub fn service_name() -> BoxedStrategy<ServiceName> {
    prop_oneof![Just("web"), Just("api"), Just("db"), Just("worker-2")].prop_map(|name| name.parse().unwrap()).boxed()
}

pub fn content(number: u8) -> ContentDigest {
    format!("sha256:{:064x}", number).parse().unwrap()
}

fn image() -> BoxedStrategy<Value> {
    let reference =
        prop_oneof!["(acme/)?[a-z]{1,5}(:[a-z0-9.]{0,3}[a-z0-9])?", "registry\\.acme\\.dev:5000/[a-z]{1,4}:[0-9]"]
            .prop_filter_map("a reference", |text: String| text.parse::<ImageRef>().ok());
    (reference, btree_set(0_u8..6, 1..3))
        .prop_map(|(reference, digests)| {
            let content = digests.into_iter().map(content).collect();
            Value::Image(ImageValue { reference: Some(reference), content }.into())
        })
        .boxed()
}

fn binding() -> BoxedStrategy<PortBinding> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
    ];
    (option::of(ip), option::of(1_u16..)).prop_map(|(host_ip, host_port)| PortBinding { host_ip, host_port }).boxed()
}

fn restart() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(RestartPolicy::No),
        Just(RestartPolicy::Always),
        Just(RestartPolicy::UnlessStopped),
        option::of(1_u32..9).prop_map(|max| RestartPolicy::OnFailure { max }),
    ]
    .prop_map(Value::Restart)
    .boxed()
}

fn volume() -> BoxedStrategy<Value> {
    let source = ("[a-z]{1,6}", 0..3).prop_map(|(name, kind)| match kind {
        0 => VolumeSource::Named(format!("shop-production-{name}").into()),
        1 => VolumeSource::External(name.into()),
        _ => VolumeSource::Host(format!("/srv/{name}").into()),
    });
    (source, any::<bool>()).prop_map(|(source, read_only)| Value::Volume(VolumeMount { source, read_only })).boxed()
}

pub fn secret() -> BoxedStrategy<Value> {
    ("[a-z]{1,5}", text())
        .prop_map(|(name, value)| {
            let name: Option<SecretName> = Some(name.parse().unwrap());
            Value::Secret(SecretValue { name, fingerprint: Some(fingerprint(&value)) })
        })
        .boxed()
}

/// Values that a field can have.
pub fn value_of(field: &FieldPath) -> BoxedStrategy<Value> {
    let words = || vec(text(), 0..4).prop_map(|words| Value::Words(words.into())).boxed();
    let number = || (1_u64..9).prop_map(Value::Integer).boxed();
    let duration = || (0_u64..100_000).prop_map(|millis| Value::Duration(Millis(millis))).boxed();
    let plain = || text().prop_map(|text| Value::Text(text.into())).boxed();
    match field {
        FieldPath::Image => image(),
        FieldPath::Source => (0_u8..9).prop_map(|n| Value::Source(format!("{n:064x}").parse().unwrap())).boxed(),
        FieldPath::Entrypoint | FieldPath::Command | FieldPath::HealthCommand => words(),
        FieldPath::WorkingDir => "(/[a-z]{1,5}){1,2}".prop_map(|path| Value::Text(path.into())).boxed(),
        FieldPath::User | FieldPath::HealthPath | FieldPath::Labels(_) => plain(),
        FieldPath::Stopped => Just(Value::Flag(false)).boxed(),
        FieldPath::Replicas => (1_u64..4).prop_map(Value::Integer).boxed(),
        FieldPath::Env(_) => prop_oneof![3 => plain(), 1 => secret()].boxed(),
        FieldPath::Ports(_) => btree_set(binding(), 1..3).prop_map(|set| Value::Ports(set.into())).boxed(),
        FieldPath::Volumes(_) => volume(),
        FieldPath::CpuLimit => (1_u64..9_000_000_000).prop_map(|nanos| Value::Cpu(NanoCpus(nanos))).boxed(),
        FieldPath::MemoryLimit => (1_u64..1 << 40).prop_map(|bytes| Value::Memory(Bytes(bytes))).boxed(),
        FieldPath::Restart => restart(),
        FieldPath::StopGracePeriod
        | FieldPath::HealthInterval
        | FieldPath::HealthTimeout
        | FieldPath::HealthStartPeriod => duration(),
        FieldPath::Port | FieldPath::HealthPort | FieldPath::HealthyThreshold | FieldPath::UnhealthyThreshold => {
            number()
        }
        FieldPath::Pull => {
            prop_oneof![Just(PullPolicy::Always), Just(PullPolicy::IfNotPresent), Just(PullPolicy::Never)]
                .prop_map(Value::Pull)
                .boxed()
        }
        // Validation refuses services that are not there and services that wait for each other.
        FieldPath::DependsOn => Just(Value::Services(Default::default())).boxed(),
        FieldPath::DeployStrategy => Just(Value::Strategy(Deploying::Recreate)).boxed(),
        FieldPath::RollbackOnFailure => any::<bool>().prop_map(Value::Flag).boxed(),
    }
}

/// A field other than `stopped` (which every service implies) and `image` (which every service here has).
pub fn field() -> BoxedStrategy<FieldPath> {
    let single: Vec<FieldPath> =
        FieldPath::SINGLE.into_iter().filter(|field| !matches!(field, FieldPath::Stopped | FieldPath::Image)).collect();
    prop_oneof![
        3 => proptest::sample::select(single),
        1 => "[A-Z]{1,3}".prop_map(|key| FieldPath::Env(key.into())),
        1 => (1_u16..4, prop_oneof![Just("tcp"), Just("udp")])
            .prop_map(|(port, of)| FieldPath::Ports(format!("{port}/{of}").into())),
        1 => "/[a-z]{1,2}".prop_map(|path| FieldPath::Volumes(path.into())),
        1 => prop_oneof!["[a-z]{1,2}", "com\\.[a-z]", text().prop_filter("keys", |key| !key.is_empty())]
            .prop_map(|key| FieldPath::Labels(key.into())),
    ]
    .boxed()
}

fn keyed(fields: BTreeSet<FieldPath>) -> BoxedStrategy<BTreeMap<FieldPath, Value>> {
    let pairs: Vec<BoxedStrategy<(FieldPath, Value)>> =
        fields.into_iter().map(|field| (Just(field.clone()), value_of(&field)).boxed()).collect();
    pairs.prop_map(|pairs| pairs.into_iter().collect()).boxed()
}

/// Leaves of one service, always with what every service has.
pub fn leaves() -> BoxedStrategy<BTreeMap<FieldPath, Value>> {
    btree_set(field(), 0..9)
        .prop_flat_map(|mut fields| {
            fields.extend([FieldPath::Image, FieldPath::Stopped]);
            keyed(fields)
        })
        .boxed()
}

pub fn services() -> BoxedStrategy<BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>> {
    btree_map(service_name(), leaves(), 0..4).boxed()
}

pub fn declared_leaf(value: &Value) -> DeclaredLeaf {
    let at = Position { file: ".trueup.yml".into(), line: 7, column: 9 };
    DeclaredLeaf { value: value.clone(), written: value.to_string().into(), uses_commit: false, at }
}

pub fn declared_of(services: &BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>) -> Declared {
    let service = |leaves: &BTreeMap<FieldPath, Value>| DeclaredService {
        leaves: leaves.iter().map(|(field, value)| (field.clone(), declared_leaf(value))).collect(),
        at: Position::default(),
    };
    Declared { services: Some(services.iter().map(|(name, leaves)| (name.clone(), service(leaves))).collect()) }
}

pub fn base_of(services: &BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>) -> Base {
    let leaf = |value: &Value| BaseLeaf { value: value.clone(), written: value.to_string().into() };
    let service = |leaves: &BTreeMap<FieldPath, Value>| BaseService {
        leaves: leaves.iter().map(|(field, value)| (field.clone(), leaf(value))).collect::<BTreeMap<_, _>>().into(),
        commit: None,
        run: None,
        verified_at: jiff::Timestamp::UNIX_EPOCH,
    };
    Base { services: services.iter().map(|(name, leaves)| (name.clone(), service(leaves))).collect() }
}
