//! Is a run that broke off, by a crash or an engine out of reach, settled as what it was, and does the next sync repair it?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trueup::plan::{ActionKind, PlanOptions};
use trueup::provider::StepError;
use trueup::store::records::RunState;
use trueup::sync::journal::{Boundary, Step};
use trueup::sync::{Started, Syncs};

use crate::sync::WEB;
use crate::world::backend;
use crate::world::house::{House, operator};

/// Ends the run's task at the nth boundary, as a crash would: nothing after it happens.
pub struct CrashAt {
    left: AtomicUsize,
}

impl CrashAt {
    pub fn nth(boundary: usize) -> Arc<Self> {
        Arc::new(CrashAt { left: AtomicUsize::new(boundary) })
    }
}

impl Boundary for CrashAt {
    fn reached(&self, step: &Step, done: bool) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Unwinding without the panic hook: the crash is wanted, its backtrace is noise.
            std::panic::resume_unwind(Box::new(format!("crashed at {step:?}, done: {done}")));
        }
    }
}

#[tokio::test]
async fn a_refusal_while_settling_ends_the_run_and_locks_nothing() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.declare(&WEB.replace("web:1", "web:2"));
    let plan = house.plan().await;
    house.runtime.fail_next("start", StepError::Unreachable("connection reset".into()));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Running, "a parked run is unfinished");
    house.runtime.fail_next("start", StepError::Refused("the port is taken".into()));
    assert!(house.syncs.settle().await.unwrap().is_empty(), "a refusal is an answer");
    let run = house.store.run(run.id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.unwrap();
    assert!(summary.contains("the port is taken") && summary.contains("plan and sync again"), "{summary}");
    let next = house.sync().await;
    assert_eq!(next.state, RunState::Succeeded, "the next sync repairs");
}

#[tokio::test]
async fn an_unreachable_engine_parks_the_run_and_it_is_settled_later() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let before = house.runtime.replicas();
    house.declare(&WEB.replace("web:1", "web:2"));
    let plan = house.plan().await;
    house.runtime.fail_next("start", StepError::Unreachable("connection reset".into()));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Running, "a parked run is unfinished");
    house.runtime.set_unreachable(true);
    assert_eq!(house.syncs.settle().await.unwrap(), [run.id], "it cannot be settled yet");
    house.runtime.set_unreachable(false);
    assert!(house.syncs.settle().await.unwrap().is_empty());
    let run = house.store.run(run.id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Failed);
    assert!(run.summary.unwrap().contains("runs again as it was"));
    assert_eq!(house.runtime.replicas(), before);
    let next = house.sync().await;
    assert_eq!(next.state, RunState::Succeeded, "the next sync repairs");
}

#[tokio::test]
async fn a_crash_at_every_journal_boundary_is_settled_and_repaired() {
    if !backend::git() {
        return;
    }
    let mut crashes = 0;
    for boundary in 1.. {
        let house = House::new(WEB).await;
        house.sync().await;
        house.declare(&WEB.replace("web:1", "web:2"));
        let house = house.watched(CrashAt::nth(boundary));
        let plan = house.plan().await;
        let run = house.carry_out(&plan).await;
        if run.state == RunState::Succeeded {
            assert!(boundary > 12, "only {boundary} boundaries were reached");
            break;
        }
        crashes += 1;
        // What a new process would do with the same state.
        let after = Syncs::new(house.store.clone(), house.passes.clone());
        assert!(after.settle().await.unwrap().is_empty(), "boundary {boundary}");
        let settled = house.store.run(run.id).await.unwrap().unwrap();
        // Prepare, stop, start and gate come before the switch; from there on it is finished as what it was.
        let state = if boundary > 8 { RunState::Succeeded } else { RunState::Failed };
        assert_eq!(settled.state, state, "boundary {boundary}: {:?}", settled.summary);
        assert_eq!(house.plan().await.is_empty(), state == RunState::Succeeded, "boundary {boundary}");
        let running = house.runtime.running("web");
        assert_eq!(running.len(), 1, "boundary {boundary}: {:?}; {:?}", settled.summary, house.runtime.replicas());
        assert_eq!(house.runtime.replicas().len(), 1, "boundary {boundary}: leftovers; {:?}", settled.summary);
        let plan = house.plan().await;
        if !plan.is_empty() {
            let started = after.start(operator(), &house.id, plan.digest.as_str()).await.unwrap();
            let Started::Run(next) = started else { panic!("{started:?}") };
            after.drain(std::time::Duration::from_secs(30)).await;
            assert_eq!(house.store.run(next).await.unwrap().unwrap().state, RunState::Succeeded);
        }
        assert!(house.plan().await.is_empty(), "boundary {boundary}: the next sync does not repair");
    }
    assert!(crashes > 12, "{crashes}");
}

