//! When a deploy fails on a real Engine, does what ran before run as it was, is the failure explained, and does the next
//! sync repair it?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use trueup::plan::Blocked;
use trueup::store::records::RunState;
use trueup::sync::gate::Refusal;
use trueup::sync::journal::{Boundary, Step};

use crate::world::cut::Wire;
use crate::world::dock::{Dock, Site, changes, inspect, service};
use crate::world::docker::{available, docker, try_docker};

/// Serves files, says which release it is, and ends at once when told to.
const SERVE: &str =
    "echo release {{.Env.R}}; httpd -p 8080 -h /www; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

fn serving(release: &str, check: &str, more: &[&str]) -> String {
    let command = SERVE.replace("{{.Env.R}}", release);
    let mut text = format!("web:\n  image: busybox:1\n  command: [sh, -c, \"{command}\"]\n  port: 8080\n  {check}\n");
    more.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}

#[tokio::test]
async fn whatever_fails_the_old_runs_as_it_was_and_the_next_sync_repairs() {
    if !available() {
        return;
    }
    let quick = "interval: 100ms, timeout: 1s, unhealthy_threshold: 3";
    let good = format!("healthcheck: {{path: /index.html, {quick}}}");
    let dock = Dock::new(&serving("1", &good, &[])).await;
    dock.sync().await;
    let before = dock.picture_at_rest();
    let base = dock.house.store.base(&dock.house.id).await.unwrap();
    let (untouched, restored) = ("nothing that runs was touched", "runs again as it was");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let no_more = "command: [sh, -c, \"echo last words; exit 3\"]";
    for (text, why, last_words, told) in [
        (
            serving("2", &format!("healthcheck: {{path: /missing, {quick}}}"), &[]),
            "answered 404",
            "release 2",
            restored,
        ),
        (serving("3", &format!("healthcheck: {{port: 8081, {quick}}}"), &[]), "port 8081", "release 3", restored),
        (
            serving("4", &format!("healthcheck: {{command: [sh, -c, \"echo not yet; exit 7\"], {quick}}}"), &[]),
            "not yet",
            "release 4",
            restored,
        ),
        (service("web", &[no_more]), "exit code 3", "last words", restored),
        (service("web", &["command: [/bin/nothing-there]"]), "nothing-there", "", restored),
        (serving("5", &good, &[&format!("ports: [\"127.0.0.1:{port}:8080\"]")]), &port.to_string(), "", restored),
        (
            serving("6", &good, &["volumes: [{source: not-there, target: /x, external: true}]"]),
            "not-there",
            "",
            untouched,
        ),
    ] {
        dock.declare(&text);
        let at_work = dock.picture();
        let (run, output) = dock.fail().await;
        let summary = run.summary.unwrap_or_default();
        assert!(summary.contains(why), "{why}: {summary}\n{output}");
        assert!(output.contains(last_words), "{last_words}: {output}");
        assert!(summary.contains(told), "{why}: {summary}");
        // What could not even be prepared is found out while the old one runs on: it was not so much as restarted.
        assert_eq!(dock.picture() == at_work, told == untouched, "{why}: {summary}");
        assert_eq!(dock.picture_at_rest(), before, "{why}: what ran is not as it was");
        assert_eq!(inspect(&dock.id("web"))["State"]["Status"], "running");
        assert_eq!(dock.house.store.base(&dock.house.id).await.unwrap(), base, "{why}: a failed run changed base");
        let plan = dock.plan().await;
        assert!(changes(&plan).iter().all(|change| change.ends_with(" repo")), "{why}: {:?}", changes(&plan));
    }
    drop(taken);
    dock.declare(&serving("7", &good, &[&format!("ports: [\"127.0.0.1:{port}:8080\"]")]));
    dock.sync().await;
}

#[tokio::test]
async fn a_first_deploy_that_fails_leaves_nothing_behind() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &["command: [sh, -c, \"exit 1\"]"])).await;
    let (run, _) = dock.fail().await;
    assert!(run.summary.unwrap().contains("does not stay up"));
    assert!(dock.picture().is_empty(), "{:?}", dock.picture());
    assert!(dock.house.store.base(&dock.house.id).await.unwrap().services.is_empty());
    dock.declare(&service("web", &[]));
    dock.sync().await;
}

#[tokio::test]
async fn a_change_in_place_that_is_not_healthy_is_set_back() {
    if !available() {
        return;
    }
    let check = |words: &str| {
        format!("healthcheck: {{command: [{words}], interval: 100ms, timeout: 1s, unhealthy_threshold: 2}}")
    };
    let web = |memory: &str, words: &str| {
        format!("web:\n  image: busybox:1\n  {}\n  resources: {{memory_limit: {memory}}}\n", check(words))
    };
    let dock = Dock::new(&web("64Mi", "\"true\"")).await;
    dock.sync().await;
    let before = dock.picture();
    dock.declare(&web("32Mi", "\"false\""));
    let (run, output) = dock.fail().await;
    assert!(run.summary.unwrap().contains("runs again as it was"), "{output}");
    assert_eq!(dock.picture(), before, "neither restarted nor changed");

    // A limit where there was none cannot be taken back while it runs; the run says so instead of claiming otherwise.
    dock.declare("web:\n  image: busybox:1\n  healthcheck: {command: [\"true\"], interval: 100ms, timeout: 1s}\n");
    dock.sync().await;
    dock.declare(&web("32Mi", "\"false\""));
    let (run, output) = dock.fail().await;
    let summary = run.summary.unwrap();
    assert!(summary.contains("could not be brought back") && summary.contains("memory_limit"), "{summary}\n{output}");
}

