//! Does a sync on a real Engine do what its plan says, from a commit to a recorded base?

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use trueup::live::capability::ChangeKind;
use trueup::plan::{ActionKind, PlanOptions};
use trueup::store::records::RunState;
use trueup::sync::Started;

use crate::world::dock::{Dock, changes, inspect, service};
use crate::world::docker::{available, docker, eventually, try_docker};

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn created_changed_in_place_replaced_and_each_time_nothing_is_left() {
    if !available() {
        return;
    }
    let limits = "resources: {memory_limit: 64Mi, cpu_limit: 0.5}";
    let dock = Dock::new(&service("web", &["env: {LOG_LEVEL: info}", limits, "restart: always"])).await;
    let plan = dock.plan().await;
    assert_eq!((plan.actions[0].kind, plan.exit_code()), (ActionKind::Create, 2));
    assert!(changes(&plan).iter().all(|change| change.ends_with(" new")), "{:?}", changes(&plan));
    dock.sync().await;
    let base = dock.house.store.base(&dock.house.id).await.unwrap();
    assert!(base.services[&"web".parse().unwrap()].run.is_some());
    let created = dock.inspect("web");

    let limits = "resources: {memory_limit: 32Mi, cpu_limit: 250m}";
    dock.declare(&service("web", &["env: {LOG_LEVEL: info}", limits, "restart: unless-stopped"]));
    let plan = dock.plan().await;
    assert_eq!(plan.actions[0].kind, ActionKind::InPlace);
    assert_eq!(
        changes(&plan).into_iter().collect::<BTreeSet<_>>(),
        set(&["web.resources.memory_limit repo", "web.resources.cpu_limit repo", "web.restart repo"])
    );
    dock.sync().await;
    let updated = dock.inspect("web");
    assert_eq!(updated["Id"], created["Id"]);
    assert_eq!(updated["State"]["StartedAt"], created["State"]["StartedAt"], "it went on running");
    assert_eq!(updated["HostConfig"]["Memory"], 32 << 20);
    assert_eq!(updated["HostConfig"]["NanoCpus"], 250_000_000);

    dock.declare(&service("web", &["env: {LOG_LEVEL: debug}", limits, "restart: unless-stopped"]));
    let plan = dock.plan().await;
    assert_eq!((plan.actions[0].kind, changes(&plan)), (ActionKind::Replace, vec!["web.env.LOG_LEVEL repo".into()]));
    let why = dock
        .house
        .passes
        .why(&dock.house.id, &"web".parse().unwrap(), &"env.LOG_LEVEL".parse().unwrap(), "olga")
        .await
        .unwrap();
    let declared = why.declared.unwrap();
    assert_eq!((declared.value.as_str(), declared.at.as_ref().unwrap().file.as_str()), ("\"debug\"", ".trueup.yml"));
    assert_eq!((why.base.unwrap().value, why.live), ("\"info\"".to_owned(), vec!["\"info\"".to_owned()]));
    dock.sync().await;
    let replaced = dock.inspect("web");
    assert_ne!(replaced["Id"], created["Id"]);
    assert_eq!(dock.env_of("web", "LOG_LEVEL").as_deref(), Some("debug"));
    assert_eq!(replaced["HostConfig"]["Memory"], 32 << 20);

    let before = dock.picture();
    let plan = dock.plan().await;
    assert_eq!(dock.house.start(&plan).await.unwrap(), Started::NothingToDo(Vec::new()));
    assert_eq!(dock.picture(), before, "a sync with nothing to do did something");
}

