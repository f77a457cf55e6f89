//! Is every observable field, changed by hand with the docker command, found at exactly its leaf?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{PortBinding, RestartPolicy, Value};
use trueup::live::{LiveReplica, ReplicaId};
use trueup::provider::Provider;

use crate::world::docker::{World, available, difference, docker, named, text, words};

const COMMAND: [&str; 3] = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"];

/// The service as the provider makes it.
async fn declared(world: &World) -> BTreeMap<FieldPath, Value> {
    let binding = PortBinding { host_ip: Some([127, 0, 0, 1].into()), host_port: None };
    world
        .leaves(vec![
            (FieldPath::Entrypoint, words(&["/bin/busybox"])),
            (FieldPath::Command, words(&["sh", "-c", COMMAND[2]])),
            (FieldPath::User, text("1000")),
            (FieldPath::WorkingDir, text("/srv")),
            (FieldPath::Env("LOG_LEVEL".into()), text("info")),
            (FieldPath::Labels("team".into()), text("shop")),
            (FieldPath::Ports("8080/tcp".into()), Value::Ports(Arc::new([binding].into()))),
            (FieldPath::Volumes("/data".into()), named(&format!("{}-test-data", world.project()))),
            (FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000))),
            (FieldPath::MemoryLimit, Value::Memory(Bytes(64 << 20))),
            (FieldPath::Restart, Value::Restart(RestartPolicy::Always)),
            (FieldPath::StopGracePeriod, Value::Duration(Millis(3_000))),
        ])
        .await
}

