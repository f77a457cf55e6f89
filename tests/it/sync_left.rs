//! Where a deploy leaves something half done, is what runs unharmed, is it told exactly what is left, and does the next sync
//! repair it?

use trueup::drift::Cause;
use trueup::live::field::FieldPath;
use trueup::live::quantity::Bytes;
use trueup::live::value::Value;
use trueup::plan::{ActionKind, Plan};
use trueup::provider::StepError;
use trueup::store::records::RunState;
use trueup::sync::Syncs;

use crate::sync::WEB;
use crate::sync_crash::CrashAt;
use crate::world::backend;
use crate::world::dock::{Dock, service};
use crate::world::docker::{self, docker};
use crate::world::house::House;

fn refused(why: &str) -> StepError {
    StepError::Refused(why.to_owned())
}

/// Asserts that a plan's one action takes away what an earlier release left, and says so.
fn takes_away(plan: &Plan, count: u64, to: u64) {
    assert_eq!(plan.actions.len(), 1, "{plan:#?}");
    let action = &plan.actions[0];
    assert_eq!((action.kind, action.changes.len()), (ActionKind::InPlace, 1), "{plan:#?}");
    let change = &action.changes[0];
    assert_eq!((&change.field, change.cause), (&FieldPath::Replicas, Cause::Live));
    assert_eq!(change.declared, Some(Value::Integer(to)));
    assert_eq!(change.live.known(), Some(&Some(Value::Integer(count))));
    assert!(action.notes.iter().any(|note| note.contains("left of an earlier release")), "{:?}", action.notes);
    let text = trueup::report::text::plan(plan, trueup::report::text::Style::Plain);
    assert!(text.contains("left of an earlier release"), "{text}");
}

#[tokio::test]
async fn what_is_left_of_the_old_after_the_switch_is_told_and_goes_with_the_next_sync() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.declare(&WEB.replace("web:1", "web:2"));
    let plan = house.plan().await;
    house.runtime.fail_next("remove", refused("device or resource busy"));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.unwrap();
    assert!(summary.contains("device or resource busy") && summary.contains("left of the old: web-1"), "{summary}");
    assert!(summary.contains("the next sync removes it"), "{summary}");
    let running = house.runtime.running("web");
    assert_eq!((running.len(), house.runtime.replicas().len()), (1, 2));
    assert_eq!(running[0].leaves[&FieldPath::Image].to_string(), "acme/web:2", "the new release is unharmed");

    let plan = house.plan().await;
    takes_away(&plan, 2, 1);
    let healths = house.store.healths(&house.id).await.unwrap();
    assert_eq!(healths[0].1.health.word(), "healthy", "what is left over says nothing of what runs: {healths:?}");
    let before = house.runtime.effects();
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.effects()[before.len()..], ["remove replica-1"], "nothing else is touched");
    assert_eq!(house.runtime.replicas().len(), 1);
    assert!(house.plan().await.is_empty());
    assert_eq!(house.store.base(&house.id).await.unwrap().services.len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_removed_keeps_no_other_from_going() {
    if !backend::git() {
        return;
    }
    let two = format!("{WEB}  replicas: 2\n");
    let house = House::new(&two).await;
    house.sync().await;
    house.declare(&two.replace("web:1", "web:2"));
    let plan = house.plan().await;
    house.runtime.fail_next("remove", refused("device or resource busy"));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.unwrap();
    assert!(summary.contains("left of the old: web-1;"), "{summary}");
    assert_eq!((house.runtime.running("web").len(), house.runtime.replicas().len()), (2, 3));
    let plan = house.plan().await;
    takes_away(&plan, 3, 2);
    // Also where the next sync has more to do than that.
    house.declare(&two.replace("web:1", "web:3"));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!((house.runtime.running("web").len(), house.runtime.replicas().len()), (2, 2));
    assert!(house.plan().await.is_empty());
}

/// What a new process says of the run that broke off at a boundary.
async fn settled(house: &House, run: trueup::ids::RunId) -> (RunState, String) {
    let after = Syncs::new(house.store.clone(), house.passes.clone());
    assert!(after.settle().await.unwrap().is_empty());
    let run = house.store.run(run).await.unwrap().unwrap();
    (run.state, run.summary.unwrap())
}

#[tokio::test]
async fn what_a_settled_run_could_not_remove_goes_with_the_next_sync() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.declare(&WEB.replace("web:1", "web:2"));
    // Prepare, stop, start, gate, and the switch is on disk.
    let house = house.watched(CrashAt::nth(10));
    let run = house.sync().await;
    house.runtime.fail_next("remove", refused("device or resource busy"));
    let (state, summary) = settled(&house, run.id).await;
    assert_eq!(state, RunState::Failed);
    assert!(summary.contains("left of the old (removing web-1: ") && summary.contains("busy"), "{summary}");
    let plan = house.plan().await;
    takes_away(&plan, 2, 1);
    let after = Syncs::new(house.store.clone(), house.passes.clone());
    let house = House { syncs: after, ..house };
    assert_eq!(house.carry_out(&plan).await.state, RunState::Succeeded);
    assert_eq!(house.runtime.replicas().len(), 1);
    assert!(house.plan().await.is_empty());
}

