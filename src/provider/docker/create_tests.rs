use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerConfig, ContainerInspectResponse, HostConfig, MountPoint};

use super::{Blueprint, Creation};
use crate::ids::{EnvironmentRef, RunId};
use crate::live::field::FieldPath;
use crate::live::quantity::{Bytes, Millis};
use crate::live::value::Value;
use crate::provider::docker::facts::ImageFacts;
use crate::provider::docker::labels::{self, Identity};

/// Everything that a blueprint borrows.
struct Kit {
    environment: EnvironmentRef,
    identity: Identity,
    leaves: BTreeMap<FieldPath, Value>,
    withdrawn: BTreeSet<FieldPath>,
    image: ImageFacts,
    from: Option<(ContainerInspectResponse, ImageFacts)>,
}

fn kit() -> Kit {
    Kit {
        environment: "shop/production".parse().expect("valid"),
        identity: Identity { service: "web".parse().expect("valid"), index: 1, release: Some(RunId(3)) },
        leaves: BTreeMap::new(),
        withdrawn: BTreeSet::new(),
        image: ImageFacts { entrypoint: strings(&["/entry"]), command: strings(&["serve"]), ..Default::default() },
        from: None,
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

impl Kit {
    fn creation(&self) -> Result<Creation, String> {
        Blueprint {
            environment: &self.environment,
            identity: &self.identity,
            leaves: &self.leaves,
            withdrawn: &self.withdrawn,
            secrets: &BTreeMap::new(),
            image_name: "shop/web:1",
            image: &self.image,
            from: self.from.as_ref().map(|(inspect, image)| (inspect, image)),
            network: "shop-production",
        }
        .creation()
    }

    fn made(&self) -> Creation {
        self.creation().expect("complete")
    }
}

/// A predecessor with this index, its configuration set by hand.
fn predecessor(index: u32, config: ContainerConfig, host: HostConfig) -> ContainerInspectResponse {
    let identity = Identity { service: "web".parse().expect("valid"), index, release: Some(RunId(2)) };
    let labels = labels::replica(&"shop/production".parse().expect("valid"), &identity);
    ContainerInspectResponse {
        id: Some("abcdef0123456789".into()),
        config: Some(ContainerConfig { labels: Some(labels), ..config }),
        host_config: Some(host),
        ..Default::default()
    }
}

#[test]
fn an_empty_command_is_the_services_own() {
    let mut kit = kit();
    kit.leaves.insert(FieldPath::Command, Value::Words([].into()));
    let body = kit.made().body;
    assert_eq!((body.entrypoint, body.cmd), (Some(strings(&["/entry"])), None), "an own entry point drops the image's");
    kit.leaves.insert(FieldPath::Entrypoint, Value::Words([].into()));
    assert_eq!(kit.made().body.entrypoint, Some(strings(&[""])));
}

#[test]
fn a_command_line_is_carried_only_where_it_was_the_predecessors_own() {
    let mut kit = kit();
    let old_image = ImageFacts { entrypoint: strings(&["/old"]), command: strings(&["old"]), ..Default::default() };
    let inherited =
        ContainerConfig { entrypoint: Some(strings(&["/old"])), cmd: Some(strings(&["old"])), ..Default::default() };
    kit.from = Some((predecessor(1, inherited, HostConfig::default()), old_image.clone()));
    let body = kit.made().body;
    assert_eq!((body.entrypoint, body.cmd), (None, None));
    let own =
        ContainerConfig { entrypoint: Some(strings(&["/own"])), cmd: Some(strings(&["x"])), ..Default::default() };
    kit.from = Some((predecessor(1, own, HostConfig::default()), old_image));
    let body = kit.made().body;
    assert_eq!((body.entrypoint, body.cmd), (Some(strings(&["/own"])), Some(strings(&["x"]))));
}

#[test]
fn a_memory_limit_sets_swap_and_a_part_of_a_second_counts_as_one() {
    let mut kit = kit();
    kit.leaves.insert(FieldPath::MemoryLimit, Value::Memory(Bytes(1 << 26)));
    kit.leaves.insert(FieldPath::StopGracePeriod, Value::Duration(Millis(1_500)));
    let body = kit.made().body;
    let host = body.host_config.expect("a host part");
    assert_eq!((host.memory, host.memory_swap), (Some(1 << 26), Some(1 << 26)));
    assert_eq!(body.stop_timeout, Some(2));
}

#[test]
fn what_only_one_can_have_stays_with_the_replica_of_its_number() {
    let config = ContainerConfig { hostname: Some("db-primary".into()), ..Default::default() };
    for (index, shared) in [(1, true), (2, false)] {
        let mut kit = kit();
        kit.identity.index = index;
        let mut old = predecessor(1, config.clone(), HostConfig::default());
        old.mounts = Some(vec![MountPoint {
            typ: Some("volume".into()),
            name: Some("c".repeat(64)),
            destination: Some("/var/lib/db".into()),
            ..Default::default()
        }]);
        kit.from = Some((old, ImageFacts::default()));
        let body = kit.made().body;
        let binds = body.host_config.and_then(|host| host.binds);
        assert_eq!(body.hostname.is_some(), shared);
        assert_eq!(binds.is_some(), shared, "a nameless volume moves on, it is not shared");
    }
}

#[test]
fn host_names_and_aliases_that_the_engine_made_are_not_kept() {
    let mut kit = kit();
    let config = ContainerConfig { hostname: Some("abcdef012345".into()), ..Default::default() };
    kit.from = Some((predecessor(1, config, HostConfig::default()), ImageFacts::default()));
    assert_eq!(kit.made().body.hostname, None);
}

#[test]
fn a_container_on_the_hosts_network_stays_there() {
    let mut kit = kit();
    let host = HostConfig { network_mode: Some("host".into()), ..Default::default() };
    kit.from = Some((predecessor(1, ContainerConfig::default(), host), ImageFacts::default()));
    let creation = kit.made();
    assert!(creation.body.networking_config.is_none() && creation.further_networks.is_empty());
    assert_eq!(creation.body.host_config.and_then(|host| host.network_mode).as_deref(), Some("host"));
}

#[test]
fn a_secret_without_a_value_and_a_value_of_another_kind_are_refused() {
    let mut kit = kit();
    let secret = crate::live::value::SecretValue { name: "key".parse().ok(), fingerprint: None };
    kit.leaves.insert(FieldPath::Env("KEY".into()), Value::Secret(secret));
    assert_eq!(kit.creation().expect_err("no value"), "the secret key has no value");
    kit.leaves = BTreeMap::from([(FieldPath::User, Value::Flag(true))]);
    assert!(kit.creation().expect_err("mistyped").contains("user"));
}
