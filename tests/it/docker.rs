//! Does the docker provider do each step on a real Engine, and leave alone what is not its own?

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trueup::ids::SecretName;
use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, SecretValue, Value, VolumeMount, VolumeSource};
use trueup::live::{Health, LiveReplica, Observed, ReplicaId};
use trueup::provider::{Provider, StepError};

use crate::world::docker::{World, available, difference, docker, eventually, named, text, try_docker, words};
use crate::world::permit::Gate;

fn env(key: &str) -> FieldPath {
    FieldPath::Env(key.into())
}

fn leaf(replica: &LiveReplica, field: &FieldPath) -> Option<Value> {
    replica.leaves.get(field).map(|leaf| match leaf {
        Observed::Known(leaf) => leaf.value.clone(),
        Observed::Unknown(why) => panic!("{field}: {why}"),
    })
}

fn supplied(replica: &LiveReplica, field: &FieldPath) -> bool {
    replica.leaves.get(field).and_then(Observed::known).is_some_and(|leaf| leaf.supplied)
}

fn inspect(id: &ReplicaId, format: &str) -> String {
    docker(&["inspect", "--format", format, &id.0])
}

#[tokio::test]
async fn what_is_declared_is_what_is_observed() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let volume = format!("{}-test-data", world.project());
    let leaves = world
        .leaves(vec![
            (env("LOG_LEVEL"), text("info")),
            (env("EMPTY"), text("")),
            (FieldPath::Labels("team".into()), text("shop")),
            (FieldPath::Command, words(&["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"])),
            (FieldPath::Entrypoint, words(&["/bin/busybox", "env"])),
            (FieldPath::User, text("1000:1000")),
            (FieldPath::WorkingDir, text("/srv")),
            (FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000))),
            (FieldPath::MemoryLimit, Value::Memory(Bytes(64 << 20))),
            (FieldPath::Restart, Value::Restart(RestartPolicy::OnFailure { max: Some(3) })),
            (FieldPath::StopGracePeriod, Value::Duration(Millis(3_000))),
            (
                FieldPath::Ports("8080/tcp".into()),
                Value::Ports([PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: None }].into()),
            ),
            (FieldPath::Volumes("/data".into()), named(&volume)),
        ])
        .await;
    world.deploy("web", &leaves).await;
    let replica = world.replica("web").await;
    assert_eq!((replica.name.as_str(), replica.index), ("web-1", 1));
    assert!(replica.release.is_some());
    for (field, value) in &leaves {
        let found = leaf(&replica, field);
        assert!(found.as_ref().is_some_and(|found| found.same(value)), "{field}: {found:?} is not {value:?}");
        assert!(!supplied(&replica, field), "{field} is set, not supplied");
    }
    let own: Vec<&FieldPath> =
        replica.leaves.iter().filter(|(_, l)| l.known().is_some_and(|l| !l.supplied)).map(|(f, _)| f).collect();
    let declared: Vec<&FieldPath> = leaves.keys().chain([&FieldPath::Stopped]).collect();
    assert_eq!(
        own.into_iter().collect::<BTreeSet<_>>(),
        declared.into_iter().collect::<BTreeSet<_>>(),
        "nothing else was set"
    );
    assert_eq!(
        docker(&["volume", "inspect", "--format", "{{index .Labels \"dev.trueup.project\"}}", &volume]),
        world.project()
    );
    let network = format!("{}-test", world.project());
    assert!(inspect(&replica.id, "{{json .NetworkSettings.Networks}}").contains(&format!("\"{network}\"")));
    assert!(
        inspect(&replica.id, &format!("{{{{json (index .NetworkSettings.Networks \"{network}\").Aliases}}}}"))
            .contains("\"web\"")
    );
    assert_eq!(inspect(&replica.id, "{{.HostConfig.MemorySwap}}"), (64 << 20).to_string(), "no swap beyond the limit");
    assert_eq!(
        inspect(&replica.id, "{{.Name}}"),
        format!("/{}-test-web-1-r{}", world.project(), replica.release.unwrap())
    );
}

