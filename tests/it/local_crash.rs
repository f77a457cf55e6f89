//! Does what runs survive the supervisor, and is it found again, and never mistaken for something else?

use std::process::{Command, Stdio};

use rustix::process::Signal;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::live::{Health, Observed};
use trueup::provider::{Check, Probe, ProbeOutcome, Provider};

use crate::world::local::{Code, Machine, Wanted, leaf, pid, replicas, seen, shop, signal, state_file, until};
use crate::world::permit::Gate;

fn healthz() -> Check {
    use trueup::live::quantity::Millis;
    Check {
        probe: Probe::Http { path: "/healthz".into(), port: None },
        interval: Millis(100),
        timeout: Millis(2_000),
        start_period: Millis(0),
        healthy_threshold: 1,
        unhealthy_threshold: 3,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_nothing_with_it_and_its_successor_takes_over() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let wanted = Wanted::server(&code).secret("GREETING", "hunter2hunter2").restart("always");
    let replica = wanted.run(&machine.provider(&code), &permit).await;
    let before = pid(&machine, &replica);

    machine.kill();
    let port: u16 = {
        let environment = std::fs::read_to_string(format!("/proc/{before}/environ")).unwrap();
        environment.split('\0').find_map(|entry| entry.strip_prefix("PORT=")).unwrap().parse().unwrap()
    };
    until("it still listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
    assert!(matches!(machine.provider(&code).observe().await.services, Observed::Unknown(_)));

    machine.start().await;
    // A daemon of its own too: nothing but the supervisor's files knows the replica.
    let provider = machine.provider(&code);
    assert_eq!(pid(&machine, &replica), before);
    assert!(provider.state(&replica).await.unwrap().running);
    assert_eq!(provider.probe(&replica, &healthz()).await, ProbeOutcome::Passed);
    let greeting = FieldPath::Env("GREETING".into());
    assert_eq!(leaf(&provider, &replica, greeting.clone()).await, Some(Value::Text("hunter2hunter2".into())));

    // No longer a child, and yet its end is noticed; how it ended is nobody's to say.
    signal(before, Signal::KILL);
    until("it runs again", || async { provider.state(&replica).await.unwrap().restarts == 1 }).await;
    until("it serves", || async { provider.probe(&replica, &healthz()).await == ProbeOutcome::Passed }).await;
    let state = provider.state(&replica).await.unwrap();
    assert!(state.ended.as_deref().unwrap().contains("how is not known"), "{state:?}");
    assert_ne!(pid(&machine, &replica), before);
    assert_eq!(leaf(&provider, &replica, greeting).await, Some(Value::Text("hunter2hunter2".into())));
    provider.remove(&permit, &replica).await.unwrap();
    assert_eq!(machine.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_asked_to_end_leaves_what_runs_alone() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "exec sleep 600").run(&machine.provider(&code), &permit).await;
    let before = pid(&machine, &replica);
    machine.terminate();
    assert!(!machine.socket().exists());
    assert_eq!(machine.processes(), [before]);
    machine.start().await;
    let provider = machine.provider(&code);
    assert!(provider.state(&replica).await.unwrap().running);
    // An adopted one is stopped as any other.
    provider.stop(&permit, &replica).await.unwrap();
    assert_eq!(machine.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_meanwhile_is_treated_by_its_policy_and_cleaned_up_after() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let script = "sleep 600 &\necho ready\nwait";
    let mut wanted = Wanted::shell(&code, script);
    let mut ids = Vec::new();
    for (index, policy) in [(1, "always"), (2, "no"), (3, "on-failure:3")] {
        wanted.index = index;
        let replica = wanted.clone().restart(policy).run(&machine.provider(&code), &permit).await;
        let provider = machine.provider(&code);
        until("it is ready", || async { provider.logs(&replica, 1).await.unwrap() == ["ready"] }).await;
        ids.push(replica);
    }
    machine.kill();
    let before: Vec<i32> = ids.iter().map(|id| pid(&machine, id)).collect();
    for pid in &before {
        signal(*pid, Signal::KILL);
    }
    until("the main processes are gone", || async { before.iter().all(|pid| !machine.processes().contains(pid)) })
        .await;
    let left = machine.processes();
    assert_eq!(left.len(), 3, "each left a child behind");
    machine.start().await;
    let provider = machine.provider(&code);
    for restarted in [&ids[0], &ids[2]] {
        until("it runs again", || async { provider.state(restarted).await.unwrap().running }).await;
    }
    let ended = provider.state(&ids[1]).await.unwrap();
    assert!(!ended.running && matches!(ended.health, Health::Stopped { why } if why.contains("how is not known")));
    assert_eq!(leaf(&provider, &ids[1], FieldPath::Stopped).await, Some(Value::Flag(false)));
    assert!(left.iter().all(|pid| !machine.processes().contains(pid)), "what they left behind still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_another_process_by_now_is_neither_adopted_nor_killed() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let provider = machine.provider(&code);
    let mut wanted = Wanted::shell(&code, "exec sleep 600").restart("no");
    let other_number = wanted.run(&provider, &permit).await;
    wanted.index = 2;
    let other_boot = wanted.run(&provider, &permit).await;
    machine.kill();

    let mut stranger = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let replaced = pid(&machine, &other_number);
    let rewrite = |id, change: &dyn Fn(&mut serde_json::Value)| {
        let mut state = state_file(&machine, id);
        change(&mut state["process"]);
        std::fs::write(machine.replica(id).join("state.json"), state.to_string()).unwrap();
    };
    rewrite(&other_number, &|process| process["pid"] = stranger.id().into());
    rewrite(&other_boot, &|process| process["boot"] = "another".into());
    machine.start().await;

    for replica in [&other_number, &other_boot] {
        let state = provider.state(replica).await.unwrap();
        assert!(!state.running, "{replica} was taken for another process");
        provider.stop(&permit, replica).await.unwrap();
        provider.remove(&permit, replica).await.unwrap();
    }
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    signal(replaced, Signal::KILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_supervisor_died_before_it_was_written_down_never_becomes_the_program() {
    // What the supervisor starts waits for its order; with nobody to give it, it ends.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut waiting = Command::new(crate::world::local::TRUEUP)
        .arg("supervise-exec")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(ours);
    let status = tokio::task::spawn_blocking(move || waiting.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(126));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_supervisor_owns_a_state() {
    let machine = Machine::new().await;
    let second = machine.command().stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another supervisor is at work"), "{said}");
    assert!(tokio::net::UnixStream::connect(machine.socket()).await.is_ok(), "the first one still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_cannot_be_read_is_unseen_and_spoils_no_other() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "exec sleep 600").run(&machine.provider(&code), &permit).await;
    let before = pid(&machine, &replica);
    machine.kill();
    for garbage in ["", "{", "null", "{\"format\":2}", "\u{fffd}"] {
        std::fs::write(machine.replica(&replica).join("state.json"), garbage).unwrap();
        std::fs::create_dir_all(machine.state().join("replicas/shop.production.web.9.1.new/checkout")).unwrap();
        machine.start().await;
        let provider = machine.provider(&code);
        let Observed::Known(services) = provider.observe().await.services else { panic!("{garbage:?} hides all") };
        let web = &services[&"web".parse().unwrap()];
        assert!(web.replicas.is_empty(), "{garbage:?} was believed");
        let why = web.unseen_why().unwrap();
        assert!(
            why.starts_with("web-1: ") && why.contains(&replica.0) && why.contains("restart the supervisor"),
            "{why}"
        );
        assert!(Wanted::shell(&code, "exit").prepare(&provider, &permit).await.is_err());
        assert!(!machine.state().join("replicas/shop.production.web.9.1.new").exists(), "half a replica is swept away");
        let other = trueup::provider::local::LocalProvider::connect(
            "shop/staging".parse().unwrap(),
            &[("allow_own_user".to_owned(), "true".to_owned())].into(),
            None,
            &machine.socket(),
            std::sync::Arc::new(code.clone()),
        )
        .unwrap();
        assert_eq!(replicas(&other).await, []);
        assert_eq!(machine.processes(), [before], "what runs is left alone");
        machine.kill();
    }
    machine.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_on_request_outlives_the_supervisor() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let provider = machine.provider(&code);
    let replica = Wanted::shell(&code, "exec sleep 600").restart("always").run(&provider, &permit).await;
    provider.stop(&permit, &replica).await.unwrap();
    machine.kill();
    machine.start().await;
    let live = seen(&provider, &replica).await;
    assert!(matches!(live.health, Health::Stopped { .. }));
    assert_eq!(leaf(&provider, &replica, FieldPath::Stopped).await, Some(Value::Flag(true)));
    assert_eq!(machine.processes(), [0; 0]);
}
