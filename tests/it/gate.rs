//! Who gets through the gate, of what commit, one at a time; and what a shutdown leaves of whoever is inside?

use std::time::Duration;

use serde_json::json;
use trueup::drift::Cause;
use trueup::ids::EnvironmentRef;
use trueup::pass::PlanRequest;
use trueup::plan::{Blocked, Plan, PlanOptions};
use trueup::store::records::{Environment, Project, ReadState, RegisteredService, RunState};
use trueup::sync::gate::Refusal;
use trueup::sync::journal::Step;
use trueup::sync::{Started, Syncs};

use crate::world::backend;
use crate::world::door::Door;
use crate::world::hold::hold;
use crate::world::house::{House, environment, file, operator};

const WEB: &str = "web:\n  image: acme/web:1\n";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_syncs_at_once_one_is_carried_out() {
    if !backend::git() {
        return;
    }
    let (boundary, hand) = hold(|_, _| true);
    let house = House::new(WEB).await.watched(boundary);
    let staging: EnvironmentRef = "shop/staging".parse().unwrap();
    house.store.add_environment(environment(&staging, "memory", &[])).await.unwrap();
    let both = "version: 1\nenvironments:\n  production: {services: {web: {image: acme/web:1}}}\n  staging: {services: {api: {image: acme/api:1}}}\n";
    house.repo.commit(".trueup.yml", both);
    let plan = house.plan().await;

    let (one, other) = tokio::join!(house.start(&plan), house.start(&plan));
    let (run, refused) = match (one, other) {
        (Ok(Started::Run(run)), Err(refused)) | (Err(refused), Ok(Started::Run(run))) => (run, refused),
        other => panic!("{other:?}"),
    };
    assert!(matches!(&refused, Refusal::Busy(environment) if *environment == house.id), "{refused:?}");
    assert!(refused.to_string().contains("another sync of shop/production is being carried out"), "{refused}");
    hand.holds();
    let late = house.start(&plan).await;
    assert!(matches!(late, Err(Refusal::Busy(_))), "{late:?}");

    // Another environment is not held up by it.
    let request = PlanRequest { reference: None, options: PlanOptions::default() };
    let elsewhere = house.passes.plan(&staging, &request, "olga").await.unwrap();
    let Started::Run(there) = house.syncs.start(operator(), &staging, elsewhere.digest.as_str()).await.unwrap() else {
        panic!("there was nothing to do")
    };
    crate::daemon::until(|| async {
        let run = house.store.run(there).await.unwrap().unwrap();
        (run.state == RunState::Succeeded).then_some(())
    })
    .await;
    assert_eq!(house.store.run(run).await.unwrap().unwrap().state, RunState::Running);

    hand.let_go();
    assert_eq!(house.ended(run).await.state, RunState::Succeeded);
    assert_eq!(house.runtime.running("web").len(), 1);
    let made = house.runtime.effects().iter().filter(|effect| effect.starts_with("prepare ")).count();
    assert_eq!(made, 2, "one replica of web and one of api: {:?}", house.runtime.effects());
    assert_eq!(house.store.runs(&house.id, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_the_second_sync_is_a_conflict() {
    if !backend::git() {
        return;
    }
    let (boundary, hand) = hold(|_, _| true);
    let door = Door::open(House::new(WEB).await.watched(boundary), "no-such-group").await;
    let plan = door.house.plan().await;
    let (path, body) = ("/api/v1/projects/shop/environments/production/sync", json!({"plan": plan.digest.as_str()}));
    let (status, started) = door.post(path, body.clone()).await;
    assert!(status.is_success(), "{started}");
    hand.holds();
    let (status, problem) = door.post(path, body).await;
    assert_eq!(status.as_u16(), 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("is being carried out"), "{problem}");
    hand.let_go();
    let run = door.house.store.runs(&door.house.id, 10).await.unwrap()[0].id;
    assert_eq!(door.house.ended(run).await.state, RunState::Succeeded);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_that_waits_no_longer_parks_the_run_and_the_next_start_settles_it() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let before = house.runtime.replicas();
    let (boundary, hand) = hold(|step, done| matches!(step, Step::Gate { .. }) && !done);
    let house = house.watched(boundary);
    house.declare("web:\n  image: acme/web:2\n");
    let plan = house.plan().await;
    let Started::Run(run) = house.start(&plan).await.unwrap() else { panic!("there was nothing to do") };
    hand.holds();
    tokio::time::timeout(Duration::from_secs(10), house.syncs.drain(Duration::ZERO)).await.expect("it waits");
    assert_eq!(house.store.run(run).await.unwrap().unwrap().state, RunState::Running, "it is parked");
    // The process ends.
    drop(hand);
    crate::daemon::until(|| async { (!house.syncs.is_active(run)).then_some(()) }).await;
    // What was at its gate never passed it: it is not the one that runs.
    for (id, replica) in house.runtime.replicas() {
        if !before.contains_key(&id) && replica.running {
            house.runtime.stop_by_hand(&id);
        }
    }
    let next = Syncs::new(house.store.clone(), house.passes.clone());
    assert_eq!(next.settle().await.unwrap(), []);
    let settled = house.store.run(run).await.unwrap().unwrap();
    assert_eq!(settled.state, RunState::Failed);
    assert!(settled.summary.clone().unwrap().contains("what ran before runs again as it was"), "{settled:?}");
    assert_eq!(house.runtime.replicas(), before);
}

/// Where a check could not be carried out, nothing is stopped first and found out after.
#[tokio::test]
async fn what_could_not_be_probed_is_blocked_and_nothing_is_touched() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let effects = house.runtime.effects();
    house.runtime.cannot_probe("the bridge is not here, and there is no helper");
    house.declare("web:\n  image: acme/web:2\n  port: 80\n  healthcheck: /healthz\napi:\n  image: acme/api:1\n");
    let plan = house.plan().await;
    let web = plan.action(&"web".parse().unwrap()).unwrap();
    assert!(
        matches!(&web.blocked[..], [Blocked::CannotProbe { why }] if why.contains("no helper")),
        "{:?}",
        web.blocked
    );
    let only = PlanOptions { services: Some(["web".parse().unwrap()].into()), ..PlanOptions::default() };
    let alone = house.plan_with(only).await;
    match house.start(&alone).await {
        Err(Refusal::NotAllowed(why)) => assert!(why.contains("every action is blocked"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(house.runtime.effects(), effects, "something was touched");
    // What has no such check goes on beside it.
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!((house.runtime.running("api").len(), house.runtime.running("web")[0].release.0), (1, 1));
}

#[tokio::test]
async fn a_commit_off_the_tracked_branch_syncs_where_the_operator_allowed_it() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.repo.git(&["checkout", "--quiet", "-b", "feature"]);
    house.declare("web:\n  image: acme/web:9\n");
    let request = PlanRequest { reference: Some("feature".into()), options: PlanOptions::default() };
    let plan = house.passes.plan(&house.id, &request, "olga").await.unwrap();
    assert!(matches!(house.start(&plan).await, Err(Refusal::NotAllowed(_))));
    let before = house.store.environment(&house.id).await.unwrap().unwrap();
    let allowed = Environment { allow_untracked: true, ..before.clone() };
    house.store.update_environment(before, allowed).await.unwrap();
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    let image = house.runtime.running("web")[0].leaves[&trueup::live::field::FieldPath::Image].to_string();
    assert_eq!(image, "acme/web:9");
}

#[tokio::test]
async fn a_file_that_is_gone_withdraws_and_orphans_nothing() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let base = house.store.base(&house.id).await.unwrap();
    house.repo.git(&["rm", "--quiet", ".trueup.yml"]);
    house.repo.git(&["commit", "--quiet", "--message", "Remove it"]);
    let effects = house.runtime.effects();
    for prune in [false, true] {
        let plan = house.plan_with(PlanOptions { prune, ..PlanOptions::default() }).await;
        assert!(plan.actions.is_empty() && plan.orphans.is_empty(), "prune: {prune}: {plan:#?}");
        assert!(matches!(house.start(&plan).await.unwrap(), Started::NothingToDo(_)));
    }
    let read = house.store.read(&house.id).await.unwrap().unwrap();
    assert_eq!((read.state, read.stale_since), (ReadState::NoFile, None));
    let reason = read.reason.unwrap();
    assert!(
        reason.starts_with(".trueup.yml does not exist at ") && reason.ends_with("nothing is withdrawn"),
        "{reason}"
    );
    assert_eq!(house.store.base(&house.id).await.unwrap(), base);
    assert_eq!((house.runtime.effects(), house.runtime.running("web").len()), (effects, 1));
}

#[tokio::test]
async fn the_file_is_read_at_the_path_that_the_operator_set() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let project = house.store.project(&house.id.project).await.unwrap().unwrap();
    let elsewhere = Project { config_path: "deploy/trueup.yml".into(), ..project };
    house.store.update_project(elsewhere).await.unwrap();
    house.repo.commit(".trueup.yml", "version: 1\nthis: is not read\n");
    house.repo.commit("deploy/trueup.yml", &file("web:\n  image: acme/web:7\n"));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    house.repo.commit("deploy/trueup.yml", &file("web:\n  image: acme/web:8\n"));
    let field = trueup::live::field::FieldPath::Image;
    let why = house.passes.why(&house.id, &"web".parse().unwrap(), &field, "olga").await.unwrap();
    let declared = why.declared.unwrap();
    assert_eq!((&*declared.at.unwrap().file, why.cause), ("deploy/trueup.yml", Some(Cause::Repo)));
    assert!(declared.value.contains("acme/web:8"), "{}", declared.value);
}

#[tokio::test]
async fn the_short_form_lies_over_the_service_that_the_operator_registered() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let register = async |image: &str| {
        let spec = json!({"image": image, "env": {"LOG_LEVEL": "info"}, "replicas": 5});
        let service = RegisteredService { environment: house.id.clone(), name: "web".parse().unwrap(), spec };
        house.store.put_service(service).await.unwrap();
    };
    register("acme/web:1").await;
    house.repo.commit(".trueup.yml", "version: 1\ndeploy: {port: 8080, max_instances: 2}\n");
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    let running = house.runtime.running("web");
    let leaf =
        |plan: &Plan, field: &str| plan.desired[&"web".parse().unwrap()][&field.parse().unwrap()].value.to_string();
    let plan = house.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!(running.len(), 2, "the file's word counts over the registered one");
    assert_eq!(leaf(&plan, "env.LOG_LEVEL"), "\"info\"");
    assert_eq!(leaf(&plan, "port"), "8080");

    // The file stands still, and the operator moves what lies under it.
    register("acme/web:2").await;
    let plan = house.plan().await;
    let changes: Vec<_> = plan.actions[0].changes.iter().map(|c| (c.field.to_string(), c.cause)).collect();
    assert_eq!(changes, [("image".to_owned(), Cause::Input)]);
    assert_eq!(house.carry_out(&plan).await.state, RunState::Succeeded);
    assert!(house.runtime.running("web").iter().all(|replica| replica.release.0 == 2));
}

/// What a pass and a sync resolve is written down, by reference and for whom, and never its value.
#[tokio::test]
async fn every_resolution_of_an_environments_secret_is_audited() {
    if !backend::git() {
        return;
    }
    let folder = crate::world::house::scratch();
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter2\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let reference = format!("file://{}", path.display());
    let house = House::new("web:\n  image: acme/web:1\n  env: {DB_PASSWORD: {secret: password}}\n").await;
    let before = house.store.environment(&house.id).await.unwrap().unwrap();
    let mut after = before.clone();
    after.secrets.insert("password".parse().unwrap(), reference.parse().unwrap());
    house.store.update_environment(before, after).await.unwrap();
    let resolved = async || {
        let lines = house.store.audit(50).await.unwrap();
        assert!(!format!("{lines:?}").contains("hunter2"), "{lines:?}");
        let of = |target: &str| target.starts_with(&reference) && target.contains("shop/production");
        let mine = lines.into_iter().filter(|line| line.entry.operation == "secret resolved" && of(&line.entry.target));
        mine.map(|line| line.entry.actor).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(resolved().await.is_empty());
    let request = PlanRequest { reference: None, options: PlanOptions::default() };
    let plan = house.passes.plan(&house.id, &request, "petra").await.unwrap();
    assert!(resolved().await.contains("petra"), "{:?}", resolved().await);
    assert_eq!(house.carry_out(&plan).await.state, RunState::Succeeded);
    assert!(resolved().await.contains("olga"), "who syncs is named: {:?}", resolved().await);
    // A failure is one too.
    std::fs::remove_file(&path).unwrap();
    house.plan().await;
    let lines = house.store.audit(50).await.unwrap();
    assert!(lines.iter().any(|line| line.entry.outcome.starts_with("failed: ")), "{lines:?}");
}
