//! Does the daemon notice what moves, soon, and never more than notice it? Does it live through what fails?

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use trueup::audit::Audit;
use trueup::daemon::{Background, Pace, Tools};
use trueup::drift::Cause;
use trueup::git::{Git, GitSettings};
use trueup::health::Monitor;
use trueup::ids::EnvironmentRef;
use trueup::pass::{Parts, Passes};
use trueup::plan::Plan;
use trueup::secret::Secrets;
use trueup::store::Store;
use trueup::store::records::{Environment, Project, ReadState, ReadStatus};

use crate::world::backend;
use crate::world::git_server::{GitServer, Mode, Repo};
use crate::world::house::file;
use crate::world::runtime::Runtime;

const WEB: &str = "web: {image: acme/web:1}\n";
/// Long enough for a loaded machine; what is measured is printed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store, a runtime, and a background that can be stopped and started.
pub struct Desk {
    pub store: Store,
    git: Git,
    pub passes: Passes,
    pub runtime: Runtime,
    state: tempfile::TempDir,
    running: Option<(Background, CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Desk {
    pub fn new() -> Self {
        Desk::over(tempfile::tempdir().unwrap(), Runtime::default())
    }

    /// One that waits so long for an answer of Git.
    pub fn waiting(timeout: Duration) -> Self {
        Desk::build(tempfile::tempdir().unwrap(), Runtime::default(), timeout)
    }

    pub fn over(state: tempfile::TempDir, runtime: Runtime) -> Self {
        Desk::build(state, runtime, Duration::from_secs(5))
    }

    fn build(state: tempfile::TempDir, runtime: Runtime, timeout: Duration) -> Self {
        let store = Store::open(state.path()).unwrap();
        let settings = GitSettings { timeout, ..GitSettings::new(state.path().join("mirrors")) };
        let git = Git::new(settings);
        let secrets = Secrets::new(Arc::new(Audit::new(store.clone())), state.path()).unwrap();
        let parts = Parts { store: store.clone(), git: git.clone(), secrets, providers: Arc::new(runtime.clone()) };
        Desk { store, git, passes: Passes::new(parts), runtime, state, running: None }
    }

    /// The same state in a new process, as far as memory goes.
    pub async fn restarted(mut self) -> Self {
        self.stop().await;
        let Desk { store, git, passes, runtime, state, running } = self;
        drop((store, git, passes, running));
        Desk::over(state, runtime)
    }

    pub async fn add(&self, id: &str, url: &str) -> EnvironmentRef {
        let id: EnvironmentRef = id.parse().unwrap();
        let project = Project {
            name: id.project.clone(),
            url: url.to_owned(),
            auth: None,
            user: None,
            tracked: Some("main".into()),
            config_path: ".trueup.yml".into(),
            disabled: false,
            webhook_secret: None,
            integration: None,
            repository: None,
            created_at: Timestamp::now(),
        };
        if self.store.project(&id.project).await.unwrap().is_none() {
            self.store.add_project(project).await.unwrap();
        }
        let environment = Environment {
            id: id.clone(),
            provider: "memory".into(),
            settings: Default::default(),
            tracked: None,
            secrets: Default::default(),
            values: Default::default(),
            allow_host_paths: Vec::new(),
            allow_untracked: false,
            report_detail: Default::default(),
            plan_forks: false,
            drift_issue: false,
            comment_commands: Default::default(),
            run_as: None,
            created_at: Timestamp::now(),
        };
        self.store.add_environment(environment).await.unwrap();
        id
    }

    pub fn start(&mut self, poll: Duration, observe: Duration) {
        self.start_at(Pace { poll, observe, offline: false });
    }

    pub fn start_at(&mut self, pace: Pace) {
        self.passes = self.passes.clone().offline(pace.offline);
        let tools = Tools {
            store: self.store.clone(),
            git: self.git.clone(),
            passes: self.passes.clone(),
            monitor: Monitor::new(self.store.clone(), self.passes.clone()),
            pace,
        };
        let stop = CancellationToken::new();
        let (background, handle) = Background::start(tools, stop.clone());
        self.running = Some((background, stop, handle));
    }

    pub async fn stop(&mut self) {
        let (_, stop, handle) = self.running.take().unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, handle).await.expect("the background does not end").unwrap();
    }

    pub fn nudge(&self, id: &EnvironmentRef) {
        self.running.as_ref().unwrap().0.nudge(id);
    }

    /// Waits for a latest plan of which `holds` is true.
    pub async fn plan(&self, id: &EnvironmentRef, holds: impl Fn(&Plan) -> bool) -> Plan {
        until(|| async { self.store.latest_plan(id).await.unwrap().filter(|plan| holds(plan)) }).await
    }

    /// Waits for the first plan.
    pub async fn plan_within(&self, id: &EnvironmentRef, patience: Duration) {
        let waiting = async {
            while self.store.latest_plan(id).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.expect("no plan");
    }

    /// Waits for a read of which `holds` is true.
    pub async fn read(&self, id: &EnvironmentRef, holds: impl Fn(&ReadStatus) -> bool) -> ReadStatus {
        until(|| async { self.store.read(id).await.unwrap().filter(|read| holds(read)) }).await
    }
}

pub async fn until<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub const SOON: Duration = Duration::from_millis(150);
pub const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_local_commit_becomes_a_plan_at_once() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &repo.path.display().to_string()).await;
    desk.start(NEVER, NEVER);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    let mut fastest = PATIENCE;
    for number in 2..7 {
        let image = format!("web: {{image: \"acme/web:{number}\"}}\n");
        let commit = repo.commit(".trueup.yml", &file(&image));
        let begun = Instant::now();
        desk.plan(&id, |plan| plan.commit.as_ref().is_some_and(|known| known.as_str() == commit)).await;
        fastest = fastest.min(begun.elapsed());
    }
    println!("a commit became a plan in the database {fastest:?} after git had returned");
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    assert_eq!(desk.runtime.effects(), Vec::<String>::new(), "the background changed what runs");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_by_hand_is_noticed_and_left_alone() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let house = crate::world::house::House::new(WEB).await;
    house.sync().await;
    let mut desk = Desk::over(tempfile::tempdir().unwrap(), house.runtime.clone());
    let id = desk.add("shop/production", &repo.path.display().to_string()).await;
    for (name, service) in house.store.base(&house.id).await.unwrap().services {
        desk.store.record_base(&id, &name, service).await.unwrap();
    }
    let before = desk.runtime.effects();
    desk.start(NEVER, SOON);
    desk.plan(&id, |plan| plan.actions.is_empty()).await;
    desk.runtime.by_hand("web", |replica| replica.running = false);
    let plan = desk.plan(&id, |plan| !plan.actions.is_empty()).await;
    assert_eq!(plan.actions[0].changes[0].cause, Cause::Live);
    desk.runtime.set_unreachable(true);
    desk.plan(&id, |plan| plan.actions.is_empty()).await;
    desk.runtime.set_unreachable(false);
    desk.plan(&id, |plan| !plan.actions.is_empty()).await;
    assert_eq!(desk.runtime.effects(), before, "the background changed what runs");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_fails_is_stale_asked_less_often_and_comes_back() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    desk.start(SOON, NEVER);
    let read = desk.read(&id, |read| read.state == ReadState::Ok).await;
    let commit = read.commit.clone();
    server.mode(Mode::Status(500));
    let stale = desk.read(&id, |read| read.state == ReadState::FetchFailed).await;
    assert_eq!(stale.commit, commit, "what was read stays");
    assert!(stale.reason.unwrap().contains("HTTP 500") && stale.stale_since.is_some());
    server.seen();
    until(|| async { (!server.seen().is_empty()).then_some(()) }).await;
    let paused = Instant::now();
    until(|| async { (!server.seen().is_empty()).then_some(()) }).await;
    assert!(paused.elapsed() > SOON * 2, "after failures it is asked again only {:?} later", paused.elapsed());
    let since = desk.read(&id, |read| read.state == ReadState::FetchFailed).await.stale_since;
    assert_eq!(since, stale.stale_since, "stale since it first failed");
    server.mode(Mode::Serve);
    let next = repo.commit(".trueup.yml", &file("web: {image: \"acme/web:2\"}\n"));
    desk.read(&id, |read| read.state == ReadState::Ok && read.stale_since.is_none()).await;
    desk.plan(&id, |plan| plan.commit.as_ref().is_some_and(|commit| commit.as_str() == next)).await;
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_without_its_repository_recalls_what_it_read() {
    if !backend::git() {
        return;
    }
    let web = "web: {image: acme/web:1, env: {BRANCH: \"{{ .Branch }}\", VERSION: \"{{ .Version }}\"}}\n";
    let repo = Repo::with(".trueup.yml", &file(web));
    repo.git(&["tag", "v1.2.3"]);
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    desk.start(SOON, NEVER);
    let first = desk.plan(&id, |plan| plan.desired.len() == 1).await;
    let mut desk = desk.restarted().await;
    server.mode(Mode::Hang);
    drop(server);
    desk.start(SOON, SOON);
    desk.read(&id, |read| read.state == ReadState::FetchFailed).await;
    until(|| async { desk.passes.looks(&id).observed_at }).await;
    let plan = desk.plan(&id, |_| true).await;
    assert_eq!((plan.digest, plan.commit), (first.digest, first.commit));
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_that_share_a_ref_share_its_polls_and_registrations_are_taken_in() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    let url = server.url("shop/.git");
    let mut desk = Desk::new();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(desk.add(&format!("shop-{number}/production"), &url).await);
    }
    desk.start(NEVER, NEVER);
    for id in &ids {
        desk.plan(id, |plan| plan.desired.len() == 1).await;
    }
    let packs = server.seen().iter().filter(|request| request.method == "GET").count();
    assert_eq!(packs, 1, "one discovery for all of them");
    // A new environment, then the project switched off.
    let late = desk.add("late/production", &url).await;
    desk.nudge(&late);
    desk.plan(&late, |plan| plan.desired.len() == 1).await;
    let mut project = desk.store.project(&late.project).await.unwrap().unwrap();
    project.disabled = true;
    desk.store.update_project(project).await.unwrap();
    desk.nudge(&late);
    desk.read(&late, |read| read.state == ReadState::Disabled).await;
    desk.store.remove_environment(&ids[0]).await.unwrap();
    desk.nudge(&ids[0]);
    until(|| async { desk.passes.looks(&ids[0]).observed_at.is_none().then_some(()) }).await;
    assert!(desk.running.as_ref().unwrap().0.is_alive(PATIENCE).await);
    let background = desk.running.as_ref().unwrap().0.clone();
    desk.stop().await;
    assert!(!background.is_alive(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_pushes_to_a_forge_cost_few_questions_and_the_newest_commit_wins() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    let other = desk.add("other/production", &server.url("nowhere/.git")).await;
    desk.start(NEVER, NEVER);
    desk.plan(&id, |_| true).await;
    desk.read(&other, |read| read.state == ReadState::FetchFailed).await;
    let mut newest = String::new();
    for round in 2..7 {
        newest = repo.commit(".trueup.yml", &file(&format!("web: {{image: acme/web:{round}}}\n")));
    }
    server.seen();
    for _ in 0..100 {
        desk.running.as_ref().unwrap().0.pushed(&id.project);
    }
    desk.plan(&id, |plan| plan.commit.as_ref().is_some_and(|commit| commit.as_str() == newest)).await;
    let asked = server.seen();
    // One question, one more as it was asked for meanwhile, and what fetching takes.
    assert!(asked.len() <= 8, "{asked:#?}");
    assert!(asked.iter().all(|seen| !seen.path.contains("nowhere")), "others are not asked");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_file_says_so_and_the_next_commit_mends_it() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", "version: 1\nenvironments: {production: {servces: {}}}\n");
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &repo.path.display().to_string()).await;
    desk.start(NEVER, SOON);
    let read = desk.read(&id, |read| read.state == ReadState::Invalid).await;
    assert!(read.reason.unwrap().contains("servces"));
    assert_eq!(read.commit.unwrap().as_str(), repo.git(&["rev-parse", "HEAD"]), "the commit that is not valid");
    repo.commit(".trueup.yml", &file(WEB));
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    let read = desk.read(&id, |read| read.state == ReadState::Ok).await;
    assert_eq!(read.stale_since, None);
    desk.stop().await;
}
