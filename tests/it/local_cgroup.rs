//! With a cgroup of its own, does a replica keep all its processes in it, and its limits?
//!
//! Delegation is the machine's to give, so `TRUEUP_TEST_REQUIRE=all` does not ask for it; `cgroup` does.

use std::path::{Path, PathBuf};

use trueup::live::field::FieldPath;
use trueup::live::quantity::{Bytes, NanoCpus};
use trueup::live::value::Value;
use trueup::provider::Provider;

use crate::world::backend::available;
use crate::world::local::{Code, Machine, Wanted, leaf, pid, shop, until};
use crate::world::permit::Gate;

/// A cgroup for one test; gone with it.
struct Delegated(PathBuf);

impl Delegated {
    fn new(name: &str) -> Option<Self> {
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|mount| Path::new(mount).join("cgroup.controllers").exists())?;
        let directory = Path::new(mount).join(format!("trueup-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).ok()?;
        Some(Delegated(directory))
    }

    fn controllers(&self) -> String {
        std::fs::read_to_string(self.0.join("cgroup.controllers")).unwrap()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let children = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in children.filter(|path| path.is_dir()).chain([self.0.clone()]) {
            std::fs::write(directory.join("cgroup.kill"), "1").ok();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while std::fs::remove_dir(&directory).is_err() && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_leaves_its_session_does_not_escape() {
    let delegated = Delegated::new("escape");
    if !available("cgroup", delegated.is_some()) {
        return;
    }
    let delegated = delegated.unwrap();
    let machine = Machine::with(&["--cgroup", &delegated.0.display().to_string()]).await;
    let code = Code::default();
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let script = "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &\necho ready\nexec sleep 600";
    let wanted = Wanted::shell(&code, script);
    let grace = Value::Duration(trueup::live::quantity::Millis(300));
    let replica = wanted.leaf(FieldPath::StopGracePeriod, grace).run(&provider, &permit).await;
    until("both are in its cgroup", || async {
        std::fs::read_to_string(delegated.0.join(&replica.0).join("cgroup.procs")).unwrap().lines().count() >= 2
    })
    .await;
    let report = provider.test_connection().await;
    assert!(report.findings.iter().any(|finding| finding.message.contains("a cgroup of its own")), "{report:?}");
    provider.stop(&permit, &replica).await.unwrap();
    assert_eq!(machine.processes(), [0; 0], "the one that made a session of its own is gone too");
    provider.remove(&permit, &replica).await.unwrap();
    assert!(!delegated.0.join(&replica.0).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_the_cgroups_and_a_change_by_hand_is_seen() {
    let delegated = Delegated::new("limits").filter(|delegated| {
        let controllers = delegated.controllers();
        ["memory", "cpu"].iter().all(|wanted| controllers.split_whitespace().any(|controller| controller == *wanted))
    });
    if !available("cgroup", delegated.is_some()) {
        return;
    }
    let delegated = delegated.unwrap();
    let machine = Machine::with(&["--cgroup", &delegated.0.display().to_string()]).await;
    let code = Code::default();
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let (memory, cpu) = (Value::Memory(Bytes(100_000_001)), Value::Cpu(NanoCpus(333_333_333)));
    let replica = Wanted::shell(&code, "exec sleep 600")
        .leaf(FieldPath::MemoryLimit, memory.clone())
        .leaf(FieldPath::CpuLimit, cpu.clone())
        .run(&provider, &permit)
        .await;
    assert_eq!(leaf(&provider, &replica, FieldPath::MemoryLimit).await, Some(memory));
    assert_eq!(leaf(&provider, &replica, FieldPath::CpuLimit).await, Some(cpu));
    let own = delegated.0.join(&replica.0);
    assert!(std::fs::read_to_string(own.join("cgroup.procs")).unwrap().contains(&pid(&machine, &replica).to_string()));
    std::fs::write(own.join("memory.max"), "67108864").unwrap();
    std::fs::write(own.join("cpu.max"), "20000 100000").unwrap();
    assert_eq!(leaf(&provider, &replica, FieldPath::MemoryLimit).await, Some(Value::Memory(Bytes(64 << 20))));
    assert_eq!(leaf(&provider, &replica, FieldPath::CpuLimit).await, Some(Value::Cpu(NanoCpus(200_000_000))));
}
