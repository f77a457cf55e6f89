//! Do probes on a real Engine pass, fail and take part where they should, from here and from a helper container?

use std::time::Duration;

use trueup::live::ReplicaId;
use trueup::live::field::FieldPath;
use trueup::live::quantity::Millis;
use trueup::provider::{Check, Probe, ProbeOutcome, Provider};

use crate::world::docker::{World, available, docker, eventually, words};

pub fn check(probe: Probe) -> Check {
    Check {
        probe,
        interval: Millis(1_000),
        timeout: Millis(2_000),
        start_period: Millis(0),
        healthy_threshold: 1,
        unhealthy_threshold: 1,
    }
}

fn http(path: &str, port: u16) -> Check {
    check(Probe::Http { path: path.into(), port: Some(port) })
}

fn tcp(port: u16) -> Check {
    check(Probe::Tcp { port: Some(port) })
}

/// Serves /www on 8080.
async fn serving(world: &World) -> ReplicaId {
    let command = words(&["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]);
    let leaves = world.leaves(vec![(FieldPath::Command, command)]).await;
    world.deploy("web", &leaves).await
}

async fn expect(world: &World, replica: &ReplicaId) {
    assert_eq!(world.provider.can_probe(&http("/", 8080)).await, Ok(()));
    eventually("the server listens", || async {
        world.provider.probe(replica, &tcp(8080)).await == ProbeOutcome::Passed
    })
    .await;
    assert_eq!(world.provider.probe(replica, &http("/index.html", 8080)).await, ProbeOutcome::Passed);
    for (failing, part) in [(http("/missing", 8080), "404"), (http("/", 8081), "8081"), (tcp(8081), "8081")] {
        match world.provider.probe(replica, &failing).await {
            ProbeOutcome::Failed(why) => assert!(why.contains(part), "{why}"),
            other => panic!("{failing:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn replicas_are_dialled_where_the_bridge_is_here() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let replica = serving(&world).await;
    expect(&world, &replica).await;
    docker(&["pause", &replica.0]);
    assert_eq!(world.provider.probe(&replica, &tcp(8080)).await, ProbeOutcome::Failed("it is paused".into()));
    docker(&["rm", "-f", &replica.0]);
    assert!(matches!(world.provider.probe(&replica, &tcp(8080)).await, ProbeOutcome::Failed(_)));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_fails_in_time() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let leaves = world.leaves(vec![(FieldPath::Command, words(&["sh", "-c", "sleep 1000 | nc -l -p 8080"]))]).await;
    let replica = world.deploy("web", &leaves).await;
    let before = std::time::Instant::now();
    eventually("it fails for silence", || async {
        match world.provider.probe(&replica, &http("/", 8080)).await {
            ProbeOutcome::Failed(why) => why.contains("no answer within 2s"),
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn commands_run_in_the_replica() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let replica = serving(&world).await;
    let command = |words: &[&str]| check(Probe::Command { argv: words.iter().map(|word| (*word).into()).collect() });
    assert_eq!(world.provider.probe(&replica, &command(&["true"])).await, ProbeOutcome::Passed);
    for (words, part) in [
        (&["sh", "-c", "echo database is away >&2; exit 3"][..], "exit code 3: database is away"),
        (&["/no/such/program"][..], "no/such/program"),
        (&["sleep", "100"][..], "no answer within 2s"),
    ] {
        match world.provider.probe(&replica, &command(words)).await {
            ProbeOutcome::Failed(why) => assert!(why.contains(part), "{why}"),
            other => panic!("{words:?}: {other:?}"),
        }
    }
    assert_eq!(world.provider.probe(&replica, &check(Probe::Running)).await, ProbeOutcome::Passed);
}

/// The Engine cannot end an exec: commands that take too long must not pile up in the replica.
#[tokio::test]
async fn a_command_that_does_not_end_is_not_started_again_while_it_runs() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let replica = serving(&world).await;
    let slow = Check { timeout: Millis(500), ..check(Probe::Command { argv: vec!["sleep".into(), "1234".into()] }) };
    let sleeping = || docker(&["top", &replica.0, "-eo", "pid,args"]).matches("sleep 1234").count();
    let mut reasons = Vec::new();
    for _ in 0..4 {
        match world.provider.probe(&replica, &slow).await {
            ProbeOutcome::Failed(why) => reasons.push(why),
            other => panic!("{other:?}"),
        }
    }
    assert!(reasons[0].contains("no answer within 500ms"), "{reasons:?}");
    assert!(reasons[1..].iter().all(|why| why.contains("an earlier probe has not ended yet")), "{reasons:?}");
    assert_eq!(sleeping(), 1);
    let kill = "for p in /proc/[0-9]*; do case \"$(cat $p/cmdline)\" in sleep*) kill -9 ${p##*/};; esac; done";
    docker(&["exec", &replica.0, "sh", "-c", kill]);
    eventually("it is seen to have ended, and probed again", || async {
        let quick = check(Probe::Command { argv: vec!["true".into()] });
        world.provider.probe(&replica, &quick).await == ProbeOutcome::Passed
    })
    .await;
}

/// A replica without addresses on the environment's network can only be reached from beside it.
#[tokio::test]
async fn a_helper_beside_the_replica_probes_where_it_cannot_be_dialled() {
    if !available() {
        return;
    }
    let image = World::new().await;
    let world = World::with(&[("probe_image", &image.image)]).await;
    let mut run = vec!["run".to_owned(), "-d".to_owned()];
    run.extend(world.label_arguments("web"));
    for argument in ["--network", "none", &world.image, "/bin/httpd", "-f", "-p", "8080", "-h", "/www"] {
        run.push(argument.to_owned());
    }
    let replica = ReplicaId(docker(&run));
    expect(&world, &replica).await;
    let filter = format!("label=dev.trueup.project={}", world.project());
    let left = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
    assert_eq!(left, replica.0, "helpers are removed");
    assert_eq!(world.services().await.len(), 1, "and are no services");
}

#[tokio::test]
async fn without_a_declared_check_the_images_own_counts() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let mut run = vec!["run".to_owned(), "-d".to_owned()];
    run.extend(world.label_arguments("web"));
    for argument in ["--health-cmd", "test -e /tmp/well", "--health-interval", "500ms", "--health-retries", "1"] {
        run.push(argument.to_owned());
    }
    run.push(world.image.clone());
    let replica = ReplicaId(docker(&run));
    let running = check(Probe::Running);
    let probe = || world.provider.probe(&replica, &running);
    assert!(matches!(probe().await, ProbeOutcome::Pending | ProbeOutcome::Failed(_)), "not before it was checked");
    eventually("it fails", || async { matches!(probe().await, ProbeOutcome::Failed(_)) }).await;
    assert_eq!(world.replica("web").await.health.word(), "unhealthy");
    docker(&["exec", &replica.0, "touch", "/tmp/well"]);
    eventually("it passes", || async { probe().await == ProbeOutcome::Passed }).await;
    assert_eq!(world.replica("web").await.health.word(), "healthy");
}
