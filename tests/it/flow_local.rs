//! Does a sync to the local provider do what its plan says, with a real supervisor and real processes?

use std::sync::Arc;

use trueup::plan::ActionKind;
use trueup::provider::registry::Registry;
use trueup::store::records::RunState;

use crate::world::backend;
use crate::world::dock::changes;
use crate::world::house::{House, environment};
use crate::world::local::Machine;

const SERVE: &str = "#!/bin/sh\ntrap 'exit 0' TERM\necho release $R\nwhile :; do sleep 1 & wait $!; done\n";

pub fn web(release: &str, check: &str, more: &str) -> String {
    format!(
        "web:\n  command: [./run.sh]\n  source: [run.sh]\n  env: {{R: \"{release}\"}}\n  healthcheck: {{command: [{check}], interval: 100ms, timeout: 5s, unhealthy_threshold: 3}}\n{more}"
    )
}

pub async fn house(machine: &Machine, services: &str) -> House {
    let id = "shop/production".parse().unwrap();
    let environment = environment(&id, "local", &[("allow_own_user", "true")]);
    let socket = machine.socket();
    let house = House::build(environment, services, |git, secrets| Arc::new(Registry::new(git, secrets, socket))).await;
    let script = house.repo.write("run.sh", SERVE);
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house.repo.commit("README", "a shop");
    house
}

pub async fn sync(house: &House) {
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}\n{}", run.summary, house.output(run.id).await);
    let plan = house.plan().await;
    assert!(plan.is_empty() && plan.unknowns.is_empty(), "after a sync the plan is not empty: {plan:#?}");
}

/// The environments of everything that runs, which tell the releases.
pub fn releases(machine: &Machine) -> Vec<String> {
    let mut found: Vec<String> = machine
        .processes()
        .into_iter()
        .filter_map(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok())
        .filter_map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.split('\0').find_map(|entry| entry.strip_prefix("R=").map(str::to_owned))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn created_changed_in_place_replaced_and_each_time_nothing_is_left() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let house = house(&machine, &web("1", "\"true\"", "")).await;
    let plan = house.plan().await;
    assert_eq!(plan.actions[0].kind, ActionKind::Create);
    assert!(machine.processes().is_empty(), "planning started something");
    sync(&house).await;
    assert_eq!(releases(&machine), ["1"]);

    house.declare(&web("1", "\"true\"", "  resources: {memory_limit: 256Mi}\n"));
    let plan = house.plan().await;
    assert_eq!(
        (plan.actions[0].kind, changes(&plan)),
        (ActionKind::InPlace, vec!["web.resources.memory_limit repo".into()])
    );
    sync(&house).await;

    house.declare(&web("2", "\"true\"", "  resources: {memory_limit: 256Mi}\n"));
    assert_eq!(house.plan().await.actions[0].kind, ActionKind::Replace);
    sync(&house).await;
    assert_eq!(releases(&machine), ["2"]);

    // The code moved, and only that.
    house.repo.commit("README", "still a shop");
    assert!(house.plan().await.is_empty(), "a file that is no part of the source is no drift");
    house.repo.commit("run.sh", &SERVE.replace("release", "the release"));
    let plan = house.plan().await;
    assert_eq!(changes(&plan), ["web.source repo"]);
    sync(&house).await;

    let back = house.passes.rollback_plan(&house.id, None, None, "olga").await.unwrap();
    let run = house.carry_out(&back).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(changes(&house.plan().await), ["web.source repo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_not_healthy_makes_way_for_the_one_before() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let house = house(&machine, &web("1", "\"true\"", "")).await;
    sync(&house).await;
    let base = house.store.base(&house.id).await.unwrap();
    house.declare(&web("2", "\"false\"", ""));
    let run = house.sync().await;
    let output = house.output(run.id).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.summary.unwrap().contains("runs again as it was"), "{output}");
    assert!(output.contains("release 2"), "its last words: {output}");
    assert_eq!(releases(&machine), ["1"]);
    assert_eq!(house.store.base(&house.id).await.unwrap(), base);
    house.declare(&web("3", "\"true\"", ""));
    sync(&house).await;
    assert_eq!(releases(&machine), ["3"]);
}

/// Two services, each with code of its own: `alpha.sh` and `beta.sh`, which tell their release.
const TWO: &str = "alpha: {command: [./alpha.sh], source: [alpha.sh, run.sh]}\nbeta: {command: [./beta.sh], source: [beta.sh, run.sh]}\n";

