//! Over generated services on a real Engine: is a plan empty after its apply, and is every declared leaf that someone
//! changes by hand found at its path?

use std::future::Future;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use crate::world::dock::{Dock, changes};
use crate::world::docker::{COMMAND, available};
use crate::world::spec::{OBEY, Spec};

/// Real containers: few cases, and shrinking only a little.
const CASES: u32 = 12;

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: CASES, failure_persistence: None, max_shrink_iters: 8, ..Config::default() })
}

fn maybe<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(select(values))
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn spec() -> impl Strategy<Value = Spec> {
    let command = vec![texts(&["sh", "-c", OBEY]), texts(&["sh", "-c", &OBEY.replace("sleep 1", "sleep 2")])];
    let odd = texts(&["", "info", "a b", "quo\"te", "sch\u{f6}n", "$HOME", "a=b", " edges ", "1.10", "no", "#x"]);
    let env = prop::collection::btree_map(select(texts(&["A", "LOG_LEVEL", "_X1"])), select(odd.clone()), 0..3);
    let label = prop::collection::btree_map(select(texts(&["team", "com.acme/x", "z"])), select(odd), 0..3);
    let loopback = select(texts(&["127.0.0.1", "127.0.0.2"]));
    let ports = prop::collection::btree_map(select(texts(&["8080/tcp", "53/udp"])), loopback, 0..3);
    let mount = (select(texts(&["data", "cache"])), any::<bool>());
    let volumes = prop::collection::btree_map(select(texts(&["/data", "/var/lib/shop"])), mount, 0..2);
    let user = maybe(texts(&["1000", "0:0", "1000:1000"]));
    let restart = maybe(texts(&["always", "unless-stopped", "on-failure:3", "on-failure"]));
    (
        maybe(command),
        user,
        maybe(texts(&["/srv", "/tmp"])),
        env,
        label,
        ports,
        volumes,
        (maybe(vec![100, 500, 1500]), maybe(vec![16, 64, 100]), restart, maybe(vec![1_000, 2_400, 10_000])),
        (any::<bool>(), maybe(vec![1, 2, 3])),
    )
        .prop_map(
            |(command, user, working_dir, env, labels, ports, volumes, (cpu, memory, restart, stop), more)| Spec {
                // Without words after it, it would run another program.
                entrypoint: (more.0 && command.is_some()).then(|| texts(&["/bin/busybox"])),
                replicas: more.1,
                tag: None,
                command,
                user,
                working_dir,
                env,
                labels,
                ports,
                volumes,
                milli_cpus: cpu,
                memory_mib: memory,
                restart,
                stop_millis: stop,
            },
        )
}

/// Every way to change one written leaf by hand, with the leaf.
fn perturbations(spec: &Spec) -> Vec<(String, Spec)> {
    let mut found = Vec::new();
    let mut add = |leaf: String, change: &dyn Fn(&mut Spec)| {
        let mut other = spec.clone();
        change(&mut other);
        found.push((leaf, other));
    };
    add("image".into(), &|s| s.tag = Some("2".into()));
    if spec.entrypoint.is_some() {
        // A name of the same program: what follows means the same.
        add("entrypoint".into(), &|s| s.entrypoint = Some(texts(&["busybox"])));
    }
    if spec.command.is_some() {
        add("command".into(), &|s| s.command = Some(texts(&["sh", "-c", &OBEY.replace("sleep 1", "sleep 3")])));
    }
    if spec.user.is_some() {
        add("user".into(), &|s| s.user = Some("1001".into()));
    }
    if spec.working_dir.is_some() {
        add("working_dir".into(), &|s| s.working_dir = Some("/www".into()));
    }
    if spec.milli_cpus.is_some() {
        add("resources.cpu_limit".into(), &|s| s.milli_cpus = Some(250));
    }
    if spec.memory_mib.is_some() {
        add("resources.memory_limit".into(), &|s| s.memory_mib = Some(48));
    }
    if spec.restart.is_some() {
        add("restart".into(), &|s| s.restart = Some("on-failure:7".into()));
    }
    if spec.stop_millis.is_some() {
        add("stop_grace_period".into(), &|s| s.stop_millis = Some(7_000));
    }
    for key in spec.env.keys() {
        add(format!("env.{key}"), &|s| _ = s.env.insert(key.clone(), "other".into()));
        add(format!("env.{key}"), &|s| _ = s.env.remove(key));
    }
    for key in spec.labels.keys() {
        let path = trueup::live::field::FieldPath::Labels(key.into()).to_string();
        add(path.clone(), &|s| _ = s.labels.insert(key.clone(), "other".into()));
        add(path, &|s| _ = s.labels.remove(key));
    }
    for port in spec.ports.keys() {
        add(format!("ports[{port:?}]"), &|s| _ = s.ports.insert(port.clone(), "127.0.0.3".into()));
        add(format!("ports[{port:?}]"), &|s| _ = s.ports.remove(port));
    }
    for (path, (name, read_only)) in &spec.volumes {
        add(format!("volumes[{path:?}]"), &|s| _ = s.volumes.insert(path.clone(), (name.clone(), !read_only)));
        add(format!("volumes[{path:?}]"), &|s| _ = s.volumes.insert(path.clone(), ("other".into(), *read_only)));
        add(format!("volumes[{path:?}]"), &|s| _ = s.volumes.remove(path));
    }
    found
}

/// Runs a case on the test's own Engine environment, which goes on from case to case: each sync starts where the last
/// one left off.
fn block_on<T>(runtime: &tokio::runtime::Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work)
}

#[test]
fn after_an_apply_the_plan_is_empty() {
    if !available() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dock = block_on(&runtime, Dock::new("{}"));
    let services = prop::collection::btree_map(select(texts(&["api", "web"])), spec(), 1..=2);
    let result = runner().run(&services, |services| {
        let text: String = services.iter().map(|(name, spec)| spec.yaml(name)).collect();
        block_on(&runtime, async {
            dock.declare(&text);
            let plan = dock.plan().await;
            if plan.is_empty() {
                return;
            }
            dock.sync().await;
        });
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_declared_leaf_that_is_changed_by_hand_is_found_at_its_path_and_nothing_else_is() {
    if !available() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dock = block_on(&runtime, Dock::new("{}"));
    dock.import("2", &[COMMAND]);
    let case = (spec(), prop::collection::vec(any::<Index>(), 3));
    let result = runner().run(&case, |(spec, picks)| {
        // By hand it is one container; how many there are is another question.
        let spec = Spec { replicas: None, ..spec };
        block_on(&runtime, async {
            dock.declare(&spec.yaml("web"));
            if !dock.plan().await.is_empty() {
                dock.sync().await;
            }
            let all = perturbations(&spec);
            for pick in picks.iter().filter(|_| !all.is_empty()) {
                let (leaf, other) = pick.get(&all);
                other.run_instead(&dock, "web");
                prop_assert_eq!(changes(&dock.plan().await), vec![format!("web.{} live", leaf)], "{:?}", other);
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