#[tokio::test]
async fn an_image_that_is_not_there_blocks_and_touches_nothing() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &[])).await;
    dock.sync().await;
    let before = dock.picture();
    dock.declare(&service("web", &["pull: never"]).replace("busybox:1", "busybox:missing"));
    let plan = dock.plan().await;
    let blocked = &plan.actions[0].blocked;
    assert!(matches!(&blocked[..], [Blocked::Unknown { .. }]), "{blocked:?}");
    assert!(!plan.unknowns.is_empty());
    match dock.house.start(&plan).await {
        Err(Refusal::NotAllowed(why)) => assert!(why.contains("blocked"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(dock.picture(), before);
    // Another service is not held up by it.
    let broken = service("web", &["pull: never"]).replace("busybox:1", "busybox:missing");
    dock.declare(&format!("{broken}{}", service("api", &[])));
    let run = dock.house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert!(run.summary.unwrap().contains("web"), "what was left out is named");
    assert_eq!(dock.ids("api").len(), 1);
}

/// Cuts the wire to the Engine at one boundary.
struct CutAt {
    left: AtomicUsize,
    wire: watch::Sender<bool>,
}

impl Boundary for CutAt {
    fn reached(&self, _: &Step, _: bool) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.wire.send_replace(false);
        }
    }
}

#[tokio::test]
async fn an_engine_that_goes_away_at_any_step_parks_the_run_and_it_is_settled_when_it_is_back() {
    if !available() {
        return;
    }
    let wire = Wire::new();
    let host = wire.host();
    let site = Site { settings: &[("host", &host)], ..Site::default() };
    let mut dock = Dock::with(site, &service("web", &["env: {R: \"0\"}"])).await;
    dock.sync().await;
    let mut parked = 0;
    for boundary in 1.. {
        let before = dock.picture_at_rest();
        let base = dock.house.store.base(&dock.house.id).await.unwrap();
        dock.declare(&service("web", &[&format!("env: {{R: \"{boundary}\"}}")]));
        let plan = dock.plan().await;
        dock = dock.watched(Arc::new(CutAt { left: AtomicUsize::new(boundary), wire: wire.knife() }));
        let run = dock.house.carry_out(&plan).await;
        dock = dock.watched(Arc::new(CutAt { left: AtomicUsize::new(0), wire: wire.knife() }));
        if run.state == RunState::Succeeded {
            // The cut came after the last answer that was needed.
            assert!(boundary > 10, "only {boundary} boundaries");
            break;
        }
        let blind = dock.plan().await;
        assert!(
            blind.actions.is_empty() && !blind.unknowns.is_empty(),
            "what cannot be seen is not planned: {blind:?}"
        );
        if run.state == RunState::Running {
            parked += 1;
            assert_eq!(dock.house.syncs.settle().await.unwrap(), [run.id], "it cannot be settled yet");
        }
        wire.mend();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !dock.house.syncs.settle().await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "boundary {boundary}: it is not settled");
        }
        let settled = dock.house.store.run(run.id).await.unwrap().unwrap();
        let summary = settled.summary.unwrap();
        assert!(!summary.is_empty());
        if settled.state == RunState::Succeeded {
            // All of it had passed: it was verified, recorded, and needs nobody.
            assert!(dock.plan().await.is_empty(), "boundary {boundary}: {summary}");
            continue;
        }
        assert_eq!(settled.state, RunState::Failed, "boundary {boundary}: {summary}");
        let id = dock.id("web");
        assert_eq!(inspect(&id)["State"]["Status"], "running", "boundary {boundary}: {summary}");
        if before.contains_key(&id) {
            assert_eq!(dock.picture_at_rest(), before, "boundary {boundary}: {summary}");
            assert_eq!(dock.house.store.base(&dock.house.id).await.unwrap(), base, "boundary {boundary}: {summary}");
        }
        if !dock.plan().await.is_empty() {
            dock.sync().await;
        }
    }
    assert!(parked > 5, "{parked}");
}

#[tokio::test]
async fn what_was_verified_before_a_failure_stays_recorded() {
    if !available() {
        return;
    }
    let dock = Dock::new(&format!("{}{}", service("api", &[]), service("web", &[]))).await;
    dock.sync().await;
    let web = dock.id("web");
    dock.declare(&format!(
        "{}{}",
        service("api", &["env: {A: \"1\"}"]),
        service("web", &["command: [sh, -c, \"exit 1\"]"])
    ));
    let (run, _) = dock.fail().await;
    assert!(run.summary.unwrap().starts_with("api applied and verified; web failed"));
    assert_eq!((dock.id("web"), dock.env_of("api", "A")), (web, Some("1".into())));
    assert_eq!(changes(&dock.plan().await), ["web.command repo"], "api is in sync, web is still to do");
    assert!(try_docker(&["exec", &dock.id("web"), "true"]).0);
    docker(&["exec", &dock.id("api"), "true"]);
}
