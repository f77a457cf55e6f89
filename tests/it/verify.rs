//! Is only that recorded which was seen to be as declared, whatever the provider says of its steps?

use std::sync::Arc;

use trueup::drift::Base;
use trueup::ids::RunId;
use trueup::plan::PlanOptions;
use trueup::store::records::{Run, RunState};
use trueup::sync::Syncs;
use trueup::sync::journal::{Boundary, Step};

use crate::world::backend;
use crate::world::house::House;
use crate::world::runtime::Runtime;

const WEB: &str = "web:\n  image: acme/web:1\n  env: {LOG_LEVEL: info}\n  resources: {memory_limit: 256Mi}\n";

/// A house where `WEB` was synced, and what was recorded of it.
async fn synced() -> Option<(House, Base)> {
    if !backend::git() {
        return None;
    }
    let house = House::new(WEB).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    let base = house.store.base(&house.id).await.unwrap();
    Some((house, base))
}

/// The run failed for this reason, in its last step, and nothing was recorded.
async fn not_recorded(house: &House, run: &Run, base: &Base, why: &str) {
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.clone().unwrap();
    assert!(summary.contains(why), "{summary}");
    assert_eq!(house.store.base(&house.id).await.unwrap(), *base, "what was not verified was recorded");
    let journal = house.store.journal(run.id).await.unwrap();
    let last = journal.last().unwrap();
    assert_eq!(
        (&last.intent["step"], &last.outcome.as_ref().unwrap()["outcome"]),
        (&"verify".into(), &"failed".into())
    );
}

#[tokio::test]
async fn a_change_in_place_that_was_not_kept_is_not_recorded() {
    let Some((house, base)) = synced().await else { return };
    house.runtime.deaf("resources.memory_limit");
    house.declare(&WEB.replace("256Mi", "300Mi"));
    let run = house.sync().await;
    assert!(house.runtime.effects().contains(&"update replica-1".to_owned()));
    not_recorded(&house, &run, &base, "resources.memory_limit still differ(s)").await;
    assert!(!house.plan().await.is_empty(), "it is still to do");
}

#[tokio::test]
async fn a_new_replica_that_lacks_a_leaf_is_not_recorded() {
    let Some((house, base)) = synced().await else { return };
    house.runtime.deaf("env.LOG_LEVEL");
    house.declare(&WEB.replace("web:1", "web:2"));
    let run = house.sync().await;
    not_recorded(&house, &run, &base, "env.LOG_LEVEL still differ(s)").await;
}

/// The service can no longer be looked at once its new replica has passed.
struct HideAtTheEnd(Runtime);

impl Boundary for HideAtTheEnd {
    fn reached(&self, step: &Step, done: bool) {
        if *step == Step::Verify && !done {
            self.0.hide("web");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_looked_at_again_is_not_recorded() {
    let Some((house, base)) = synced().await else { return };
    house.declare(&WEB.replace("web:1", "web:2"));
    let blind = Arc::new(HideAtTheEnd(house.runtime.clone()));
    let house = house.watched(blind);
    let run = house.sync().await;
    not_recorded(&house, &run, &base, "could not be verified: ").await;
    house.runtime.show_all();
    let plan = house.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
}

#[tokio::test]
async fn an_orphan_that_is_still_there_after_it_was_removed_is_not_forgotten() {
    if !backend::git() {
        return;
    }
    let house = House::new(&format!("{WEB}api:\n  image: acme/api:1\n")).await;
    house.sync().await;
    let base = house.store.base(&house.id).await.unwrap();
    house.declare(WEB);
    house.runtime.cling();
    let plan = house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
    let run = house.carry_out(&plan).await;
    not_recorded(&house, &run, &base, "it was removed, but still runs").await;
    assert_eq!(house.plan().await.orphans.len(), 1, "it is an orphan still");
}

/// Ends the run when it has just written that it switches.
struct DieAtTheSwitch;

impl Boundary for DieAtTheSwitch {
    fn reached(&self, step: &Step, done: bool) {
        if *step == Step::Switch && !done {
            std::panic::resume_unwind(Box::new("the process ended"));
        }
    }
}

#[tokio::test]
async fn a_run_that_is_settled_records_no_more_than_it_sees_either() {
    let Some((house, base)) = synced().await else { return };
    house.runtime.deaf("env.LOG_LEVEL");
    house.declare(&WEB.replace("web:1", "web:2"));
    let house = house.watched(Arc::new(DieAtTheSwitch));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Running);
    let next = Syncs::new(house.store.clone(), house.passes.clone());
    assert_eq!(next.settle().await.unwrap(), Vec::<RunId>::new());
    let settled = house.store.run(run.id).await.unwrap().unwrap();
    assert_eq!(settled.state, RunState::Failed);
    let summary = settled.summary.unwrap();
    assert!(summary.contains("the new release runs, but differs from what is declared"), "{summary}");
    assert_eq!(house.store.base(&house.id).await.unwrap(), base, "what was not verified was recorded");
    assert_eq!(house.runtime.replicas().len(), 1, "what was left of the old release is gone");
}