/// Replicas that were made beside what runs and passed are not ended for nothing.
#[tokio::test]
async fn a_crash_while_a_service_grows_keeps_what_passed() {
    if !backend::git() {
        return;
    }
    let grown = |count: usize| format!("{WEB}  replicas: {count}\n");
    let mut crashes = 0;
    for boundary in 1.. {
        let house = House::new(&grown(1)).await;
        house.sync().await;
        house.declare(&grown(3));
        let house = house.watched(CrashAt::nth(boundary));
        let run = house.sync().await;
        if run.state == RunState::Succeeded {
            break;
        }
        crashes += 1;
        let after = Syncs::new(house.store.clone(), house.passes.clone());
        assert!(after.settle().await.unwrap().is_empty(), "boundary {boundary}");
        let settled = house.store.run(run.id).await.unwrap().unwrap();
        // Two are prepared (4), started (8) and gated (12), then it is verified and recorded.
        let (state, running) = match boundary {
            ..=7 => (RunState::Failed, 1),
            _ => (RunState::Succeeded, 3),
        };
        let seen = (settled.state, house.runtime.running("web").len(), house.runtime.replicas().len());
        assert_eq!(seen, (state, running, running), "boundary {boundary}: {:?}", settled.summary);
        assert_eq!(house.plan().await.is_empty(), state == RunState::Succeeded, "boundary {boundary}");
    }
    assert_eq!(crashes, 16);
}

/// Runs are counted anew with a new installation: what runs may carry the number of the run that is settled.
#[tokio::test]
async fn replicas_of_an_earlier_installation_are_not_taken_for_what_the_run_made() {
    if !backend::git() {
        return;
    }
    for boundary in 1..=8 {
        for (change, replaced) in [(WEB.replace("web:1", "web:2"), true), (WEB.replace("256Mi", "300Mi"), false)] {
            let house = House::new(WEB).await;
            house.sync().await;
            house.runtime.by_hand("web", |replica| replica.release = trueup::ids::RunId(2));
            let before: Vec<_> = house.runtime.replicas().into_keys().collect();
            house.declare(&change);
            let house = house.watched(CrashAt::nth(boundary));
            let run = house.sync().await;
            assert_eq!(run.id, trueup::ids::RunId(2));
            let after = Syncs::new(house.store.clone(), house.passes.clone());
            assert!(after.settle().await.unwrap().is_empty(), "boundary {boundary}, replaced: {replaced}");
            let left: Vec<_> = house.runtime.replicas().into_keys().collect();
            assert_eq!(left, before, "boundary {boundary}, replaced: {replaced}");
            assert_eq!(house.runtime.running("web").len(), 1, "boundary {boundary}, replaced: {replaced}");
        }
    }
}

/// Of a service that grew only in part, what passed stays and what did not goes.
#[tokio::test]
async fn a_run_that_broke_off_between_two_gates_keeps_the_replica_that_passed() {
    if !backend::git() {
        return;
    }
    let grown = |count: usize| format!("{WEB}  replicas: {count}\n");
    let house = House::new(&grown(1)).await;
    house.sync().await;
    house.declare(&grown(3));
    // The first gate is over and its outcome known: then the second new replica is lost with the process.
    let house = house.watched(CrashAt::nth(11));
    let run = house.sync().await;
    let third = house.runtime.replicas().into_iter().find(|(_, replica)| replica.index == 3).unwrap().0;
    house.runtime.stop_by_hand(&third);
    let after = Syncs::new(house.store.clone(), house.passes.clone());
    assert!(after.settle().await.unwrap().is_empty());
    let settled = house.store.run(run.id).await.unwrap().unwrap();
    assert_eq!(settled.state, RunState::Failed);
    assert!(settled.summary.unwrap().contains("new and healthy, so kept: web-2;"));
    assert_eq!((house.runtime.running("web").len(), house.runtime.replicas().len()), (2, 2));
    assert_eq!(house.plan().await.actions[0].kind, ActionKind::InPlace);
}

#[tokio::test]
async fn a_crash_while_an_orphan_is_deleted_is_settled_as_what_it_was() {
    if !backend::git() {
        return;
    }
    for boundary in 1..=6 {
        let house = House::new(&format!("{WEB}api:\n  image: acme/api:1\n")).await;
        house.sync().await;
        house.declare(WEB);
        let house = house.watched(CrashAt::nth(boundary));
        let plan = house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
        let run = house.carry_out(&plan).await;
        let after = Syncs::new(house.store.clone(), house.passes.clone());
        assert!(after.settle().await.unwrap().is_empty(), "boundary {boundary}");
        let settled = house.store.run(run.id).await.unwrap().unwrap();
        let gone = boundary > 1;
        let state = if gone { RunState::Succeeded } else { RunState::Failed };
        assert_eq!(settled.state, state, "boundary {boundary}: {:?}", settled.summary);
        assert_eq!(house.runtime.running("api").is_empty(), gone, "boundary {boundary}");
        let base = house.store.base(&house.id).await.unwrap();
        assert_eq!(base.services.len(), if gone { 1 } else { 2 }, "boundary {boundary}");
    }
}
