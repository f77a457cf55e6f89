//! Does nothing but a sync change anything on a real Engine?

use trueup::declared::file;
use trueup::health::Monitor;
use trueup::pass::PlanRequest;
use trueup::plan::PlanOptions;

use crate::world::dock::{Dock, events, moment, service};
use crate::world::docker::{available, docker};
use crate::world::house::file_for;

#[tokio::test]
async fn planning_refreshing_observing_asking_why_and_probing_change_nothing() {
    if !available() {
        return;
    }
    let probed = "healthcheck: {command: [\"true\"], interval: 100ms, timeout: 5s}";
    let orphan = service("old", &[]);
    let text = format!("{}{}{orphan}", service("api", &[]), service("web", &["env: {A: \"1\"}", "replicas: 2"]));
    let dock = Dock::new(&text).await;
    dock.sync().await;
    // Everything there is to be done, at once: a change, a stopped one, an orphan, one to create, a tag that moved.
    docker(&["stop", "--time", "1", &dock.ids("web")[1]]);
    dock.import("1", &[]);
    let changed = format!(
        "{}{}{}",
        service("api", &["resources: {memory_limit: 64Mi}"]),
        service("new", &[]),
        service("web", &["env: {A: \"2\"}", "replicas: 3"])
    );
    dock.declare(&changed);
    let (house, id) = (&dock.house, &dock.house.id);
    let before = dock.picture();
    let base = house.store.base(id).await.unwrap();
    let since = moment();

    let plan = dock.plan().await;
    assert!(plan.actions.len() == 3 && plan.orphans.len() == 1, "{plan:?}");
    house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
    let only = PlanOptions { services: Some(["web".parse().unwrap()].into()), ..PlanOptions::default() };
    house.plan_with(only).await;
    let request = PlanRequest { reference: Some("main".into()), options: PlanOptions::default() };
    house.passes.plan(id, &request, "olga").await.unwrap();
    house.passes.refresh(id).await.unwrap();
    house.passes.observe(id).await.unwrap();
    for field in ["image", "env.A", "replicas", "stopped"] {
        house.passes.why(id, &"web".parse().unwrap(), &field.parse().unwrap(), "olga").await.unwrap();
    }
    let provider = house.passes.provider(id).await.unwrap();
    assert!(provider.test_connection().await.ok);
    provider.logs(&trueup::live::ReplicaId(dock.id("api")), 10).await.unwrap();
    let monitor = Monitor::new(house.store.clone(), house.passes.clone());
    for _ in 0..3 {
        monitor.round(id).await.unwrap();
    }
    let written = file_for("test", &format!("web:\n  image: busybox\n  {probed}\n"));
    file::parse(".trueup.yml", written.as_bytes()).unwrap();
    assert!(house.syncs.settle().await.unwrap().is_empty());

    let happened = events(dock.world.project(), &since, &moment());
    assert_eq!(happened, Vec::<String>::new());
    assert_eq!(dock.picture(), before);
    assert_eq!(house.store.base(id).await.unwrap(), base, "looking changed what is recorded as applied");
    assert!(house.store.runs(id, 10).await.unwrap().len() == 1, "looking began a run");
    // The window really shows what happens.
    docker(&["start", &dock.ids("web")[1]]);
    assert!(!events(dock.world.project(), &since, &moment()).is_empty());
}
