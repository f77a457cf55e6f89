//! The same over the local provider: killed at any boundary of the journal, does the next start find the processes that
//! the supervisor kept, explain the run, leave exactly what should run, and does the next sync repair the rest?

use trueup::store::records::RunState;

use crate::crash::{close, killed_at, open};
use crate::flow_local::{house, releases, sync, web};
use crate::world::backend;
use crate::world::house::House;
use crate::world::local::Machine;

/// What a crash at one boundary must come to.
struct Expected {
    state: RunState,
    /// The releases that run (`R` of their environments).
    releases: Vec<String>,
    /// How many processes a replica's own line of work makes: one a replica.
    replicas: usize,
}

/// Kills the sync of a fresh change at boundary after boundary; returns the first at which nobody was killed.
async fn at_every_boundary(
    machine: &Machine,
    house: &mut House,
    change: impl Fn(usize) -> String,
    expected: impl Fn(usize) -> Expected,
) -> usize {
    for boundary in 1.. {
        house.declare(&change(boundary));
        close(house).await;
        let killed = killed_at(house.state.path(), &machine.socket(), &house.id, boundary);
        (house.store, house.passes, house.syncs) = open(house.state.path(), &machine.socket()).await;
        if !killed {
            assert!(house.plan().await.is_empty());
            return boundary;
        }
        let unfinished = house.store.unfinished_runs().await.unwrap();
        let [run] = &unfinished[..] else { panic!("boundary {boundary}: {unfinished:?}") };
        assert!(house.syncs.settle().await.unwrap().is_empty(), "boundary {boundary}: not settled");
        let settled = house.store.run(run.id).await.unwrap().unwrap();
        let summary = settled.summary.unwrap_or_default();
        let Expected { state, releases: wanted, replicas } = expected(boundary);
        assert_eq!((settled.state, releases(machine)), (state, wanted), "boundary {boundary}: {summary}");
        assert!(summary.contains("interrupted"), "boundary {boundary}: {summary}");
        assert_eq!(count(machine), replicas, "boundary {boundary}: {summary}");
        let plan = house.plan().await;
        assert_eq!(plan.is_empty(), state == RunState::Succeeded, "boundary {boundary}: {summary}");
        if !plan.is_empty() {
            sync(house).await;
        }
    }
    unreachable!("the boundaries are counted")
}

/// The replicas' folders that the supervisor has.
fn count(machine: &Machine) -> usize {
    std::fs::read_dir(machine.state().join("replicas")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_local_service_is_replaced() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let mut house = house(&machine, &web("0", "\"true\"", "")).await;
    sync(&house).await;
    let change = |n: usize| web(&n.to_string(), "\"true\"", "");
    // Prepare, stop, start, gate; from the switch on it is finished. Every boundary's predecessor was synced or finished.
    let expected = |boundary: usize| {
        let done = boundary > 8;
        Expected {
            state: if done { RunState::Succeeded } else { RunState::Failed },
            releases: vec![(if done { boundary } else { boundary - 1 }).to_string()],
            replicas: 1,
        }
    };
    let boundaries = at_every_boundary(&machine, &mut house, change, expected).await;
    assert_eq!(boundaries, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_local_service_grows() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let of = |count: usize| web("1", "\"true\"", &format!("  replicas: {count}\n"));
    let mut house = house(&machine, &of(1)).await;
    sync(&house).await;
    // Prepare and start; a replica that was started and passes now stays.
    let expected = |boundary: usize| {
        let done = boundary > 3;
        Expected {
            state: if done { RunState::Succeeded } else { RunState::Failed },
            releases: vec!["1".to_owned()],
            replicas: if done { boundary + 1 } else { boundary },
        }
    };
    let boundaries = at_every_boundary(&machine, &mut house, |n| of(n + 1), expected).await;
    // Prepare, start, gate, verify, record; intent and outcome.
    assert_eq!(boundaries, 11);
}