#[tokio::test]
async fn a_bare_service_gets_the_defaults_and_shows_them_as_supplied() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let leaves = world.leaves(vec![]).await;
    world.deploy("web", &leaves).await;
    let replica = world.replica("web").await;
    for field in [FieldPath::Restart, FieldPath::StopGracePeriod, FieldPath::Command, FieldPath::Entrypoint] {
        assert!(supplied(&replica, &field), "{field}");
    }
    for field in [FieldPath::CpuLimit, FieldPath::MemoryLimit, FieldPath::User] {
        assert!(!replica.leaves.contains_key(&field), "{field}");
    }
    assert_eq!(leaf(&replica, &FieldPath::Stopped), Some(Value::Flag(false)));
    assert_eq!(replica.health, Health::Healthy);
}

#[tokio::test]
async fn limits_and_restart_change_in_place() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let id = world.deploy("web", &world.leaves(vec![]).await).await;
    let permit = world.gate.permit().await;
    let started = inspect(&id, "{{.State.StartedAt}}");
    for memory in [32u64, 128, 16] {
        let wanted = BTreeMap::from([
            (FieldPath::CpuLimit, Value::Cpu(NanoCpus(memory * 10_000_000))),
            (FieldPath::MemoryLimit, Value::Memory(Bytes(memory << 20))),
            (FieldPath::Restart, Value::Restart(RestartPolicy::Always)),
        ]);
        world.provider.update(&permit, &id, &wanted).await.unwrap();
        let replica = world.replica("web").await;
        for (field, value) in &wanted {
            assert_eq!(leaf(&replica, field).as_ref(), Some(value), "{field}");
        }
    }
    assert_eq!(inspect(&id, "{{.State.StartedAt}}"), started, "it went on running");
    let error = world.provider.update(&permit, &id, &BTreeMap::from([(env("A"), text("b"))])).await.unwrap_err();
    assert!(matches!(&error, StepError::Refused(why) if why.contains("env.A")), "{error}");
}

#[tokio::test]
async fn a_cpu_quota_set_by_hand_can_be_overruled_in_place() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let id = world.deploy("web", &world.leaves(vec![]).await).await;
    docker(&["update", "--cpu-period", "50000", "--cpu-quota", "10000", &id.0]);
    assert_eq!(leaf(&world.replica("web").await, &FieldPath::CpuLimit), Some(Value::Cpu(NanoCpus(200_000_000))));
    let permit = world.gate.permit().await;
    let wanted = BTreeMap::from([(FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000)))]);
    world.provider.update(&permit, &id, &wanted).await.unwrap();
    assert_eq!(leaf(&world.replica("web").await, &FieldPath::CpuLimit), Some(Value::Cpu(NanoCpus(500_000_000))));
}

#[tokio::test]
async fn stopping_starting_pausing_and_removing_are_done_once_and_twice() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let leaves = world.leaves(vec![(FieldPath::Restart, Value::Restart(RestartPolicy::Always))]).await;
    let id = world.deploy("web", &leaves).await;
    let permit = world.gate.permit().await;
    let before = Instant::now();
    for _ in 0..2 {
        world.provider.stop(&permit, &id).await.unwrap();
    }
    assert!(before.elapsed() < Duration::from_secs(8), "a command that obeys SIGTERM is not waited for");
    let replica = world.replica("web").await;
    assert_eq!(leaf(&replica, &FieldPath::Stopped), Some(Value::Flag(true)));
    assert_eq!(replica.health, Health::Stopped { why: "exit code 0".into() });
    for _ in 0..2 {
        world.provider.start(&permit, &id).await.unwrap();
    }
    assert!(world.provider.state(&id).await.unwrap().running);
    docker(&["pause", &id.0]);
    assert_eq!(leaf(&world.replica("web").await, &FieldPath::Stopped), Some(Value::Flag(true)));
    world.provider.start(&permit, &id).await.unwrap();
    assert!(world.provider.state(&id).await.unwrap().running, "starting unpauses");
    docker(&["pause", &id.0]);
    world.provider.stop(&permit, &id).await.unwrap();
    for _ in 0..2 {
        world.provider.remove(&permit, &id).await.unwrap();
    }
    assert!(world.services().await.is_empty());
    assert!(matches!(world.provider.state(&id).await, Err(StepError::Gone(_))));
    assert!(matches!(world.provider.start(&permit, &id).await, Err(StepError::Gone(_))));
}

