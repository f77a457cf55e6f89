use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HostConfig, PortBinding,
    RestartPolicy as EnginePolicy, RestartPolicyNameEnum,
};
use jiff::Timestamp;

use super::{Words, cpu_limit, replica};
use crate::live::field::FieldPath;
use crate::live::quantity::NanoCpus;
use crate::live::value::Value;
use crate::live::{LiveLeaf, LiveReplica, Observed};
use crate::provider::docker::facts::ImageFacts;
use crate::provider::docker::labels::Identity;

fn facts() -> ImageFacts {
    ImageFacts {
        id: format!("sha256:{}", "a".repeat(64)),
        env: [("PATH".to_owned(), "/bin".to_owned()), ("MODE".to_owned(), "a".to_owned())].into(),
        labels: [("maker".to_owned(), "acme".to_owned())].into(),
        entrypoint: vec!["/entry".into()],
        command: vec!["serve".into()],
        user: "app".into(),
        working_dir: "/srv".into(),
        ..ImageFacts::default()
    }
}

fn container(config: ContainerConfig, host: HostConfig) -> ContainerInspectResponse {
    ContainerInspectResponse {
        id: Some("c1".into()),
        image: Some(format!("sha256:{}", "a".repeat(64))),
        state: Some(ContainerState { status: Some(ContainerStateStatusEnum::RUNNING), ..Default::default() }),
        config: Some(config),
        host_config: Some(host),
        ..Default::default()
    }
}

fn convert(inspect: &ContainerInspectResponse, image: Option<&ImageFacts>) -> LiveReplica {
    let identity = Identity { service: "web".parse().expect("valid"), index: 1, release: None };
    replica(inspect, &identity, image, "shop-production-", Timestamp::UNIX_EPOCH)
}

