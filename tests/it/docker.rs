//! Does the docker provider do each step on a real Engine, and leave alone what is not its own?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, Value};
use trueup::live::{Health, LiveReplica, Observed, ReplicaId};
use trueup::provider::{Provider, StepError};

use crate::world::docker::{World, available, docker, eventually, named, text, words};
use crate::world::permit::Gate;

pub fn env(key: &str) -> FieldPath {
    FieldPath::Env(key.into())
}

pub fn leaf(replica: &LiveReplica, field: &FieldPath) -> Option<Value> {
    replica.leaves.get(field).map(|leaf| match leaf {
        Observed::Known(leaf) => leaf.value.clone(),
        Observed::Unknown(why) => panic!("{field}: {why}"),
    })
}

fn supplied(replica: &LiveReplica, field: &FieldPath) -> bool {
    replica.leaves.get(field).and_then(Observed::known).is_some_and(|leaf| leaf.supplied)
}

pub fn inspect(id: &ReplicaId, format: &str) -> String {
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
                Value::Ports(Arc::new([PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: None }].into())),
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
        let swap = inspect(&id, "{{.HostConfig.MemorySwap}}");
        assert_eq!(swap, (memory << 20).to_string(), "the limit in memory and swap together is the same");
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
async fn a_port_that_is_taken_refuses_the_start_and_says_so() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let bindings = [PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: Some(port) }];
    let leaves = world.leaves(vec![(FieldPath::Ports("80/tcp".into()), Value::Ports(Arc::new(bindings.into())))]).await;
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

/// `docker` as it would answer on another machine, through a program that stands in for ssh.
#[tokio::test]
async fn an_engine_is_reached_through_ssh() {
    use std::os::unix::fs::PermissionsExt;
    if !available() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("ssh");
    let told = directory.path().join("told");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"\n",
        told.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = [("host", "ssh://ops@build-1:2222"), ("ssh", program.to_str().unwrap())];
    let world = World::with(&settings).await;
    let id = world.deploy("web", &world.leaves(vec![]).await).await;
    let check = crate::docker_probe::check(trueup::provider::Probe::Command { argv: vec!["true".into()] });
    assert_eq!(world.provider.probe(&id, &check).await, trueup::provider::ProbeOutcome::Passed, "upgrades pass too");
    let words = std::fs::read_to_string(told).unwrap();
    assert!(
        words.contains("BatchMode=yes") && words.contains("-p 2222 -- ops@build-1 docker system dial-stdio"),
        "{words}"
    );
    let http = crate::docker_probe::check(trueup::provider::Probe::Tcp { port: Some(80) });
    assert!(world.provider.can_probe(&http).await.unwrap_err().contains("probe_image"), "another machine's bridge");
    let missing =
        crate::world::docker::connect(&world.environment, &[("host", "ssh://ops@x"), ("ssh", "/no/such/ssh")]);
    match missing.observe().await.services {
        Observed::Unknown(why) => assert!(why.contains("/no/such/ssh"), "{why}"),
        Observed::Known(services) => panic!("{services:?}"),
    }
}

#[tokio::test]
async fn an_engine_is_reached_over_tcp() {
    if !available() {
        return;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::UnixStream::connect("/var/run/docker.sock").await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.unwrap_or_default();
            });
        }
    });
    let world = World::with(&[("host", &host)]).await;
    world.deploy("web", &world.leaves(vec![]).await).await;
    assert_eq!(world.services().await.len(), 1);
    proxy.abort();
}