async fn commit_code(house: &House, name: &str, release: &str) {
    let script = house.repo.write(name, &format!("#!/bin/sh\nR={release} exec ./run.sh\n"));
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house.repo.commit("README", &format!("{name} {release}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_runs_the_code_that_each_service_was_released_with() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let house = house(&machine, TWO).await;
    commit_code(&house, "alpha.sh", "alpha-1").await;
    commit_code(&house, "beta.sh", "beta-1").await;
    sync(&house).await;
    commit_code(&house, "beta.sh", "beta-2").await;
    let second = house.sync().await;
    assert_eq!(second.state, RunState::Succeeded, "{:?}", second.summary);
    commit_code(&house, "beta.sh", "beta-3").await;
    sync(&house).await;
    assert_eq!(releases(&machine), ["alpha-1", "beta-3"]);

    // The release of the second run is alpha of the first commit and beta of the second.
    let back = house.passes.rollback_plan(&house.id, Some(second.id), None, "olga").await.unwrap();
    assert_eq!(changes(&back), ["beta.source repo"]);
    let run = house.carry_out(&back).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}\n{}", run.summary, house.output(run.id).await);
    assert_eq!(releases(&machine), ["alpha-1", "beta-2"]);
    let base = house.store.base(&house.id).await.unwrap();
    assert_eq!(base.services[&"beta".parse().unwrap()].commit, second.commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_hold_the_declared_code_is_refused() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let house = house(&machine, TWO).await;
    commit_code(&house, "alpha.sh", "alpha-1").await;
    commit_code(&house, "beta.sh", "beta-1").await;
    let first = house.sync().await;
    commit_code(&house, "beta.sh", "beta-2").await;
    let second = house.sync().await;
    // A record that names a commit without the code that it speaks of.
    let beta = "beta".parse().unwrap();
    let mut wrong = house.store.base(&house.id).await.unwrap().services[&beta].clone();
    wrong.commit = first.commit;
    house.store.record_base(&house.id, &beta, wrong).await.unwrap();
    commit_code(&house, "beta.sh", "beta-3").await;
    sync(&house).await;

    let back = house.passes.rollback_plan(&house.id, Some(second.id), None, "olga").await.unwrap();
    let run = house.carry_out(&back).await;
    let summary = run.summary.unwrap();
    assert_eq!(run.state, RunState::Failed, "{summary}");
    assert!(summary.contains("the code of beta at") && summary.contains("nothing was begun"), "{summary}");
    assert_eq!(releases(&machine), ["alpha-1", "beta-3"]);
}

/// What is damaged of one replica says nothing of the others: their part of the plan shows and is carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_record_is_damaged_is_unseen_and_the_rest_goes_on() {
    if !backend::git() {
        return;
    }
    let mut machine = Machine::new().await;
    let services = |api: &str| {
        let web = web("1", "\"true\"", "");
        let api = web.replace("web:", "api:").replace("R: \"1\"", &format!("R: \"{api}\""));
        format!("{api}{web}")
    };
    let house = house(&machine, &services("2")).await;
    sync(&house).await;
    let record = |name: &str| {
        let folders = std::fs::read_dir(machine.state().join("replicas")).unwrap().map(|entry| entry.unwrap().path());
        let mut own = folders.filter(|path| path.to_string_lossy().contains(".web."));
        own.next().unwrap().join(name)
    };
    let file = record("state.json");
    let whole = std::fs::read(&file).unwrap();
    machine.kill();
    std::fs::write(&file, b"{").unwrap();
    machine.start().await;

    house.declare(&services("3"));
    let plan = house.plan().await;
    let feasible: Vec<&str> = plan.feasible().map(|action| action.service.as_str()).collect();
    assert_eq!(feasible, ["api"], "{plan:#?}");
    let unknown =
        plan.unknowns.iter().find(|unknown| unknown.service.as_ref().is_some_and(|name| name.as_str() == "web"));
    let why = &unknown.expect("web is unknown").why;
    assert!(why.contains("web-1: ") && why.contains("state.json") && why.contains("restart the supervisor"), "{why}");
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}\n{}", run.summary, house.output(run.id).await);
    assert_eq!(releases(&machine), ["1", "3"], "what cannot be read was touched");

    machine.kill();
    std::fs::write(&file, whole).unwrap();
    machine.start().await;
    let plan = house.plan().await;
    assert!(plan.is_empty() && plan.unknowns.is_empty(), "read again, it is in sync: {plan:#?}");
}
