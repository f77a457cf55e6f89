//! When the process is killed at any boundary of the journal, does the next start explain the run, leave what runs
//! unharmed and nothing behind, and does the next sync repair the rest?
//!
//! The test runs its own binary again as a child that syncs and kills itself (SIGKILL) at the nth boundary, on a real
//! Engine; then it opens the same state, as the next daemon would.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use trueup::ids::EnvironmentRef;
use trueup::pass::{Passes, PlanRequest};
use trueup::plan::PlanOptions;
use trueup::provider::registry::Registry;
use trueup::store::Store;
use trueup::store::records::RunState;
use trueup::sync::journal::{Boundary, Step};
use trueup::sync::{Started, Syncs};

use crate::world::dock::{Dock, Picture, inspect, service};
use crate::world::docker::{available, docker};
use crate::world::house::{self, House, operator};

const STATE: &str = "TRUEUP_CRASH_STATE";
const ENVIRONMENT: &str = "TRUEUP_CRASH_ENVIRONMENT";
const AT: &str = "TRUEUP_CRASH_AT";
const PRUNE: &str = "TRUEUP_CRASH_PRUNE";
const SUPERVISOR: &str = "TRUEUP_CRASH_SUPERVISOR";
/// The supervisor's socket where there is none.
const NO_SUPERVISOR: &str = "/nonexistent/supervise.sock";

/// Kills its own process at the nth boundary.
struct KillAt(AtomicUsize);

impl Boundary for KillAt {
    fn reached(&self, _: &Step, _: bool) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }
}

/// A daemon's parts over a state directory, once whoever had it before has let go.
pub async fn open(state: &Path, supervisor: &Path) -> (Store, Passes, Syncs) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let supervisor = supervisor.to_owned();
        match house::open(state, |git, secrets| Arc::new(Registry::new(git, secrets, supervisor))) {
            Ok(parts) => return parts,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// No test of its own: the child that is killed. Exits with success where the run was over before.
#[tokio::test]
async fn child() {
    let read = |name: &str| std::env::var(name);
    let (Ok(state), Ok(supervisor), Ok(environment), Ok(at)) =
        (read(STATE), read(SUPERVISOR), read(ENVIRONMENT), read(AT))
    else {
        return;
    };
    let id: EnvironmentRef = environment.parse().unwrap();
    let (store, passes, syncs) = open(Path::new(&state), Path::new(&supervisor)).await;
    let syncs = syncs.with_boundary(Arc::new(KillAt(AtomicUsize::new(at.parse().unwrap()))));
    let options = PlanOptions { prune: std::env::var_os(PRUNE).is_some(), ..PlanOptions::default() };
    let plan = passes.plan(&id, &PlanRequest { reference: None, options }, "olga").await.unwrap();
    let Started::Run(run) = syncs.start(operator(), &id, plan.digest.as_str()).await.unwrap() else {
        panic!("there was nothing to do");
    };
    syncs.drain(Duration::from_secs(60)).await;
    let run = store.run(run).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
}

/// Syncs in a child that is killed at the boundary. Whether it was.
pub fn killed_at(state: &Path, supervisor: &Path, id: &EnvironmentRef, boundary: usize) -> bool {
    killed_with(&[], state, supervisor, id, boundary)
}

fn killed_with(
    variables: &[(&str, &str)],
    state: &Path,
    supervisor: &Path,
    id: &EnvironmentRef,
    boundary: usize,
) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .envs(variables.iter().copied())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(STATE, state)
        .env(SUPERVISOR, supervisor)
        .env(ENVIRONMENT, id.to_string())
        .env(AT, boundary.to_string())
        .output()
        .unwrap();
    if output.status.signal() == Some(Signal::KILL.as_raw()) {
        return true;
    }
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "boundary {boundary}: {}\n{text}", output.status);
    false
}

/// Closes the house, so that another process can have its state.
pub async fn close(house: &mut House) {
    let aside = house::scratch();
    let (store, passes, syncs) = open(aside.path(), Path::new(NO_SUPERVISOR)).await;
    (house.store, house.passes, house.syncs) = (store, passes, syncs);
}

