//! Does a replica pass its gate only after as many successes in a row as were asked for, and has it the time it was given?

use std::time::{Duration, Instant};

use trueup::deploy::health_gate::{GateFailure, Made, pass, patience};
use trueup::live::quantity::Millis;
use trueup::provider::ProbeOutcome::{self, Failed, Impossible, Passed, Pending};
use trueup::provider::{Check, Probe};

use crate::world::runtime::Runtime;

fn check() -> Check {
    Check {
        probe: Probe::Tcp { port: Some(80) },
        interval: Millis(50),
        timeout: Millis(50),
        start_period: Millis(0),
        healthy_threshold: 1,
        unhealthy_threshold: 1,
    }
}

fn no() -> ProbeOutcome {
    Failed("503 Service Unavailable".to_owned())
}

/// How a replica fares whose probes answer this, and how many it took.
async fn fare(answers: Vec<ProbeOutcome>, check: &Check) -> (Result<(), GateFailure>, u32) {
    let runtime = Runtime::default();
    let replica = runtime.run_by_hand("web");
    runtime.answer(answers);
    let result = pass(&runtime, &replica, check, Made::ByThisRun).await;
    (result, runtime.probes("web"))
}

#[tokio::test]
async fn as_many_successes_as_asked_for_are_needed_in_a_row() {
    let check = |healthy_threshold| Check { healthy_threshold, unhealthy_threshold: 200, ..check() };
    assert_eq!(fare(vec![Passed], &check(1)).await, (Ok(()), 1));
    assert_eq!(fare(vec![Passed; 3], &check(3)).await, (Ok(()), 3));
    // A failure between them begins the count anew.
    let between = vec![Passed, Passed, no(), Passed, Passed, Passed];
    assert_eq!(fare(between, &check(3)).await, (Ok(()), 6));
    // What is too early to say is no failure, and no success.
    assert_eq!(fare(vec![Passed, Pending, Passed], &check(2)).await, (Ok(()), 3));
}

#[tokio::test]
async fn patience_ends_and_the_last_answer_is_told() {
    let short = check();
    let begun = Instant::now();
    let (result, probes) = fare(vec![no(); 1_000], &short).await;
    let Err(GateFailure::Unhealthy { waited, last }) = result else { panic!("{result:?}") };
    assert!(waited >= patience(&short) && begun.elapsed() >= patience(&short), "{waited:?}");
    assert!(last.contains("503") && probes >= 1);
    assert_eq!(patience(&short), Duration::from_millis(100));
    assert_eq!(patience(&Check { unhealthy_threshold: 4, ..check() }), Duration::from_millis(250));
    assert_eq!(patience(&Check { healthy_threshold: 3, ..check() }), Duration::from_millis(200));
}

#[tokio::test]
async fn a_start_period_gives_it_longer() {
    let slow = Check { start_period: Millis(60_000), ..check() };
    assert_eq!(patience(&slow), Duration::from_millis(60_100));
    // Without one this many failures take far longer than it is waited.
    let mut answers = vec![no(); 20];
    answers.push(Passed);
    assert_eq!(fare(answers.clone(), &slow).await, (Ok(()), 21));
    let (result, probes) = fare(answers, &check()).await;
    assert!(matches!(result, Err(GateFailure::Unhealthy { .. })) && probes < 20, "{result:?}, {probes}");
}

#[tokio::test]
async fn a_probe_that_cannot_be_carried_out_ends_it_at_once() {
    let (result, probes) = fare(vec![Impossible("no helper".to_owned())], &check()).await;
    assert_eq!((result, probes), (Err(GateFailure::Impossible("no helper".to_owned())), 1));
}