fn leaf<'a>(replica: &'a LiveReplica, field: &FieldPath) -> Option<&'a LiveLeaf> {
    replica.leaves.get(field).and_then(Observed::known)
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn what_the_image_supplies_is_told_apart() {
    let config = ContainerConfig {
        env: words(&["PATH=/bin", "MODE=b", "EXTRA=1"]),
        labels: Some(
            [("maker", "acme"), ("team", "shop"), ("dev.trueup.service", "web")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        ),
        entrypoint: words(&["/entry"]),
        cmd: words(&["serve", "--fast"]),
        user: Some("app".into()),
        working_dir: Some("/srv/".into()),
        ..Default::default()
    };
    let live = convert(&container(config, HostConfig::default()), Some(&facts()));
    for (field, supplied) in [
        (FieldPath::Env("PATH".into()), true),
        (FieldPath::Env("MODE".into()), false),
        (FieldPath::Env("EXTRA".into()), false),
        (FieldPath::Labels("maker".into()), true),
        (FieldPath::Labels("team".into()), false),
        (FieldPath::Entrypoint, true),
        (FieldPath::Command, false),
        (FieldPath::User, true),
        (FieldPath::WorkingDir, true),
    ] {
        assert_eq!(leaf(&live, &field).map(|leaf| leaf.supplied), Some(supplied), "{field}");
    }
    assert!(!live.leaves.contains_key(&FieldPath::Labels("dev.trueup.service".into())));
}

#[test]
fn without_its_image_nothing_is_guessed() {
    let config = ContainerConfig { env: words(&["MODE=b"]), cmd: words(&["serve"]), ..Default::default() };
    let live = convert(&container(config, HostConfig::default()), None);
    for field in [FieldPath::Env("MODE".into()), FieldPath::Command, FieldPath::User] {
        assert!(matches!(live.leaves.get(&field), Some(Observed::Unknown(_))), "{field}");
    }
    assert!(leaf(&live, &FieldPath::Image).is_some(), "the image is known by its id");
}

#[test]
fn an_own_entry_point_drops_the_images_command() {
    let table: [(&[&str], &[&str], bool, bool); 5] = [
        (&["/entry"], &["serve"], true, true),
        (&["/entry"], &[], false, true),
        (&["/other"], &[], false, true),
        (&["/other"], &["serve"], false, false),
        (&[], &["serve"], false, false),
    ];
    for (entrypoint, command, entrypoint_supplied, command_supplied) in table {
        let config = ContainerConfig { entrypoint: words(entrypoint), cmd: words(command), ..Default::default() };
        let found = Words::of(&config, &facts());
        assert_eq!(
            (found.entrypoint_supplied, found.command_supplied),
            (entrypoint_supplied, command_supplied),
            "{entrypoint:?} {command:?}"
        );
    }
}

#[test]
fn cpu_limits_in_either_notation() {
    let nano = HostConfig { nano_cpus: Some(500_000_000), ..Default::default() };
    let quota = HostConfig { cpu_quota: Some(25_000), cpu_period: Some(50_000), ..Default::default() };
    let default_period = HostConfig { cpu_quota: Some(50_000), cpu_period: Some(0), ..Default::default() };
    for host in [nano, quota, default_period] {
        assert_eq!(cpu_limit(&host), Some(NanoCpus(500_000_000)), "{host:?}");
    }
    assert_eq!(cpu_limit(&HostConfig { nano_cpus: Some(0), cpu_quota: Some(-1), ..Default::default() }), None);
}

#[test]
fn ports_in_every_notation_and_ranges_unknown() {
    let binding = |ip: &str, port: &str| PortBinding { host_ip: Some(ip.into()), host_port: Some(port.into()) };
    let host = HostConfig {
        port_bindings: Some(
            [
                ("8080/tcp".to_owned(), Some(vec![binding("127.0.0.1", "80"), binding("", "81")])),
                ("53".to_owned(), Some(vec![binding("", "")])),
                ("9000/tcp".to_owned(), Some(vec![binding("", "9000-9010")])),
                ("7/tcp".to_owned(), None),
            ]
            .into(),
        ),
        ..Default::default()
    };
    let live = convert(&container(ContainerConfig::default(), host), Some(&facts()));
    let shown = |key: &str| leaf(&live, &FieldPath::Ports(key.into())).map(|leaf| leaf.value.to_string());
    assert_eq!(shown("8080/tcp").as_deref(), Some("*:81, 127.0.0.1:80"));
    assert_eq!(shown("53/tcp").as_deref(), Some("*:(any)"));
    assert_eq!(shown("7/tcp"), None);
    assert!(matches!(live.leaves.get(&FieldPath::Ports("9000/tcp".into())), Some(Observed::Unknown(_))));
}

#[test]
fn stopped_is_what_the_restart_policy_would_have_run() {
    use ContainerStateStatusEnum as S;
    use RestartPolicyNameEnum as P;
    let table = [
        (S::RUNNING, 0, P::ALWAYS, false),
        (S::EXITED, 0, P::ALWAYS, true),
        (S::EXITED, 0, P::UNLESS_STOPPED, true),
        (S::EXITED, 0, P::ON_FAILURE, false),
        (S::EXITED, 1, P::ON_FAILURE, true),
        (S::EXITED, 1, P::NO, false),
        (S::DEAD, 1, P::ALWAYS, true),
        (S::CREATED, 0, P::NO, true),
        (S::PAUSED, 0, P::ALWAYS, true),
        (S::RESTARTING, 1, P::ALWAYS, false),
    ];
    for (status, code, policy, stopped) in table {
        let host = HostConfig {
            restart_policy: Some(EnginePolicy { name: Some(policy), maximum_retry_count: None }),
            ..Default::default()
        };
        let mut inspect = container(ContainerConfig::default(), host);
        inspect.state = Some(ContainerState { status: Some(status), exit_code: Some(code), ..Default::default() });
        let live = convert(&inspect, Some(&facts()));
        let found = leaf(&live, &FieldPath::Stopped).map(|leaf| leaf.value.clone());
        assert_eq!(found, Some(Value::Flag(stopped)), "{status:?} {code} {policy:?}");
    }
}

#[test]
fn a_container_made_from_an_id_bears_no_name() {
    let id = format!("sha256:{}", "a".repeat(64));
    for (text, name) in [
        (id.as_str(), None),
        ("aaaaaaaaaaaa", None),
        ("nginx:1.27", Some("nginx:1.27")),
        ("aaaa", Some("aaaa:latest")),
        ("bbbbbbbbbbbb", Some("bbbbbbbbbbbb:latest")),
    ] {
        let config = ContainerConfig { image: Some(text.into()), ..Default::default() };
        let live = convert(&container(config, HostConfig::default()), Some(&facts()));
        let Some(Value::Image(image)) = leaf(&live, &FieldPath::Image).map(|leaf| leaf.value.clone()) else {
            panic!("an image")
        };
        assert_eq!(image.reference.as_ref().map(|reference| reference.familiar()).as_deref(), name, "{text}");
        assert!(image.content.iter().any(|digest| digest.as_str() == id));
    }
}