#[tokio::test]
async fn preparing_twice_in_a_run_leaves_one_and_touches_nothing_that_runs() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let leaves = world.leaves(vec![]).await;
    let old = world.deploy("web", &leaves).await;
    let permit = world.gate.permit().await;
    let first = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), Some(&old)).await.unwrap();
    let second = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), Some(&old)).await.unwrap();
    assert_ne!(first, second);
    let services = world.services().await;
    let replicas = &services[&"web".parse().unwrap()].replicas;
    let ids: BTreeSet<&ReplicaId> = replicas.iter().map(|replica| &replica.id).collect();
    assert_eq!(ids, BTreeSet::from([&old, &second]), "what was never started is observed too");
    let prepared = replicas.iter().find(|replica| replica.id == second).unwrap();
    assert_eq!(prepared.release, Some(permit.run()));
    assert_eq!(prepared.health, Health::Stopped { why: "never started".into() });
    assert!(world.provider.state(&old).await.unwrap().running);
}

#[tokio::test]
async fn what_nobody_manages_survives_a_replacement() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let extra = format!("{}-extra", world.project());
    docker(&["network", "create", &extra]);
    world.adopt_network(&extra);
    docker(&["volume", "create", &extra]);
    world.adopt_volume(&extra);
    let network = format!("{}-test", world.project());
    docker(&["network", "create", "--label", &format!("dev.trueup.project={}", world.project()), &network]);
    let mut run: Vec<String> = ["run", "-d"].map(String::from).to_vec();
    run.extend(world.label_arguments("web"));
    for argument in [
        "--network",
        &network,
        "--network-alias",
        "shop",
        "--env",
        "BY_HAND=1",
        "--env",
        "MANAGED=old",
        "--env",
        "WITHDRAWN=1",
        "--label",
        "note=kept",
        "--label",
        "gone=1",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CHOWN",
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=0",
        "--ulimit",
        "nofile=512:512",
        "--dns",
        "10.9.8.7",
        "--add-host",
        "db:10.1.2.3",
        "--tmpfs",
        "/scratch:size=1m",
        "--volume",
        &format!("{extra}:/kept:ro"),
        "--volume",
        "/nameless",
        "--hostname",
        "old-host",
        "--memory-reservation",
        "20m",
        "--memory",
        "64m",
        "--publish",
        "127.0.0.1::9000",
        "--shm-size",
        "32m",
        "--read-only",
        "--init",
        "--restart",
        "always",
        "--log-opt",
        "max-size=1m",
        "--security-opt",
        "no-new-privileges",
        "--stop-signal",
        "SIGTERM",
        "--pids-limit",
        "50",
        "--oom-score-adj",
        "100",
        "--group-add",
        "1234",
        "--log-driver",
        "json-file",
        "--stop-timeout",
        "4",
        &world.image,
        "sh",
        "-c",
        "echo data > /nameless/file; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done",
    ] {
        run.push(argument.to_owned());
    }
    let old = ReplicaId(docker(&run));
    docker(&["network", "connect", "--alias", "far", &extra, &old.0]);
    let before = world.replica("web").await;
    let kept: Vec<(String, String)> = [
        "CapAdd",
        "CapDrop",
        "Sysctls",
        "Dns",
        "ExtraHosts",
        "Tmpfs",
        "MemoryReservation",
        "ReadonlyRootfs",
        "Init",
        "ShmSize",
        "PidsLimit",
        "LogConfig",
        "SecurityOpt",
        "GroupAdd",
        "Ulimits",
        "OomScoreAdj",
        "Memory",
        "MemorySwap",
    ]
    .iter()
    .map(|field| format!("{{{{json .HostConfig.{field}}}}}"))
    .chain(["{{.Config.Hostname}}".to_owned(), "{{.Config.StopSignal}}".to_owned()])
    .map(|format| (format.clone(), inspect(&old, &format)))
    .collect();
    assert!(kept.iter().all(|(_, value)| !matches!(value.as_str(), "" | "null" | "[]" | "0")), "{kept:?}");
    eventually("the file is written", || async { try_docker(&["exec", &old.0, "cat", "/nameless/file"]).0 }).await;

    let leaves = world.leaves(vec![(env("MANAGED"), text("new"))]).await;
    let withdrawn = BTreeSet::from([env("WITHDRAWN"), FieldPath::Labels("gone".into())]);
    let new = world.replace("web", &leaves, &withdrawn, &old).await;
    let after = world.replica("web").await;
    assert_eq!(
        difference(&before, &after),
        BTreeSet::from([env("MANAGED"), env("WITHDRAWN"), FieldPath::Labels("gone".into())])
    );
    for (format, expected) in &kept {
        assert_eq!(&inspect(&new, format), expected, "{format}");
    }
    assert!(inspect(&new, "{{json .HostConfig.Ulimits}}").contains("512"));
    let networks = inspect(&new, "{{json .NetworkSettings.Networks}}");
    for part in [&extra, &network, "\"far\"", "\"shop\"", "\"web\""] {
        assert!(networks.contains(part), "{part}: {networks}");
    }
    assert_eq!(docker(&["exec", &new.0, "cat", "/nameless/file"]), "data", "a nameless volume's content moved along");
}