#[tokio::test]
async fn an_interrupted_change_in_place_is_told_replica_by_replica() {
    if !backend::git() {
        return;
    }
    let two = format!("{WEB}  replicas: 2\n");
    let memory = |house: &House| -> Vec<Value> {
        house.runtime.running("web").iter().map(|replica| replica.leaves[&FieldPath::MemoryLimit].clone()).collect()
    };
    let mib = |count: u64| Value::Memory(Bytes(count << 20));
    for boundary in 1.. {
        let house = House::new(&two).await;
        house.sync().await;
        house.declare(&two.replace("256Mi", "300Mi"));
        let house = house.watched(CrashAt::nth(boundary));
        let run = house.sync().await;
        if run.state == RunState::Succeeded {
            assert!(boundary > 8, "only {boundary} boundaries were reached");
            break;
        }
        let (state, summary) = settled(&house, run.id).await;
        // Per replica: the update's intent, its end, the gate's two. Then all is set, and what is left is recorded.
        let (told, values) = match boundary {
            1 => ("nothing of it was changed", [mib(256), mib(256)]),
            2..=5 => ("resources.memory_limit is set in web-1 and not set in web-2", [mib(300), mib(256)]),
            _ => ("everything was applied", [mib(300), mib(300)]),
        };
        if boundary < 6 {
            assert_eq!(state, RunState::Failed, "boundary {boundary}: {summary}");
            assert!(
                summary.contains(told) && summary.contains("plan and sync again"),
                "boundary {boundary}: {summary}"
            );
        } else {
            assert_eq!(state, RunState::Succeeded, "boundary {boundary}: {summary}");
        }
        assert_eq!(memory(&house), values, "boundary {boundary}: {summary}");
        assert_eq!(house.runtime.running("web").len(), 2, "what runs is unharmed");
        let after = Syncs::new(house.store.clone(), house.passes.clone());
        let house = House { syncs: after, ..house };
        let plan = house.plan().await;
        assert_eq!(plan.is_empty(), boundary >= 6, "boundary {boundary}: what is left is a difference");
        if !plan.is_empty() {
            assert_eq!(house.carry_out(&plan).await.state, RunState::Succeeded, "boundary {boundary}");
        }
        assert!(house.plan().await.is_empty(), "boundary {boundary}: the next sync does not repair");
        assert_eq!(memory(&house), [mib(300), mib(300)]);
    }
}

#[tokio::test]
async fn a_change_in_place_that_cannot_be_set_back_is_told_replica_by_replica() {
    if !backend::git() {
        return;
    }
    let two = format!("{WEB}  replicas: 2\n");
    let house = House::new(&two).await;
    house.sync().await;
    house.declare(&two.replace("256Mi", "300Mi"));
    let plan = house.plan().await;
    house.runtime.pass_next("update");
    house.runtime.fail_next("update", refused("not enough memory"));
    house.runtime.fail_next("update", refused("still not"));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.unwrap();
    assert!(summary.contains("not enough memory"), "{summary}");
    assert!(summary.contains("web-1's resources.memory_limit could not be set back: still not"), "{summary}");
    assert!(!summary.contains("web-2's"), "{summary}");
    let plan = house.plan().await;
    let differing: Vec<&str> =
        plan.actions[0].changes[0].replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(differing, ["web-2"], "{plan:#?}");
    assert_eq!(house.carry_out(&plan).await.state, RunState::Succeeded);
    assert!(house.plan().await.is_empty());
}

#[tokio::test]
async fn on_a_real_engine_what_is_left_of_an_earlier_release_is_told_and_goes_with_the_next_sync() {
    if !docker::available() {
        return;
    }
    let web = |release: &str| service("web", &[&format!("command: [sh, -c, \"exec sleep 60{release}\"]")]);
    let dock = Dock::new(&web("1")).await;
    dock.sync().await;
    let old = dock.id("web");
    dock.declare(&web("2"));
    let _run = dock.sync().await;
    let new = dock.id("web");
    assert_ne!(old, new);
    // What a removal that failed leaves: a stopped container of an earlier release at the number of one that runs.
    let image = docker(&["inspect", "--format", "{{.Image}}", &new]);
    let labels = dock.world.label_arguments("web");
    let mut create = vec!["create".to_owned()];
    create.extend(labels);
    create.extend([image.trim().to_owned(), "sleep".to_owned(), "601".to_owned()]);
    let left = docker(&create).trim().to_owned();
    let plan = dock.house.plan().await;
    takes_away(&plan, 2, 1);
    let run = dock.house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(dock.ids("web"), [new], "only what runs is left, untouched, and not {left}");
    assert!(dock.house.plan().await.is_empty());
}