/// Kills the sync of a fresh change at boundary after boundary. `change(n)` makes the nth change and says what must hold
/// after the crash was settled.
///
/// `whole` says whether all of the plan was applied by that boundary, so that the run has succeeded after all.
async fn at_every_boundary<C>(dock: &mut Dock, change: C, whole: impl Fn(usize) -> bool) -> usize
where
    C: Fn(&Dock, usize),
{
    for boundary in 1.. {
        change(dock, boundary);
        let before = dock.picture_at_rest();
        close(&mut dock.house).await;
        let nobody = Path::new(NO_SUPERVISOR);
        let killed = killed_at(dock.house.state.path(), nobody, &dock.house.id, boundary);
        (dock.house.store, dock.house.passes, dock.house.syncs) = open(dock.house.state.path(), nobody).await;
        if !killed {
            assert!(dock.house.store.unfinished_runs().await.unwrap().is_empty());
            assert!(dock.plan().await.is_empty());
            return boundary;
        }
        let state = if whole(boundary) { RunState::Succeeded } else { RunState::Failed };
        explained(dock, boundary, &before, state).await;
        assert_eq!(dock.plan().await.is_empty(), state == RunState::Succeeded, "boundary {boundary}");
        // The next sync repairs whatever is left.
        if !dock.plan().await.is_empty() {
            dock.sync().await;
        }
    }
    unreachable!("the boundaries are counted")
}

/// What must hold after a crash at a boundary.
async fn explained(dock: &Dock, boundary: usize, before: &Picture, state: RunState) {
    let unfinished = dock.house.store.unfinished_runs().await.unwrap();
    let [run] = &unfinished[..] else { panic!("boundary {boundary}: {unfinished:?}") };
    assert!(dock.house.syncs.settle().await.unwrap().is_empty(), "boundary {boundary}: not settled");
    let settled = dock.house.store.run(run.id).await.unwrap().unwrap();
    let summary = settled.summary.clone().unwrap_or_default();
    assert_eq!(settled.state, state, "boundary {boundary}: {summary}");
    assert!(summary.contains("interrupted"), "boundary {boundary}: {summary}");
    assert!(dock.house.syncs.settle().await.unwrap().is_empty());
    let after = dock.picture_at_rest();
    for (id, picture) in &after {
        assert!(picture.contains("running"), "boundary {boundary}: {id} does not run: {summary}");
    }
    // Of each service what ran before runs as it was, or the new release stands whole in its place.
    let services = |picture: &Picture| -> Vec<String> {
        let mut all: Vec<String> = picture.keys().map(|id| label(id, "dev.trueup.service")).collect();
        all.sort();
        all
    };
    let kept = before.keys().filter(|id| after.contains_key(*id)).count();
    if kept == before.len() && kept > 0 {
        assert_eq!(after.len(), before.len(), "boundary {boundary}: something was left behind: {summary}");
    }
    if !before.is_empty() {
        let mut names = services(&after);
        names.dedup();
        assert_eq!(names.len(), 2, "boundary {boundary}: a service is gone: {summary}");
        assert_eq!(after.len(), 2, "boundary {boundary}: leftovers: {summary}");
    } else {
        assert!(after.len() <= 1, "boundary {boundary}: leftovers: {summary}");
    }
}

fn label(id: &str, key: &str) -> String {
    inspect(id)["Config"]["Labels"][key].as_str().unwrap_or_default().to_owned()
}

fn two(api: &[&str], web: &[&str]) -> String {
    format!("{}{}", service("api", api), service("web", web))
}

#[tokio::test]
async fn killed_while_two_services_are_replaced() {
    if !available() {
        return;
    }
    let mut dock = Dock::new(&two(&[], &["depends_on: [api]"])).await;
    dock.sync().await;
    let change = |dock: &Dock, n: usize| {
        let env = format!("env: {{N: \"{n}\"}}");
        dock.declare(&two(&[&env], &["depends_on: [api]", &env]));
    };
    // From the second service's switch on.
    let boundaries = at_every_boundary(&mut dock, change, |boundary| boundary > 24).await;
    // Prepare, stop, start, gate, switch, remove, verify, record; twice; intent and outcome.
    assert_eq!(boundaries, 33);
}

