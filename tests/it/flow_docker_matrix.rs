//! Is every observable field that someone changes by hand found through the whole flow: that leaf, cause `live`, and
//! nothing else?

use crate::world::dock::{Dock, changes};
use crate::world::docker::{available, docker};
use crate::world::spec::{OBEY, Spec};

/// A service that writes every field that the Engine shows.
fn every_field() -> Spec {
    let words = |list: &[&str]| Some(list.iter().map(|word| (*word).to_owned()).collect());
    Spec {
        entrypoint: words(&["/bin/busybox"]),
        command: words(&["sh", "-c", OBEY]),
        user: Some("1000".into()),
        working_dir: Some("/srv".into()),
        env: [("LOG_LEVEL".into(), "info".into())].into(),
        labels: [("team".into(), "shop".into())].into(),
        ports: [("8080/tcp".into(), "127.0.0.1".into())].into(),
        volumes: [("/data".into(), ("data".into(), false))].into(),
        milli_cpus: Some(500),
        memory_mib: Some(64),
        restart: Some("always".into()),
        stop_millis: Some(2_500),
        replicas: None,
        tag: None,
    }
}

#[tokio::test]
async fn every_field_changed_while_it_runs_is_drift_at_its_leaf_and_is_set_back() {
    if !available() {
        return;
    }
    let dock = Dock::new(&every_field().yaml("web")).await;
    dock.sync().await;
    let id = dock.id("web");
    for (arguments, expected) in [
        (vec!["update", "--cpus", "0.3"], "web.resources.cpu_limit live"),
        (vec!["update", "--memory", "32m", "--memory-swap", "32m"], "web.resources.memory_limit live"),
        (vec!["update", "--restart", "on-failure:2"], "web.restart live"),
        (vec!["update", "--restart", "no"], "web.restart live"),
        (vec!["pause"], "web.stopped live"),
        (vec!["stop", "--time", "1"], "web.stopped live"),
        (vec!["kill"], "web.stopped live"),
    ] {
        docker(&[arguments.clone(), vec![&id]].concat());
        assert_eq!(changes(&dock.plan().await), [expected], "docker {}", arguments.join(" "));
        dock.sync().await;
        assert_eq!(dock.id("web"), id, "set back in place after docker {}", arguments.join(" "));
    }
    // A name is nothing that is declared: renaming is no drift.
    docker(&["rename", &id, &format!("{}-renamed", dock.world.project())]);
    assert!(dock.plan().await.is_empty());
    docker(&["rm", "-f", &id]);
    let plan = dock.plan().await;
    assert!(changes(&plan).iter().all(|change| change.ends_with(" live")), "{:?}", changes(&plan));
    assert_eq!(plan.actions[0].kind, trueup::plan::ActionKind::Create, "what was removed by hand is created");
}