#[tokio::test]
async fn withdrawn_values_return_to_their_defaults() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let data = format!("{}-test-data", world.project());
    let all = world
        .leaves(vec![
            (FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000))),
            (FieldPath::MemoryLimit, Value::Memory(Bytes(64 << 20))),
            (FieldPath::Restart, Value::Restart(RestartPolicy::No)),
            (FieldPath::StopGracePeriod, Value::Duration(Millis(3_000))),
            (FieldPath::Command, words(&["sleep", "1000"])),
            (FieldPath::Entrypoint, words(&["/bin/busybox"])),
            (FieldPath::User, text("1000")),
            (FieldPath::WorkingDir, text("/srv")),
            (env("A"), text("1")),
            (FieldPath::Volumes("/data".into()), named(&data)),
            (
                FieldPath::Ports("8080/tcp".into()),
                Value::Ports([PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: None }].into()),
            ),
        ])
        .await;
    let old = world.deploy("web", &all).await;
    let bare = world.leaves(vec![]).await;
    let withdrawn: BTreeSet<FieldPath> = all.keys().filter(|field| **field != FieldPath::Image).cloned().collect();
    world.replace("web", &bare, &withdrawn, &old).await;
    let after = world.replica("web").await;
    for field in &withdrawn {
        let satisfied = after.leaves.get(field).is_none_or(|leaf| leaf.known().is_some_and(|leaf| leaf.supplied));
        assert!(satisfied, "{field}: {:?}", after.leaves.get(field));
    }
    assert!(try_docker(&["volume", "inspect", &data]).0, "named volumes stay");
}

#[tokio::test]
async fn secrets_reach_the_container_and_no_error() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let name: SecretName = "database-url".parse().unwrap();
    let secret = Value::Secret(SecretValue { name: Some(name.clone()), fingerprint: None });
    let leaves = world.leaves(vec![(env("DATABASE_URL"), secret.clone())]).await;
    let permit = world.gate.permit().await;
    let error = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap_err();
    assert!(error.to_string().contains("database-url"), "{error}");
    let values = BTreeMap::from([(name, "hunter2".to_owned().into())]);
    world.prepare_with(&permit, "web", &leaves, &BTreeSet::new(), None, &values).await.unwrap();
    assert_eq!(leaf(&world.replica("web").await, &env("DATABASE_URL")), Some(text("hunter2")));
    // An engine that quotes what it was sent: a user name that does not exist is told when it starts.
    let mut broken = leaves.clone();
    broken.insert(
        FieldPath::Volumes("/data".into()),
        Value::Volume(VolumeMount { source: VolumeSource::Host("/hunter2/does/not/exist".into()), read_only: false }),
    );
    let error = world.prepare_with(&permit, "web", &broken, &BTreeSet::new(), None, &values).await.unwrap_err();
    assert!(matches!(error, StepError::Refused(_)) && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_refuses_the_start_and_says_so() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let bindings = [PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: Some(port) }];
    let leaves = world.leaves(vec![(FieldPath::Ports("80/tcp".into()), Value::Ports(bindings.into()))]).await;
    let permit = world.gate.permit().await;
    let id = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap();
    let error = world.provider.start(&permit, &id).await.unwrap_err();
    assert!(matches!(&error, StepError::Refused(why) if why.contains(&port.to_string())), "{error}");
    assert!(!world.provider.state(&id).await.unwrap().running);
}

#[tokio::test]
async fn another_environments_things_are_neither_seen_nor_touched() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let id = world.deploy("web", &world.leaves(vec![]).await).await;
    let other = format!("{}/other", world.project()).parse().unwrap();
    let stranger = crate::world::docker::connect(&other, &[]);
    assert!(crate::world::docker::known(stranger.observe().await).is_empty());
    let gate = Gate::open(&other, "docker").await;
    let permit = gate.permit().await;
    for result in [
        stranger.stop(&permit, &id).await,
        stranger.remove(&permit, &id).await,
        world.provider.stop(&permit, &id).await,
    ] {
        assert!(matches!(result, Err(StepError::Refused(_))), "{result:?}");
    }
    assert!(world.provider.state(&id).await.unwrap().running);
}

