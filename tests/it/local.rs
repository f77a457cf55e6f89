//! Does a service live as a process of this machine: prepared, started, probed, stopped and removed without a trace?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trueup::ids::RunId;
use trueup::live::field::FieldPath;
use trueup::live::quantity::Millis;
use trueup::live::value::Value;
use trueup::live::{Health, LiveLeaf, Observed};
use trueup::provider::local::{LocalProvider, LocalSetupError};
use trueup::provider::{Check, FindingLevel, Probe, ProbeOutcome, Provider, StepError};

use crate::world::local::{Code, Machine, Wanted, leaf, pid, replicas, seen, shop, source, until};
use crate::world::permit::Gate;

fn check(probe: Probe) -> Check {
    Check {
        probe,
        interval: Millis(100),
        timeout: Millis(2_000),
        start_period: Millis(0),
        healthy_threshold: 1,
        unhealthy_threshold: 3,
    }
}

fn healthz() -> Check {
    check(Probe::Http { path: "/healthz".into(), port: Some(8080) })
}

fn command(words: &[&str]) -> Check {
    check(Probe::Command { argv: words.iter().map(|word| (*word).to_owned()).collect() })
}

async fn serves(provider: &LocalProvider, replica: &trueup::live::ReplicaId) {
    until("it serves", || async { provider.probe(replica, &healthz()).await == ProbeOutcome::Passed }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_lives_as_declared_and_leaves_nothing_behind() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let wanted = Wanted::server(&code)
        .env("GREETING", "welcome")
        .leaf(FieldPath::MemoryLimit, Value::Memory(trueup::live::quantity::Bytes(256 << 20)))
        .leaf(FieldPath::Labels("team".into()), Value::Text("shop".into()))
        .leaf(FieldPath::StopGracePeriod, Value::Duration(Millis(3_000)))
        .restart("on-failure:5");

    let replica = wanted.prepare(&provider, &permit).await.unwrap();
    let prepared = seen(&provider, &replica).await;
    assert_eq!(prepared.leaves[&FieldPath::Stopped], Observed::Known(LiveLeaf::set(Value::Flag(true))));
    assert!(matches!(prepared.health, Health::Stopped { .. }));
    assert!(!provider.state(&replica).await.unwrap().running);

    provider.start(&permit, &replica).await.unwrap();
    provider.start(&permit, &replica).await.unwrap();
    serves(&provider, &replica).await;
    assert_eq!(provider.probe(&replica, &check(Probe::Tcp { port: None })).await, ProbeOutcome::Passed);
    assert_eq!(provider.probe(&replica, &check(Probe::Running)).await, ProbeOutcome::Passed);
    let live = seen(&provider, &replica).await;
    for (field, value) in &wanted.leaves {
        assert_eq!(live.leaves[field], Observed::Known(LiveLeaf::set(value.clone())), "{field}");
    }
    // What is not declared is either absent or supplied: nothing shows as set that nobody set.
    for (field, seen) in &live.leaves {
        let known = seen.known().unwrap_or_else(|| panic!("{field} is unknown"));
        assert_eq!(known.supplied, !wanted.leaves.contains_key(field), "{field}");
    }
    assert_eq!((live.name.as_str(), live.index, live.release), ("web-1", 1, Some(permit.run())));
    assert_eq!(live.health, Health::Healthy);

    let main = pid(&machine, &replica);
    assert_eq!(rustix::process::getsid(rustix::process::Pid::from_raw(main)).unwrap().as_raw_nonzero().get(), main);
    let directory = std::fs::read_link(format!("/proc/{main}/cwd")).unwrap();
    assert_eq!(directory, machine.replica(&replica).join("checkout").canonicalize().unwrap());

    provider.stop(&permit, &replica).await.unwrap();
    provider.stop(&permit, &replica).await.unwrap();
    let stopped = provider.state(&replica).await.unwrap();
    assert!(!stopped.running && stopped.ended.unwrap().contains("SIGTERM"));
    provider.remove(&permit, &replica).await.unwrap();
    provider.remove(&permit, &replica).await.unwrap();
    assert_eq!(replicas(&provider).await, []);
    assert!(matches!(provider.state(&replica).await, Err(StepError::Gone(_))));
    for folder in ["replicas", "secrets", "staging"] {
        let left: Vec<_> = std::fs::read_dir(machine.state().join(folder)).unwrap().collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    assert_eq!(machine.processes(), [0; 0]);
    gate.finish(permit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_is_prepared_and_runs_beside_the_old() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let old = Wanted::server(&code)
        .env("KEPT", "unmanaged")
        .env("GONE", "withdrawn")
        .env("GREETING", "one")
        .run(&provider, &permit)
        .await;
    serves(&provider, &old).await;
    gate.finish(permit).await;

    let permit = gate.permit().await;
    assert_eq!(permit.run(), RunId(2));
    let mut wanted = Wanted::server(&code).env("GREETING", "two");
    wanted.withdrawn.insert(FieldPath::Env("GONE".into()));
    wanted.from = Some(old.clone());
    let first = wanted.prepare(&provider, &permit).await.unwrap();
    // The same again takes the place of what an earlier call left.
    let new = wanted.prepare(&provider, &permit).await.unwrap();
    assert_eq!(first, new);
    assert_eq!(replicas(&provider).await.len(), 2);
    provider.start(&permit, &new).await.unwrap();
    serves(&provider, &new).await;
    serves(&provider, &old).await;
    let env = |name: &str| FieldPath::Env(name.into());
    assert_eq!(leaf(&provider, &new, env("KEPT")).await, Some(Value::Text("unmanaged".into())));
    assert_eq!(leaf(&provider, &new, env("GONE")).await, None);
    assert_eq!(leaf(&provider, &new, env("GREETING")).await, Some(Value::Text("two".into())));
    assert_eq!(leaf(&provider, &old, env("GREETING")).await, Some(Value::Text("one".into())));
    assert_eq!(leaf(&provider, &new, FieldPath::Source).await, Some(Value::Source(source())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ever_started_is_none_of_a_later_runs_leftovers() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let running = Wanted::server(&code).run(&provider, &permit).await;
    serves(&provider, &running).await;
    // A database restored from a backup gives the same numbers out again.
    let restored = Gate::open(&shop(), "local").await;
    let again = restored.permit().await;
    assert_eq!(again.run(), permit.run());
    let refused = Wanted::server(&code).prepare(&provider, &again).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("was started")), "{refused}");
    serves(&provider, &running).await;
    provider.stop(&permit, &running).await.unwrap();
    Wanted::server(&code).prepare(&provider, &again).await.unwrap_err();
    assert_eq!(replicas(&provider).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_refused_with_its_reason_and_not_tried_again() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let commit = code.commit(&[("data", "no program")]);
    for (program, reason) in [("./missing", "no such program"), ("./data", "permission denied")] {
        let replica = Wanted::new(&commit, &[program]).prepare(&provider, &permit).await.unwrap();
        let refused = provider.start(&permit, &replica).await.unwrap_err();
        assert!(
            matches!(&refused, StepError::Refused(why) if why.contains(reason) && why.contains(program)),
            "{refused}"
        );
        let state = provider.state(&replica).await.unwrap();
        assert!(!state.running && state.restarts == 0 && state.ended.unwrap().contains(reason));
        provider.remove(&permit, &replica).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_prepared_is_refused_and_leaves_nothing() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let good = Wanted::shell(&code, "exec sleep 60");
    let absent = Wanted { commit: Some("f".repeat(40).parse().unwrap()), ..good.clone() };
    let mut secretless = good.clone().secret("TOKEN", "hunter2");
    secretless.secrets.clear();
    let image = Value::Ports(Default::default());
    let refusals = [
        (Wanted { commit: None, ..good.clone() }, "no commit"),
        (absent, "there is no commit"),
        (secretless, "the secret of env.TOKEN has no value"),
        (good.clone().env("PORT", "8080"), "cannot be set"),
        (good.clone().leaf(FieldPath::WorkingDir, Value::Text("../..".into())), "lead out of the checkout"),
        (good.clone().leaf(FieldPath::Command, Value::Words([].into())), "write `command`"),
        (good.clone().leaf(FieldPath::Ports("80/tcp".into()), image), "cannot have"),
    ];
    for (wanted, reason) in refusals {
        let refused = wanted.prepare(&provider, &permit).await.unwrap_err();
        assert!(matches!(&refused, StepError::Refused(why) if why.contains(reason)), "{reason}: {refused}");
    }
    assert_eq!(replicas(&provider).await, []);
    for folder in ["replicas", "secrets", "staging"] {
        assert_eq!(std::fs::read_dir(machine.state().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_come_from_the_operators_range_and_run_out() {
    let (machine, code) = (Machine::new().await, Code::default());
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let first: u16 = machine.range().split_once('-').unwrap().0.parse().unwrap();
    let settings = |range: String| {
        BTreeMap::from([("allow_own_user".to_owned(), "true".to_owned()), ("port_range".to_owned(), range)])
    };
    let provider = machine.provider_with(&code, &settings(format!("{first}-{}", first + 1)), None);
    let mut wanted = Wanted::shell(&code, "echo port=$PORT; exec sleep 60");
    let mut ports = Vec::new();
    for index in 1..=2 {
        wanted.index = index;
        let replica = wanted.run(&provider, &permit).await;
        until("it says its port", || async { !provider.logs(&replica, 1).await.unwrap().is_empty() }).await;
        ports.append(&mut provider.logs(&replica, 1).await.unwrap());
    }
    ports.sort();
    assert_eq!(ports, [format!("port={first}"), format!("port={}", first + 1)]);
    wanted.index = 3;
    let refused = wanted.prepare(&provider, &permit).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("no free port")), "{refused}");
    let report = provider.test_connection().await;
    assert!(!report.ok && report.findings.iter().any(|finding| finding.message.contains("no port of")), "{report:?}");

    let outside = machine.provider_with(&code, &settings("2000-2010".into()), None);
    let refused = wanted.prepare(&outside, &permit).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("is not within")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_every_process_of_the_session_even_those_that_refuse() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let script = "trap '' TERM\n(trap '' TERM; while :; do sleep 1; done) &\n(exec sleep 600) &\necho ready\nwhile :; do sleep 1; done";
    let wanted = Wanted::shell(&code, script).leaf(FieldPath::StopGracePeriod, Value::Duration(Millis(300)));
    let replica = wanted.run(&provider, &permit).await;
    until("it is ready", || async { provider.logs(&replica, 5).await.unwrap() == ["ready"] }).await;
    assert!(machine.processes().len() >= 3);
    provider.stop(&permit, &replica).await.unwrap();
    assert_eq!(machine.processes(), [0; 0]);
    assert!(provider.state(&replica).await.unwrap().ended.unwrap().contains("SIGKILL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_runs_beside_the_replica_and_shows_no_secret() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let commit = code.commit(&[("run.sh", "#!/bin/sh\nexec sleep 600\n"), ("marker", "here")]);
    let replica = Wanted::new(&commit, &["./run.sh"]).secret("TOKEN", "hunter2hunter2").run(&provider, &permit).await;
    let probe = async |words: &[&str]| provider.probe(&replica, &command(words)).await;
    assert_eq!(probe(&["/bin/sh", "-c", "test -f marker && test -n \"$PORT\""]).await, ProbeOutcome::Passed);
    let ProbeOutcome::Failed(why) = probe(&["/bin/sh", "-c", "echo no token=$TOKEN; exit 7"]).await else { panic!() };
    assert!(why.contains("exit code 7") && why.contains("token=(secret)") && !why.contains("hunter2"), "{why}");
    let ProbeOutcome::Failed(why) = probe(&["/bin/sh", "-c", "sleep 600 & sleep 600"]).await else { panic!() };
    assert!(why.contains("did not end within"), "{why}");
    assert!(matches!(probe(&["./absent"]).await, ProbeOutcome::Impossible(why) if why.contains("no such program")));
    assert_eq!(machine.processes(), [pid(&machine, &replica)], "the probes left processes behind");
    assert!(provider.can_probe(&command(&[])).await.is_err());
    provider.stop(&permit, &replica).await.unwrap();
    assert!(matches!(probe(&["/bin/true"]).await, ProbeOutcome::Failed(_)));
    assert!(matches!(provider.probe(&replica, &healthz()).await, ProbeOutcome::Failed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_followed_to_its_end() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (Arc::new(machine.provider(&code)), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let script = "echo one\necho two >&2\nread line < gate\necho \"$line\"\nprintf unended";
    let wanted = Wanted::shell(&code, &format!("mkfifo gate\n{script}")).restart("no");
    let replica = wanted.run(&provider, &permit).await;
    until("it said two lines", || async { provider.logs(&replica, 9).await.unwrap() == ["one", "two"] }).await;
    let (sink, mut lines) = tokio::sync::mpsc::channel(9);
    let follower = Arc::clone(&provider);
    let followed = replica.clone();
    let following = tokio::spawn(async move { follower.follow_logs(&followed, 1, sink).await });
    assert_eq!(lines.recv().await.unwrap(), "two");
    let pipe = machine.replica(&replica).join("checkout/gate");
    tokio::task::spawn_blocking(move || std::fs::write(pipe, "three\n").unwrap()).await.unwrap();
    assert_eq!(lines.recv().await.unwrap(), "three");
    assert_eq!(lines.recv().await.unwrap(), "unended");
    assert_eq!(lines.recv().await, None);
    following.await.unwrap().unwrap();
    assert_eq!(provider.logs(&replica, 2).await.unwrap(), ["three", "unended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talkative_replica_does_not_fill_the_disk() {
    let (machine, code) = (Machine::with(&["--cgroup", "off", "--log-limit", "64Ki"]).await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let script =
        "i=0\nwhile [ $i -lt 20000 ]; do echo \"line $i of a long story\"; i=$((i+1)); done\necho over\nexec sleep 600";
    let replica = Wanted::shell(&code, script).run(&provider, &permit).await;
    let log = machine.replica(&replica).join("log");
    until("it is over", || async { provider.logs(&replica, 1).await.unwrap() == ["over"] }).await;
    until("it is cut back", || async { std::fs::metadata(&log).unwrap().len() <= 64 << 10 }).await;
    assert!(std::fs::metadata(log.with_extension("1")).unwrap().len() <= 64 << 10);
    assert_eq!(provider.logs(&replica, 2).await.unwrap(), ["line 19999 of a long story", "over"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_as_they_happen() {
    use futures_util::StreamExt;
    let (mut machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let mut changes = provider.changes();
    let next = async |changes: &mut futures_util::stream::BoxStream<'static, Result<(), String>>| {
        tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("a change in time")
    };
    assert_eq!(next(&mut changes).await, Some(Ok(())), "once at the beginning");
    let replica = Wanted::shell(&code, "exec sleep 600").restart("no").run(&provider, &permit).await;
    crate::world::local::signal(pid(&machine, &replica), rustix::process::Signal::KILL);
    while provider.state(&replica).await.unwrap().running {
        assert_eq!(next(&mut changes).await, Some(Ok(())));
    }
    machine.kill();
    let ended = loop {
        match next(&mut changes).await {
            Some(Ok(())) => {}
            other => break other,
        }
    };
    assert!(matches!(ended, Some(Err(_))), "{ended:?}");
    assert_eq!(next(&mut changes).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_test_says_what_it_found() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    let provider = machine.provider(&code);
    let report = provider.test_connection().await;
    assert!(report.ok, "{report:?}");
    let says = |text: &str| report.findings.iter().any(|finding| finding.message.contains(text));
    assert!(
        says("the supervisor answers") && says("RLIMIT_AS") && says("20 ports of") && says("own user"),
        "{report:?}"
    );
    machine.terminate();
    let report = provider.test_connection().await;
    assert!(!report.ok && report.findings[0].level == FindingLevel::Error, "{report:?}");
    assert!(matches!(provider.observe().await.services, Observed::Unknown(why) if why.contains("trueup supervise")));
}

#[test]
fn nobody_runs_as_trueups_own_user_unless_the_operator_says_so() {
    let connect = |settings: &[(&str, &str)], run_as: Option<&str>| {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LocalProvider::connect(shop(), &settings, run_as, "/nowhere".as_ref(), Arc::new(Code::default()))
    };
    assert!(matches!(connect(&[], None), Err(LocalSetupError::NoUser)));
    assert!(matches!(connect(&[("allow_own_user", "false")], None), Err(LocalSetupError::NoUser)));
    assert!(matches!(connect(&[("shell", "sh")], None), Err(LocalSetupError::Settings(_))));
    assert!(connect(&[("allow_own_user", "true")], None).is_ok());
    let own = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let name = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields[2].parse() == Ok(own)).then(|| fields[0].to_owned())
    });
    if let Some(name) = name {
        assert!(matches!(connect(&[], Some(&name)), Err(LocalSetupError::OwnUser(_))));
        assert!(connect(&[("allow_own_user", "true")], Some(&name)).is_ok());
    }
}