#[tokio::test]
async fn what_a_volume_holds_survives_a_replacement_and_a_pruned_service() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("db", &["volumes: [\"data:/data\"]"])).await;
    dock.sync().await;
    docker(&["exec", &dock.id("db"), "sh", "-c", "echo kept > /data/file"]);
    dock.declare(&service("db", &["volumes: [\"data:/data\"]", "env: {MODE: new}"]));
    dock.sync().await;
    assert_eq!(docker(&["exec", &dock.id("db"), "cat", "/data/file"]), "kept");

    dock.declare("{}");
    let plan = dock.plan().await;
    assert_eq!((plan.is_empty(), plan.orphans.len(), plan.exit_code()), (true, 1, 2));
    let before = dock.picture();
    dock.house.start(&plan).await.unwrap();
    assert_eq!(dock.picture(), before, "an orphan stays unless it is pruned");
    let pruning = dock.house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
    assert_eq!(pruning.actions[0].kind, ActionKind::Delete);
    let run = dock.house.carry_out(&pruning).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert!(dock.ids("db").is_empty());
    assert!(dock.house.store.base(&dock.house.id).await.unwrap().services.is_empty());
    assert!(try_docker(&["volume", "inspect", &format!("{}-test-data", dock.world.project())]).0, "the volume is gone");
}

#[tokio::test]
async fn scaling_up_and_down_keeps_those_that_stay() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &["replicas: 1"])).await;
    dock.sync().await;
    let first = dock.id("web");
    dock.declare(&service("web", &["replicas: 3"]));
    let plan = dock.plan().await;
    assert_eq!((plan.actions[0].kind, changes(&plan)), (ActionKind::InPlace, vec!["web.replicas repo".into()]));
    dock.sync().await;
    let three = dock.ids("web");
    assert_eq!((three.len(), &three[0]), (3, &first));

    docker(&["rm", "-f", &three[1]]);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.replicas live"]);
    dock.sync().await;
    let healed = dock.ids("web");
    assert_eq!((healed.len(), &healed[0], &healed[2]), (3, &three[0], &three[2]), "the gap is filled, the rest stays");

    dock.declare(&service("web", &["replicas: 1"]));
    dock.sync().await;
    assert_eq!(dock.ids("web"), [first]);
}

#[tokio::test]
async fn one_replica_replaced_while_the_others_change_in_place() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &["replicas: 2", "resources: {memory_limit: 64Mi}", "env: {A: \"1\"}"])).await;
    dock.sync().await;
    let ids = dock.ids("web");
    docker(&["rm", "-f", &ids[1]]);
    let mut arguments: Vec<String> = ["run", "-d", "--memory", "64m", "--env", "A=2"].map(String::from).to_vec();
    for label in dock.world.label_arguments("web") {
        arguments.push(label.replace("dev.trueup.replica=1", "dev.trueup.replica=2"));
    }
    arguments.push(dock.world.image.clone());
    docker(&arguments);
    dock.declare(&service("web", &["replicas: 2", "resources: {memory_limit: 32Mi}", "env: {A: \"1\"}"]));
    let plan = dock.plan().await;
    assert_eq!(
        changes(&plan).into_iter().collect::<BTreeSet<_>>(),
        set(&["web.env.A live", "web.resources.memory_limit repo"])
    );
    dock.sync().await;
    let after = dock.ids("web");
    assert_eq!(after[0], ids[0], "the first had only to change in place");
    for id in &after {
        assert_eq!(inspect(id)["HostConfig"]["Memory"], 32 << 20);
    }
}

#[tokio::test]
async fn what_someone_stopped_is_started_again_and_stays_the_same_container() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &["replicas: 2"])).await;
    dock.sync().await;
    let ids = dock.ids("web");
    docker(&["stop", "--time", "1", &ids[0]]);
    docker(&["pause", &ids[1]]);
    let plan = dock.plan().await;
    assert_eq!((plan.actions[0].kind, changes(&plan)), (ActionKind::InPlace, vec!["web.stopped live".into()]));
    dock.sync().await;
    assert_eq!(dock.ids("web"), ids);
    for id in &ids {
        assert_eq!(inspect(id)["State"]["Status"], "running");
    }
}

