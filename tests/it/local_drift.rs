//! Is what someone changes by hand on a running replica seen, at its leaf and nowhere else, and can it be put right?

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use trueup::live::capability::Support;
use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, NanoCpus};
use trueup::live::value::Value;
use trueup::live::{LiveReplica, Observed, ReplicaId};
use trueup::provider::local::LocalProvider;
use trueup::provider::{Provider, StepError};

use crate::world::local::{Code, Machine, Wanted, leaf, pid, seen, shop, signal, source, until};
use crate::world::permit::Gate;

/// The leaves that differ between two looks.
fn differing(before: &LiveReplica, after: &LiveReplica) -> Vec<String> {
    let fields: std::collections::BTreeSet<_> = before.leaves.keys().chain(after.leaves.keys()).collect();
    let moved = fields.into_iter().filter(|field| before.leaves.get(field) != after.leaves.get(field));
    moved.map(ToString::to_string).collect()
}

async fn moved(provider: &LocalProvider, id: &ReplicaId, before: &LiveReplica) -> Vec<String> {
    differing(before, &seen(provider, id).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_limit_is_kept_seen_and_put_right_in_place() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let limit = |mebibytes: u64| Value::Memory(Bytes(mebibytes << 20));
    let wanted = Wanted::shell(&code, "sleep 600 & wait").leaf(FieldPath::MemoryLimit, limit(256));
    let replica = wanted.run(&provider, &permit).await;
    let main = pid(&machine, &replica);
    until("its child is there", || async { machine.processes().len() == 2 }).await;
    let before = seen(&provider, &replica).await;
    assert_eq!(leaf(&provider, &replica, FieldPath::MemoryLimit).await, Some(limit(256)));

    let by_hand = Rlimit { current: Some(128 << 20), maximum: Some(256 << 20) };
    prlimit(Some(Pid::from_raw(main).unwrap()), Resource::As, by_hand).unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, ["resources.memory_limit"]);
    assert_eq!(leaf(&provider, &replica, FieldPath::MemoryLimit).await, Some(limit(128)));

    provider.update(&permit, &replica, &BTreeMap::from([(FieldPath::MemoryLimit, limit(256))])).await.unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, [""; 0]);
    assert_eq!(pid(&machine, &replica), main);

    provider.update(&permit, &replica, &BTreeMap::from([(FieldPath::MemoryLimit, limit(200))])).await.unwrap();
    for process in machine.processes() {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
        assert!(line.contains(&(200u64 << 20).to_string()), "every process of it: {line}");
    }
    // And it still holds after a restart by policy.
    signal(main, Signal::KILL);
    until("it runs again", || async { provider.state(&replica).await.unwrap().restarts == 1 }).await;
    until("the limit is there", || async {
        leaf(&provider, &replica, FieldPath::MemoryLimit).await == Some(limit(200))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_limit_binds() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let hungry = "x=0123456789abcdef\nwhile :; do x=\"$x$x\"; done";
    let wanted = Wanted::shell(&code, hungry).restart("no");
    let replica = wanted.leaf(FieldPath::MemoryLimit, Value::Memory(Bytes(64 << 20))).run(&provider, &permit).await;
    until("it ended", || async { !provider.state(&replica).await.unwrap().running }).await;
    let ended = provider.state(&replica).await.unwrap().ended.unwrap();
    assert_ne!(ended, "exit code 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_replica_shows_as_stopped_and_a_start_lets_it_go_on() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica = Wanted::shell(&code, "exec sleep 600").run(&provider, &permit).await;
    let before = seen(&provider, &replica).await;
    signal(pid(&machine, &replica), Signal::STOP);
    until("it is seen", || async { !provider.state(&replica).await.unwrap().running }).await;
    assert_eq!(moved(&provider, &replica, &before).await, ["stopped"]);
    assert_eq!(leaf(&provider, &replica, FieldPath::Stopped).await, Some(Value::Flag(true)));
    provider.start(&permit, &replica).await.unwrap();
    until("it goes on", || async { moved(&provider, &replica, &before).await.is_empty() }).await;
    assert_eq!(provider.state(&replica).await.unwrap().restarts, 0);
    // A paused one heeds no SIGTERM until it goes on: a stop sees to that too.
    signal(pid(&machine, &replica), Signal::STOP);
    provider.stop(&permit, &replica).await.unwrap();
    assert!(provider.state(&replica).await.unwrap().ended.unwrap().contains("SIGTERM"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_commit_that_is_changed_shows_as_source() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let commit = code.commit(&[("run.sh", "#!/bin/sh\ntouch made-by-the-program\nexec sleep 600\n"), ("lib/a", "one")]);
    let replica = Wanted::new(&commit, &["./run.sh"]).run(&provider, &permit).await;
    let checkout = machine.replica(&replica).join("checkout");
    until("it made a file", || async { checkout.join("made-by-the-program").exists() }).await;
    let before = seen(&provider, &replica).await;
    assert_eq!(leaf(&provider, &replica, FieldPath::Source).await, Some(Value::Source(source())));

    std::fs::write(checkout.join("lib/a"), "two").unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, ["source"]);
    let changed = leaf(&provider, &replica, FieldPath::Source).await;
    std::fs::write(checkout.join("lib/a"), "one").unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, [""; 0], "the same bytes are the same source");
    std::fs::set_permissions(checkout.join("run.sh"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, ["source"]);
    assert_ne!(leaf(&provider, &replica, FieldPath::Source).await, changed);
    std::fs::remove_file(checkout.join("run.sh")).unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, ["source"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_shows_at_the_value_that_the_process_has() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let wanted = Wanted::shell(&code, "exec sleep 600").env("LEVEL", "info").env("OTHER", "same").restart("always");
    let replica = wanted.run(&provider, &permit).await;
    let before = seen(&provider, &replica).await;
    // Someone edits what the supervisor keeps: nothing that runs has changed yet …
    let kept = machine.state().join("secrets").join(format!("{replica}.json"));
    let edited = std::fs::read_to_string(&kept).unwrap().replace("info", "debug");
    std::fs::write(&kept, edited).unwrap();
    assert_eq!(moved(&provider, &replica, &before).await, [""; 0]);
    // … until it is started again.
    signal(pid(&machine, &replica), Signal::KILL);
    until("it runs again", || async { provider.state(&replica).await.unwrap().restarts == 1 }).await;
    until("it is seen", || async { moved(&provider, &replica, &before).await == ["env.LEVEL"] }).await;
    assert_eq!(leaf(&provider, &replica, FieldPath::Env("LEVEL".into())).await, Some(Value::Text("debug".into())));

    // A start script that sets a declared variable otherwise is seen too.
    let mut scripted = Wanted::shell(&code, "export LEVEL=trace\nunset OTHER\nexec sleep 600").env("LEVEL", "info");
    scripted.index = 2;
    let scripted = scripted.env("OTHER", "gone").run(&provider, &permit).await;
    until("it is seen", || async {
        leaf(&provider, &scripted, FieldPath::Env("LEVEL".into())).await == Some(Value::Text("trace".into()))
    })
    .await;
    assert_eq!(leaf(&provider, &scripted, FieldPath::Env("OTHER".into())).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_limit_without_a_cgroup_is_said_to_be_impossible_before_anything_is_changed() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let Observed::Known(_) = provider.observe().await.services else { panic!() };
    assert!(matches!((provider.capabilities().support)(&FieldPath::CpuLimit), Support::Unsupported(_)));
    let limited = Wanted::shell(&code, "exec sleep 600").leaf(FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000)));
    let refused = limited.prepare(&provider, &permit).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("cgroup")), "{refused}");
    let replica = Wanted::shell(&code, "exec sleep 600").run(&provider, &permit).await;
    let leaves = BTreeMap::from([(FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000)))]);
    assert!(matches!(provider.update(&permit, &replica, &leaves).await, Err(StepError::Refused(_))));
    let leaves = BTreeMap::from([(FieldPath::Env("A".into()), Value::Text("b".into()))]);
    assert!(matches!(provider.update(&permit, &replica, &leaves).await, Err(StepError::Refused(_))));
}
