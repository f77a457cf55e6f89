//! Does a replacement keep what nobody manages, drop what is withdrawn, and treat volumes and secrets as it should?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trueup::ids::SecretName;
use trueup::live::ReplicaId;
use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, SecretValue, Value, VolumeMount, VolumeSource};
use trueup::provider::{Provider, StepError};

use crate::docker::{env, inspect, leaf};
use crate::world::docker::{World, available, difference, docker, eventually, named, text, try_docker, words};

/// What a failed deploy made is taken away with the volumes that the Engine made for it; what served keeps them.
#[tokio::test]
async fn nameless_volumes_go_with_what_never_served_and_with_nothing_else() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let tag = format!("{}:nameless", world.image.split(':').next().unwrap());
    world.import(&tag, &["VOLUME /kept"]);
    let leaves = BTreeMap::from([
        world.image_leaf(&tag).await,
        (FieldPath::Command, words(&["/bin/httpd", "-f", "-p", "8080", "-h", "/www"])),
    ]);
    for (discarded, stays) in [(true, false), (false, true)] {
        let permit = world.gate.permit().await;
        let id = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap();
        world.provider.start(&permit, &id).await.unwrap();
        let volume = docker(&["inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", &id.0]);
        world.adopt_volume(&volume);
        match discarded {
            true => world.provider.discard(&permit, &id).await.unwrap(),
            false => world.provider.remove(&permit, &id).await.unwrap(),
        }
        world.gate.finish(permit).await;
        assert_eq!(try_docker(&["volume", "inspect", &volume]).0, stays, "discarded: {discarded}");
    }
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
                Value::Ports(Arc::new([PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: None }].into())),
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
async fn external_volumes_must_exist_and_are_the_same_under_their_name() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let name = format!("{}-shared", world.project());
    let external = Value::Volume(VolumeMount { source: VolumeSource::External(name.as_str().into()), read_only: true });
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
