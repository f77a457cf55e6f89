//! Are old runs let go of, and never one that is still needed?

use jiff::{SignedDuration, Timestamp};
use trueup::ids::RunId;
use trueup::store::RunStart;
use trueup::store::records::{RunKind, RunState};

use crate::world::backend;
use crate::world::house::{House, operator};

#[tokio::test]
async fn old_runs_go_but_for_the_newest_and_those_that_left_a_release_or_are_unfinished() {
    if !backend::git() {
        return;
    }
    let house = House::new("web:\n  image: acme/web:1\n").await;
    let store = &house.store;
    let released = house.sync().await.id;
    let plan = house.store.run(released).await.unwrap().unwrap().plan;
    let begin = async || {
        let start = RunStart {
            environment: house.id.clone(),
            plan: plan.clone(),
            commit: None,
            kind: RunKind::Sync,
            actor: operator(),
            at: Timestamp::now(),
        };
        store.begin_run(start).await.unwrap()
    };
    let mut failed = Vec::new();
    for _ in 0..52 {
        let run = begin().await;
        let step = serde_json::json!({"step": "verify"});
        store.journal_intent(run, None, step, Timestamp::now()).await.unwrap();
        store.finish_run(run, RunState::Failed, "it failed", Timestamp::now()).await.unwrap();
        failed.push(run);
    }
    let unfinished = begin().await;
    let soon = Timestamp::now() + SignedDuration::from_hours(300 * 24);
    assert_eq!(store.sweep(soon).await.unwrap().runs, 0, "none is old enough");
    let late = Timestamp::now() + SignedDuration::from_hours(400 * 24);
    // Fifty are kept however old they are: the unfinished one and 49 of those that failed.
    assert_eq!(store.sweep(late).await.unwrap().runs, 3);
    let there = async |run: RunId| store.run(run).await.unwrap().is_some();
    for gone in &failed[..3] {
        assert!(!there(*gone).await, "run {gone} is kept");
        assert!(store.journal(*gone).await.unwrap().is_empty(), "its journal is left behind");
    }
    for kept in failed[3..].iter().chain([&released, &unfinished]) {
        assert!(there(*kept).await, "run {kept} is gone");
    }
    assert!(!store.release(&house.id, released).await.unwrap().is_empty());
    assert_eq!(store.sweep(late).await.unwrap().runs, 0, "a second sweep has nothing to do");
}