#[tokio::test]
async fn every_field_changed_by_running_it_anew_is_drift_at_its_leaf() {
    if !available() {
        return;
    }
    let base = every_field();
    let dock = Dock::new(&base.yaml("web")).await;
    dock.sync().await;
    dock.import("2", &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    base.run_instead(&dock, "web");
    assert_eq!(changes(&dock.plan().await), Vec::<String>::new(), "the same by hand is no drift");
    let words = |list: &[&str]| Some(list.iter().map(|word| (*word).to_owned()).collect());
    let other = |change: &dyn Fn(&mut Spec)| {
        let mut spec = base.clone();
        change(&mut spec);
        spec
    };
    for (spec, leaf) in [
        (other(&|s| s.entrypoint = words(&["/bin/sh"])), ""),
        (other(&|s| s.command = words(&["sleep", "1000"])), "command"),
        (other(&|s| s.user = Some("1001".into())), "user"),
        (other(&|s| s.user = None), "user"),
        (other(&|s| s.working_dir = Some("/tmp".into())), "working_dir"),
        (other(&|s| s.working_dir = None), "working_dir"),
        (other(&|s| _ = s.env.insert("LOG_LEVEL".into(), "debug".into())), "env.LOG_LEVEL"),
        (other(&|s| s.env.clear()), "env.LOG_LEVEL"),
        (other(&|s| _ = s.labels.insert("team".into(), "ops".into())), "labels.team"),
        (other(&|s| s.labels.clear()), "labels.team"),
        (other(&|s| s.ports.clear()), "ports[\"8080/tcp\"]"),
        (other(&|s| _ = s.ports.insert("8080/tcp".into(), "127.0.0.2".into())), "ports[\"8080/tcp\"]"),
        (other(&|s| _ = s.volumes.insert("/data".into(), ("data".into(), true))), "volumes[\"/data\"]"),
        (other(&|s| _ = s.volumes.insert("/data".into(), ("other".into(), false))), "volumes[\"/data\"]"),
        (other(&|s| _ = s.volumes.insert("/data".into(), (path.clone(), false))), "volumes[\"/data\"]"),
        (other(&|s| s.volumes.clear()), "volumes[\"/data\"]"),
        (other(&|s| s.tag = Some("2".into())), "image"),
        (other(&|s| s.milli_cpus = None), "resources.cpu_limit"),
        (other(&|s| s.memory_mib = None), "resources.memory_limit"),
        (other(&|s| s.restart = Some("no".into())), "restart"),
        (other(&|s| s.stop_millis = Some(5_000)), "stop_grace_period"),
        (other(&|s| s.stop_millis = None), "stop_grace_period"),
        // What nobody declared is nobody's drift.
        (other(&|s| _ = s.env.insert("EXTRA".into(), "1".into())), "-"),
        (other(&|s| _ = s.labels.insert("extra".into(), "1".into())), "-"),
        (other(&|s| _ = s.ports.insert("53/udp".into(), "127.0.0.1".into())), "-"),
    ] {
        // With another entry point the words after it mean something else: both leaves are declared, one differs.
        let expected = match leaf {
            "" => vec!["web.entrypoint live".to_owned()],
            "-" => vec![],
            leaf => vec![format!("web.{leaf} live")],
        };
        spec.run_instead(&dock, "web");
        assert_eq!(changes(&dock.plan().await), expected, "{spec:?}");
    }
    // And whatever it was, one sync makes it as declared.
    other(&|s| *s = Spec::default()).run_instead(&dock, "web");
    dock.sync().await;
}

#[tokio::test]
async fn replicas_that_someone_adds_or_removes_are_drift_of_their_count() {
    if !available() {
        return;
    }
    let spec =
        Spec { command: Some(vec!["sh".into(), "-c".into(), OBEY.into()]), replicas: Some(2), ..Spec::default() };
    let dock = Dock::new(&spec.yaml("web")).await;
    dock.sync().await;
    let ids = dock.ids("web");
    let mut words = vec!["run".to_owned(), "-d".to_owned(), "--restart".to_owned(), "unless-stopped".to_owned()];
    let third = dock.world.label_arguments("web").into_iter();
    words.extend(third.map(|word| word.replace("dev.trueup.replica=1", "dev.trueup.replica=3")));
    words.extend([dock.world.image.clone(), "sh".into(), "-c".into(), OBEY.into()]);
    docker(&words);
    assert_eq!(changes(&dock.plan().await), ["web.replicas live"]);
    dock.sync().await;
    assert_eq!(dock.ids("web"), ids, "the one that was added goes, and no other");
    docker(&["rm", "-f", &ids[1]]);
    assert_eq!(changes(&dock.plan().await), ["web.replicas live"]);
    dock.sync().await;
    assert_eq!((dock.ids("web").len(), &dock.ids("web")[0]), (2, &ids[0]));
}

#[tokio::test]
async fn other_content_under_the_tag_is_drift_of_the_image() {
    if !available() {
        return;
    }
    let spec = Spec { command: Some(vec!["sh".into(), "-c".into(), OBEY.into()]), ..Spec::default() };
    let dock = Dock::new(&spec.yaml("web")).await;
    dock.sync().await;
    let declared = dock.inspect("web")["Image"].clone();
    // Somebody runs another build that goes by the same tag, and puts the tag back.
    let old = docker(&["inspect", "--format", "{{.Id}}", &dock.world.image]);
    dock.import("1", &[]);
    spec.run_instead(&dock, "web");
    docker(&["tag", &old, &dock.world.image]);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.image live"]);
    let note = plan.actions[0].changes[0].note.clone().unwrap_or_default();
    assert!(note.contains("same tag, other digest"), "{note}");
    dock.sync().await;
    assert_eq!(dock.inspect("web")["Image"], declared);

    // The tag itself moved: what is declared is another image now.
    dock.import("1", &[]);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.image input"]);
    dock.sync().await;
    assert_ne!(dock.inspect("web")["Image"], declared);
}