#[tokio::test]
async fn external_volumes_must_exist_and_are_the_same_under_their_name() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let name = format!("{}-shared", world.project());
    let external = Value::Volume(VolumeMount { source: VolumeSource::External(name.clone()), read_only: true });
    let leaves = world.leaves(vec![(FieldPath::Volumes("/shared".into()), external.clone())]).await;
    let permit = world.gate.permit().await;
    let error = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap_err();
    assert!(matches!(&error, StepError::Refused(why) if why.contains("docker volume create")), "{error}");
    docker(&["volume", "create", &name]);
    world.adopt_volume(&name);
    world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap();
    let found = leaf(&world.replica("web").await, &FieldPath::Volumes("/shared".into())).unwrap();
    assert!(found.same(&external), "{found:?}");
}

#[tokio::test]
async fn output_is_read_and_followed() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let script = "echo one; echo two >&2; trap 'echo bye; exit 0' TERM; i=0; while :; do sleep 1 & wait $!; done";
    let leaves = world.leaves(vec![(FieldPath::Command, words(&["sh", "-c", script]))]).await;
    let id = world.deploy("web", &leaves).await;
    eventually("both lines", || async { world.provider.logs(&id, 10).await.unwrap().len() == 2 }).await;
    assert_eq!(world.provider.logs(&id, 1).await.unwrap().len(), 1);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let follow = world.provider.follow_logs(&id, 10, sender);
    let permit = world.gate.permit().await;
    let watch = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
            if lines.len() == 2 {
                world.provider.stop(&permit, &id).await.unwrap();
            }
        }
        lines
    };
    let (followed, mut lines) = tokio::join!(follow, watch);
    followed.unwrap();
    assert_eq!(lines.pop().as_deref(), Some("bye"), "until it ends");
    lines.sort();
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn how_it_ended_is_told() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let no = (FieldPath::Restart, Value::Restart(RestartPolicy::No));
    let leaves = world.leaves(vec![(FieldPath::Command, words(&["sh", "-c", "exit 3"])), no.clone()]).await;
    let id = world.deploy("web", &leaves).await;
    eventually("it ended", || async { !world.provider.state(&id).await.unwrap().running }).await;
    let state = world.provider.state(&id).await.unwrap();
    assert_eq!(state.ended.as_deref(), Some("exit code 3"));
    assert_eq!(state.health, Health::Stopped { why: "exit code 3".into() });
    assert_eq!(leaf(&world.replica("web").await, &FieldPath::Stopped), Some(Value::Flag(false)), "restart: no");

    let leaves = world.leaves(vec![(FieldPath::Command, words(&["sh", "-c", "exit 4"]))]).await;
    let id = world.deploy("loop", &leaves).await;
    eventually("it crash-loops", || async {
        matches!(world.provider.state(&id).await.unwrap().health, Health::CrashLooping { .. })
    })
    .await;
}

#[tokio::test]
async fn changes_are_told_as_they_happen() {
    use futures_util::StreamExt;
    if !available() {
        return;
    }
    let world = World::new().await;
    let leaves = world.leaves(vec![]).await;
    let mut changes = world.provider.changes().unwrap();
    let deploy = async {
        let id = world.deploy("web", &leaves).await;
        docker(&["update", "--cpus", "0.5", &id.0]);
    };
    let watch = tokio::time::timeout(Duration::from_secs(30), async {
        let mut seen = 0;
        while seen < 3 {
            changes.next().await.unwrap().unwrap();
            seen += 1;
        }
    });
    let ((), watched) = tokio::join!(deploy, watch);
    watched.expect("created, started, updated");
}

#[tokio::test]
async fn the_connection_test_finds_the_engine() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let report = world.provider.test_connection().await;
    assert!(report.ok, "{report:?}");
    assert!(report.findings[0].message.contains("API 1."), "{report:?}");
    let lost = crate::world::docker::connect(&world.environment, &[("host", "unix:///nowhere/docker.sock")]);
    let report = lost.test_connection().await;
    assert!(!report.ok && report.findings[0].message.contains("/nowhere/docker.sock"), "{report:?}");
    match lost.observe().await.services {
        Observed::Unknown(why) => assert!(why.contains("does not exist"), "{why}"),
        Observed::Known(services) => panic!("{services:?}"),
    }
}