#[tokio::test]
async fn killed_while_two_services_change_in_place() {
    if !available() {
        return;
    }
    let limits = |n: usize| format!("resources: {{memory_limit: {}Mi}}", 32 + n);
    let mut dock = Dock::new(&two(&[&limits(0)], &[&limits(0)])).await;
    dock.sync().await;
    let ids = (dock.id("api"), dock.id("web"));
    let change = |dock: &Dock, n: usize| {
        dock.declare(&two(&[&limits(n)], &[&limits(n)]));
    };
    // From the second service's update on.
    let boundaries = at_every_boundary(&mut dock, change, |boundary| boundary > 9).await;
    assert_eq!((dock.id("api"), dock.id("web")), ids, "neither was ever replaced");
    // Update, gate, verify, record; twice; intent and outcome.
    assert_eq!(boundaries, 17);
}

#[tokio::test]
async fn killed_while_a_service_is_created() {
    if !available() {
        return;
    }
    let mut dock = Dock::new(&service("web", &[])).await;
    let change = |dock: &Dock, _: usize| {
        for id in dock.ids("web") {
            docker(&["rm", "-f", &id]);
        }
    };
    // From its start on.
    let boundaries = at_every_boundary(&mut dock, change, |boundary| boundary > 3).await;
    // Prepare, start, gate, switch, verify, record; intent and outcome.
    assert_eq!(boundaries, 13);
}

#[tokio::test]
async fn killed_while_only_what_is_recorded_changes() {
    if !available() {
        return;
    }
    let web = |n: usize| format!("web:\n  image: busybox:1\n  healthcheck: {{command: [\"true\"], interval: {n}s}}\n");
    let mut dock = Dock::new(&format!("{}{}", service("api", &[]), web(1))).await;
    dock.sync().await;
    let before = dock.picture();
    let change = |dock: &Dock, n: usize| dock.declare(&format!("{}{}", service("api", &[]), web(n + 1)));
    let boundaries = at_every_boundary(&mut dock, change, |_| true).await;
    assert_eq!(dock.picture(), before, "a container was touched");
    // Verify, record; intent and outcome.
    assert_eq!(boundaries, 5);
}

#[tokio::test]
async fn killed_while_an_orphan_is_deleted() {
    if !available() {
        return;
    }
    let mut dock = Dock::new(&two(&[], &[])).await;
    let nobody = Path::new(NO_SUPERVISOR);
    for boundary in 1.. {
        dock.declare(&two(&[], &[]));
        if !dock.plan().await.is_empty() {
            dock.sync().await;
        }
        let web = dock.id("web");
        dock.declare(&service("web", &[]));
        close(&mut dock.house).await;
        let (state, id) = (dock.house.state.path(), &dock.house.id);
        let killed = killed_with(&[(PRUNE, "1")], state, nobody, id, boundary);
        (dock.house.store, dock.house.passes, dock.house.syncs) = open(dock.house.state.path(), nobody).await;
        if !killed {
            assert!(dock.ids("api").is_empty() && dock.plan().await.is_empty());
            // Remove, verify, record; intent and outcome.
            assert_eq!(boundary, 7);
            return;
        }
        let unfinished = dock.house.store.unfinished_runs().await.unwrap();
        assert!(dock.house.syncs.settle().await.unwrap().is_empty(), "boundary {boundary}: not settled");
        let settled = dock.house.store.run(unfinished[0].id).await.unwrap().unwrap();
        let gone = boundary > 1;
        let state = if gone { RunState::Succeeded } else { RunState::Failed };
        assert_eq!(settled.state, state, "boundary {boundary}: {:?}", settled.summary);
        assert_eq!(dock.ids("api").is_empty(), gone, "boundary {boundary}: {:?}", settled.summary);
        assert_eq!(dock.id("web"), web, "boundary {boundary}: another service was touched");
        let recorded = dock.house.store.base(&dock.house.id).await.unwrap().services.len();
        assert_eq!(recorded, if gone { 1 } else { 2 }, "boundary {boundary}");
    }
}