/// The same service as `docker run` makes it; each option can be changed.
struct ByHand {
    options: Vec<(&'static str, String)>,
    image: String,
    command: Vec<String>,
}

impl ByHand {
    fn of(world: &World) -> ByHand {
        let options = [
            ("--entrypoint", "/bin/busybox"),
            ("--user", "1000"),
            ("--workdir", "/srv"),
            ("--env", "LOG_LEVEL=info"),
            ("--label", "team=shop"),
            ("--publish", "127.0.0.1::8080"),
            ("--cpus", "0.5"),
            ("--memory", "64m"),
            ("--restart", "always"),
            ("--stop-timeout", "3"),
        ];
        let mut options: Vec<(&'static str, String)> =
            options.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        options.push(("--volume", format!("{}-test-data:/data", world.project())));
        options.push(("--network", format!("{}-test", world.project())));
        let command = ["sh", "-c", COMMAND[2]].iter().map(|word| (*word).to_owned()).collect();
        ByHand { options, image: world.image.clone(), command }
    }

    fn with(mut self, name: &'static str, value: &str) -> ByHand {
        match self.options.iter_mut().find(|(option, _)| *option == name) {
            Some(option) => option.1 = value.to_owned(),
            None => self.options.push((name, value.to_owned())),
        }
        self
    }

    fn also(mut self, name: &'static str, value: &str) -> ByHand {
        self.options.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> ByHand {
        self.options.retain(|(option, _)| *option != name);
        self
    }

    /// Takes the running replica's place.
    async fn observed(self, world: &World) -> LiveReplica {
        let old = world.replica("web").await.id;
        docker(&["rm", "-f", &old.0]);
        let mut arguments = vec!["run".to_owned(), "-d".to_owned()];
        arguments.extend(world.label_arguments("web"));
        for (name, value) in self.options {
            arguments.extend([name.to_owned(), value]);
        }
        arguments.push(self.image);
        arguments.extend(self.command);
        docker(&arguments);
        world.replica("web").await
    }
}

fn only(field: FieldPath) -> BTreeSet<FieldPath> {
    BTreeSet::from([field])
}

#[tokio::test]
async fn every_field_changed_while_it_runs_is_found_at_its_leaf() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let id = world.deploy("web", &declared(&world).await).await;
    let mut before = world.replica("web").await;
    for (arguments, field) in [
        (vec!["update", "--cpus", "0.3"], FieldPath::CpuLimit),
        (vec!["update", "--memory", "32m", "--memory-swap", "32m"], FieldPath::MemoryLimit),
        (vec!["update", "--restart", "on-failure:2"], FieldPath::Restart),
        (vec!["update", "--restart", "unless-stopped"], FieldPath::Restart),
        (vec!["pause"], FieldPath::Stopped),
        (vec!["unpause"], FieldPath::Stopped),
        (vec!["stop", "--time", "1"], FieldPath::Stopped),
        (vec!["start"], FieldPath::Stopped),
        (vec!["kill"], FieldPath::Stopped),
    ] {
        docker(&[arguments.clone(), vec![&id.0]].concat());
        let after = world.replica("web").await;
        assert_eq!(difference(&before, &after), only(field), "docker {}", arguments.join(" "));
        before = after;
    }
}

#[tokio::test]
async fn every_field_changed_by_running_it_anew_is_found_at_its_leaf() {
    if !available() {
        return;
    }
    let world = World::new().await;
    world.deploy("web", &declared(&world).await).await;
    let before = world.replica("web").await;
    let same = ByHand::of(&world).observed(&world).await;
    assert_eq!(difference(&before, &same), BTreeSet::new(), "the same by hand is no drift");
    let base = || ByHand::of(&world);
    let project = world.project();
    for (changed, field) in [
        (base().with("--entrypoint", "/bin/sh").command(&["-c", COMMAND[2]]), None),
        (base().command(&["sleep", "1000"]), Some(FieldPath::Command)),
        (base().with("--user", "1001"), Some(FieldPath::User)),
        (base().without("--user"), Some(FieldPath::User)),
        (base().with("--workdir", "/tmp"), Some(FieldPath::WorkingDir)),
        (base().without("--workdir"), Some(FieldPath::WorkingDir)),
        (base().with("--env", "LOG_LEVEL=debug"), Some(FieldPath::Env("LOG_LEVEL".into()))),
        (base().without("--env"), Some(FieldPath::Env("LOG_LEVEL".into()))),
        (base().also("--env", "EXTRA=1"), Some(FieldPath::Env("EXTRA".into()))),
        (base().with("--label", "team=ops"), Some(FieldPath::Labels("team".into()))),
        (base().without("--publish"), Some(FieldPath::Ports("8080/tcp".into()))),
        (base().with("--publish", "127.0.0.2::8080"), Some(FieldPath::Ports("8080/tcp".into()))),
        (base().also("--publish", "127.0.0.1::53/udp"), Some(FieldPath::Ports("53/udp".into()))),
        (base().with("--volume", &format!("{project}-test-data:/data:ro")), Some(FieldPath::Volumes("/data".into()))),
        (base().with("--volume", &format!("{project}-test-other:/data")), Some(FieldPath::Volumes("/data".into()))),
        (base().with("--volume", "/tmp:/data"), Some(FieldPath::Volumes("/data".into()))),
        (base().without("--cpus"), Some(FieldPath::CpuLimit)),
        (base().without("--memory"), Some(FieldPath::MemoryLimit)),
        (base().without("--restart"), Some(FieldPath::Restart)),
        (base().with("--stop-timeout", "5"), Some(FieldPath::StopGracePeriod)),
        (base().without("--stop-timeout"), Some(FieldPath::StopGracePeriod)),
    ] {
        if let Some(other) = changed.options.iter().find(|(name, value)| *name == "--volume" && value.contains("other"))
        {
            world.adopt_volume(other.1.split(':').next().unwrap());
        }
        let shown = format!("{:?} {:?}", changed.options, changed.command);
        let after = changed.observed(&world).await;
        let expected = match field {
            Some(field) => only(field),
            None => BTreeSet::from([FieldPath::Entrypoint, FieldPath::Command]),
        };
        assert_eq!(difference(&before, &after), expected, "{shown}");
    }
}

impl ByHand {
    fn command(mut self, words: &[&str]) -> ByHand {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }
}

#[tokio::test]
async fn the_same_tag_with_other_content_is_found_at_the_image() {
    if !available() {
        return;
    }
    let world = World::new().await;
    world.deploy("web", &declared(&world).await).await;
    let before = world.replica("web").await;
    world.import(&world.image, &[]);
    let after = ByHand::of(&world).observed(&world).await;
    assert_eq!(difference(&before, &after), only(FieldPath::Image));
    let Value::Image(old) = &before.leaves[&FieldPath::Image].known().unwrap().value else { panic!("an image") };
    let Value::Image(new) = &after.leaves[&FieldPath::Image].known().unwrap().value else { panic!("an image") };
    assert!(old.same_reference(new) && !old.same_content(new), "same tag, other content");
}

#[tokio::test]
async fn replicas_made_and_removed_by_hand_are_counted() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let id: ReplicaId = world.deploy("web", &declared(&world).await).await;
    let mut arguments = vec!["create".to_owned()];
    arguments.extend(world.label_arguments("web"));
    arguments.push(world.image.clone());
    let second = docker(&arguments);
    let service = "web".parse().unwrap();
    assert_eq!(world.services().await[&service].replicas.len(), 2);
    docker(&["rm", &second]);
    docker(&["rm", "-f", &id.0]);
    assert!(!world.services().await.contains_key(&service));
    assert!(matches!(world.provider.state(&id).await, Err(trueup::provider::StepError::Gone(_))));
}
