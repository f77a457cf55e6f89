//! Does the restart policy decide what happens when a process ends by itself, and no more than that?

use rustix::process::Signal;
use trueup::live::Health;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::provider::Provider;

use crate::world::local::{Code, Machine, Wanted, leaf, pid, seen, shop, signal, until};
use crate::world::permit::Gate;

#[tokio::test(flavor = "multi_thread")]
async fn always_starts_again_what_was_killed_with_all_that_it_had() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica =
        Wanted::shell(&code, "sleep 600 & wait").restart("always").env("A", "b").run(&provider, &permit).await;
    let before = pid(&machine, &replica);
    until("its child is there", || async { machine.processes().len() == 2 }).await;
    let children = machine.processes();
    signal(before, Signal::KILL);
    until("it runs again", || async {
        let state = provider.state(&replica).await.unwrap();
        state.running && state.restarts == 1
    })
    .await;
    assert!(!machine.processes().iter().any(|pid| children.contains(pid)), "what it had started went with it");
    assert!(provider.state(&replica).await.unwrap().ended.unwrap().contains("SIGKILL"));
    assert_eq!(leaf(&provider, &replica, FieldPath::Env("A".into())).await, Some(Value::Text("b".into())));
    assert_eq!(leaf(&provider, &replica, FieldPath::Stopped).await, Some(Value::Flag(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_leaves_it_ended_and_that_is_no_drift() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "echo ran; exit 3").restart("no").run(&provider, &permit).await;
    until("it ended", || async { !provider.state(&replica).await.unwrap().running }).await;
    let live = seen(&provider, &replica).await;
    assert!(matches!(live.health, Health::Stopped { why } if why == "exit code 3"));
    assert_eq!(leaf(&provider, &replica, FieldPath::Stopped).await, Some(Value::Flag(false)));
    assert_eq!(provider.logs(&replica, 9).await.unwrap(), ["ran"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_failure_tries_as_often_as_it_says_and_a_success_is_none() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let failing = Wanted::shell(&code, "echo ran; exit 3").restart("on-failure:2").run(&provider, &permit).await;
    until("its tries are used up", || async {
        matches!(provider.state(&failing).await.unwrap().health, Health::Stopped { .. })
    })
    .await;
    assert_eq!(provider.logs(&failing, 9).await.unwrap(), ["ran", "ran", "ran"]);
    assert_eq!(provider.state(&failing).await.unwrap().restarts, 2);
    assert_eq!(leaf(&provider, &failing, FieldPath::Stopped).await, Some(Value::Flag(true)));
    // Started on request, it has its tries again.
    provider.start(&permit, &failing).await.unwrap();
    until("it was tried again", || async { provider.logs(&failing, 9).await.unwrap().len() == 6 }).await;

    let mut wanted = Wanted::shell(&code, "echo ran; exit 0").restart("on-failure:2");
    wanted.index = 2;
    let succeeding = wanted.run(&provider, &permit).await;
    until("it ended", || async { !provider.state(&succeeding).await.unwrap().running }).await;
    assert_eq!(provider.state(&succeeding).await.unwrap().restarts, 0);
    assert_eq!(leaf(&provider, &succeeding, FieldPath::Stopped).await, Some(Value::Flag(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_over_and_over_is_crash_looping_at_growing_distances() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "date +%s%3N; exit 9").restart("unless-stopped").run(&provider, &permit).await;
    until("it was started five times", || async { provider.logs(&replica, 9).await.unwrap().len() == 5 }).await;
    let times = provider.logs(&replica, 5).await.unwrap();
    let times: Vec<i64> = times.iter().map(|line| line.parse().unwrap()).collect();
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, least) in pauses.iter().zip([100, 200, 400, 800]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    let live = seen(&provider, &replica).await;
    assert!(matches!(&live.health, Health::CrashLooping { why } if why.contains("exit code 9")), "{:?}", live.health);
    // Its policy sees to it: nothing for a plan to do.
    assert_eq!(leaf(&provider, &replica, FieldPath::Stopped).await, Some(Value::Flag(false)));
    provider.stop(&permit, &replica).await.unwrap();
    assert!(matches!(seen(&provider, &replica).await.health, Health::Stopped { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_changes_in_place() {
    use std::collections::BTreeMap;
    use trueup::live::value::RestartPolicy;
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "exec sleep 600").restart("always").run(&provider, &permit).await;
    let before = pid(&machine, &replica);
    let no = Value::Restart(RestartPolicy::No);
    provider.update(&permit, &replica, &BTreeMap::from([(FieldPath::Restart, no.clone())])).await.unwrap();
    assert_eq!(leaf(&provider, &replica, FieldPath::Restart).await, Some(no));
    assert_eq!(pid(&machine, &replica), before);
    signal(before, Signal::KILL);
    until("it ended for good", || async {
        matches!(provider.state(&replica).await.unwrap().health, Health::Stopped { .. })
    })
    .await;
    assert_eq!(provider.state(&replica).await.unwrap().restarts, 0);
}