#[tokio::test]
async fn what_is_withdrawn_goes_or_returns_to_the_default() {
    if !available() {
        return;
    }
    let dock = Dock::new("{}").await;
    let command = "CMD [\"/bin/sh\",\"-c\",\"trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]";
    dock.import("2", &[command, "ENV FROM_IMAGE=image", "LABEL tier=image", "WORKDIR /srv"]);
    let everything = [
        "env: {FROM_IMAGE: file, EXTRA: \"1\"}",
        "labels: {tier: file, team: shop}",
        "user: \"1000\"",
        "working_dir: /tmp",
        "stop_grace_period: 3s",
        "restart: always",
        "resources: {memory_limit: 64Mi, cpu_limit: 0.5}",
        "command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 2 & wait $!; done\"]",
        "ports: [\"127.0.0.1::8080\"]",
        "volumes: [\"data:/data\"]",
    ];
    dock.declare(&service("web", &everything).replace("busybox:1", "busybox:2"));
    dock.sync().await;
    assert_eq!(dock.env_of("web", "FROM_IMAGE").as_deref(), Some("file"));

    dock.declare(&service("web", &[]).replace("busybox:1", "busybox:2"));
    let plan = dock.plan().await;
    assert_eq!(
        changes(&plan).into_iter().collect::<BTreeSet<_>>(),
        set(&[
            "web.env.FROM_IMAGE repo",
            "web.env.EXTRA repo",
            "web.labels.tier repo",
            "web.labels.team repo",
            "web.user repo",
            "web.working_dir repo",
            "web.stop_grace_period repo",
            "web.restart repo",
            "web.resources.memory_limit repo",
            "web.resources.cpu_limit repo",
            "web.command repo",
            "web.ports[\"8080/tcp\"] repo",
            "web.volumes[\"/data\"] repo",
        ])
    );
    assert!(plan.actions[0].changes.iter().all(|change| change.kind == ChangeKind::Withdraw));
    let shown = trueup::report::text::plan(&plan, trueup::report::text::Style::Plain);
    assert!(shown.contains("no limit"), "the plan says what a withdrawn value returns to: {shown}");
    dock.sync().await;
    let found = dock.inspect("web");
    assert_eq!(dock.env_of("web", "FROM_IMAGE").as_deref(), Some("image"));
    assert_eq!(dock.env_of("web", "EXTRA"), None);
    assert_eq!((&found["Config"]["Labels"]["tier"], &found["Config"]["WorkingDir"]), (&"image".into(), &"/srv".into()));
    assert!(found["Config"]["Labels"]["team"].is_null());
    assert_eq!((&found["Config"]["User"], &found["HostConfig"]["Memory"]), (&"".into(), &0.into()));
    assert_eq!(found["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(found["Mounts"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_service_waits_for_those_it_depends_on() {
    if !available() {
        return;
    }
    let ready = "healthcheck: {command: [sh, -c, \"test -e /tmp/ready\"], interval: 100ms, timeout: 2s, unhealthy_threshold: 100}";
    let slow =
        "command: [sh, -c, \"trap 'exit 0' TERM; sleep 1; touch /tmp/ready; while :; do sleep 1 & wait $!; done\"]";
    // `a-web` sorts before `db`, and must yet come after it.
    let both = format!("db:\n  image: busybox:1\n  {slow}\n  {ready}\n{}", service("a-web", &["depends_on: [db]"]));
    let dock = Dock::new(&both).await;
    let run = dock.sync().await;
    let output = dock.house.output(run.id).await;
    assert!(output.contains("a-web: waiting for db to be healthy"), "{output}");
    let (db, web) = (dock.inspect("db"), dock.inspect("a-web"));
    let moment = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (started, created) = (moment(&db["State"]["StartedAt"]), moment(&web["Created"]));
    assert!(created.duration_since(started) >= jiff::SignedDuration::from_secs(1), "{started} {created}");

    // While what it needs is not healthy, it is not begun, and what runs of it stays.
    let before = dock.id("a-web");
    docker(&["exec", &dock.id("db"), "busybox", "rm", "/tmp/ready"]);
    let patient = both.replace("unhealthy_threshold: 100", "unhealthy_threshold: 3");
    dock.declare(&patient.replace("depends_on: [db]", "depends_on: [db]\n  env: {NEW: \"1\"}"));
    let (run, output) = dock.fail().await;
    assert!(run.summary.unwrap().contains("it depends on db"), "{output}");
    assert_eq!(dock.id("a-web"), before);
}

#[tokio::test]
async fn one_service_is_synced_and_recorded_alone() {
    if !available() {
        return;
    }
    let dock = Dock::new(&format!("{}{}", service("api", &[]), service("web", &[]))).await;
    dock.sync().await;
    let api = dock.id("api");
    let changed = format!("{}{}", service("api", &["env: {A: \"1\"}"]), service("web", &["env: {A: \"1\"}"]));
    dock.declare(&changed);
    let only = PlanOptions { services: Some(["web".parse().unwrap()].into()), ..PlanOptions::default() };
    let plan = dock.house.plan_with(only).await;
    assert_eq!(changes(&plan), ["web.env.A repo"]);
    let run = dock.house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(dock.id("api"), api);
    assert_eq!(changes(&dock.plan().await), ["api.env.A repo"]);
    let base = dock.house.store.base(&dock.house.id).await.unwrap();
    let has = |name: &str| base.services[&name.parse().unwrap()].leaves.contains_key(&"env.A".parse().unwrap());
    assert!(has("web") && !has("api"));
}

#[tokio::test]
async fn a_rollback_brings_the_recorded_image_back_and_the_tip_shows_as_drift() {
    if !available() {
        return;
    }
    let dock = Dock::new(&service("web", &["env: {RELEASE: one}"])).await;
    dock.sync().await;
    let first = dock.inspect("web")["Image"].clone();
    let command = "CMD [\"/bin/sh\",\"-c\",\"trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]";
    dock.import("2", &[command]);
    dock.declare(&service("web", &["env: {RELEASE: two}"]).replace("busybox:1", "busybox:2"));
    dock.sync().await;
    assert_ne!(dock.inspect("web")["Image"], first);
    let back = dock.house.passes.rollback_plan(&dock.house.id, None, None, "olga").await.unwrap();
    let run = dock.house.carry_out(&back).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(dock.inspect("web")["Image"], first);
    assert_eq!(dock.env_of("web", "RELEASE").as_deref(), Some("one"));
    let tip = dock.plan().await;
    assert_eq!(
        changes(&tip).into_iter().collect::<BTreeSet<_>>(),
        set(&["web.image repo", "web.env.RELEASE repo"]),
        "the tip is drift that the repo caused"
    );
}

#[tokio::test]
async fn only_published_ports_are_published_and_a_fixed_one_moves_over() {
    if !available() {
        return;
    }
    let listen =
        "command: [sh, -c, \"httpd -p 8080 -h /www; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]";
    let dock = Dock::new(&service("web", &[listen, "port: 8080"])).await;
    dock.sync().await;
    assert!(docker(&["port", &dock.id("web")]).is_empty(), "`port` publishes nothing");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fixed = format!("ports: [\"127.0.0.1:{port}:8080\"]");
    dock.declare(&service("web", &[listen, "port: 8080", &fixed]));
    dock.sync().await;
    eventually("the port answers", || answers(port)).await;
    // The old one holds the port while the new is prepared, so there is a gap, and the plan says so.
    dock.declare(&service("web", &[listen, "port: 8080", &fixed, "env: {NEW: \"1\"}"]));
    let plan = dock.plan().await;
    assert!(plan.actions[0].notes.iter().any(|note| note.contains("stop")), "{:?}", plan.actions[0].notes);
    dock.sync().await;
    eventually("the port answers again", || answers(port)).await;
}

async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer.contains("hello"))
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.ok().flatten().unwrap_or(false)
}
