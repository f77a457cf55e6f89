//! Does what is said on a forge say what is so: one comment, the right one, whatever happens on the way?

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::forge::ForgeKind;
use trueup::forge::api::SharedForge;
use trueup::git::{Git, GitSettings};
use trueup::ids::ProjectName;
use trueup::metrics::Metrics;
use trueup::outbox::{Desk, Outbox};
use trueup::reporter::{Nudge, Nudged, Parts, Reporter, Ways};
use trueup::store::records::{ReportFilter, ReportRow, ReportState};

use crate::world::forge::ForgeWorld;
use crate::world::forge::fault::Fault;
use crate::world::forge::state::Text;
use crate::world::house::{House, file, operator};
use crate::world::reporting::register;

const REPOSITORY: &str = "acme/shop";
const PATIENCE: Duration = Duration::from_secs(30);

fn web(level: &str) -> String {
    file(&format!("web:\n  image: acme/web:1\n  env: {{LOG_LEVEL: {level}}}"))
}

/// A house whose repository is on a forge, with what reports on it.
struct Office {
    world: ForgeWorld,
    house: House,
    outbox: Outbox,
    nudges: mpsc::UnboundedSender<Nudged>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    offline: bool,
    app: bool,
}

impl Office {
    async fn open(kind: ForgeKind, app: bool) -> Self {
        let world = ForgeWorld::start(kind);
        world.create(REPOSITORY, &[(".trueup.yml", &web("info"))]);
        let house = House::new("web:\n  image: acme/web:1").await;
        register(&house, &world, REPOSITORY).await;
        let (nudges, _) = mpsc::unbounded_channel();
        let outbox = Outbox::new(house.store.clone());
        let stop = CancellationToken::new();
        let mut office = Office { world, house, outbox, nudges, stop, tasks: Vec::new(), offline: false, app };
        office.begin().await;
        office
    }

    fn forge(&self) -> SharedForge {
        if self.app { self.world.connect_app() } else { self.world.connect() }
    }

    /// Starts reporter and desk, as a daemon does.
    async fn begin(&mut self) {
        let store = self.house.store.clone();
        let forge = self.forge();
        let ways = Ways::through(store.clone(), move |_| Ok(Arc::clone(&forge)));
        let (nudges, heard) = mpsc::unbounded_channel();
        let parts = Parts {
            store: store.clone(),
            git: Git::new(GitSettings::new(self.house.state.path().join("mirrors"))),
            passes: self.house.passes.clone(),
            ways: Arc::clone(&ways),
            outbox: self.outbox.clone(),
            installation: store.installation().await.unwrap(),
            public_url: Some("https://trueup.acme.dev".into()),
            poll: Duration::from_secs(3600),
            offline: true,
            heads: Arc::default(),
        };
        let desk = Desk::new(store, self.outbox.clone(), ways, Metrics::default(), self.offline);
        self.stop = CancellationToken::new();
        self.nudges = nudges;
        self.tasks = vec![
            tokio::spawn(Reporter::new(parts, heard).run(self.stop.clone())),
            tokio::spawn(desk.run(self.stop.clone())),
        ];
    }

    /// Ends both at once, as a kill does.
    async fn kill(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
    }

    async fn nudge(&self, number: u64) {
        let (taken, answer) = oneshot::channel();
        let nudge = Nudge::PullRequest { project: project(), number };
        self.nudges.send(Nudged { nudge, taken }).unwrap();
        answer.await.unwrap();
    }

    fn comments(&self, number: u64) -> Vec<Text> {
        self.world.comments(REPOSITORY, number)
    }

    async fn reports(&self) -> Vec<ReportRow> {
        self.house.store.reports(ReportFilter { project: None, state: None, limit: 500 }).await.unwrap()
    }

    /// Waits until nothing is left to say.
    async fn quiet(&self) {
        until("nothing is left to say", async || {
            let rows = self.reports().await;
            let due = self.house.store.next_pull_due().await.unwrap();
            let soon = due.is_some_and(|at| at.duration_since(jiff::Timestamp::now()).as_secs() < 60);
            !soon && rows.iter().all(|row| !matches!(row.state, ReportState::Waiting | ReportState::Posting))
        })
        .await;
    }
}

fn project() -> ProjectName {
    "shop".parse().unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_is_reported_on_from_its_opening_to_its_sync() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;

    let [comment] = &office.comments(number)[..] else { panic!("{:?}", office.comments(number)) };
    assert!(comment.body.contains("LOG_LEVEL") && comment.body.contains("debug"), "{}", comment.body);
    assert!(!comment.body.contains("trueup sync"), "an open request has no command: {}", comment.body);
    {
        let inner = office.world.inner();
        let repository = &inner.state.repositories[REPOSITORY];
        let [status] = &repository.statuses[..] else { panic!("{:?}", repository.statuses) };
        assert!(status.context.starts_with("trueup/production"), "{status:?}");
        assert_eq!((status.state.as_str(), status.url.is_empty()), ("success", false), "{status:?}");
        let [check] = &repository.checks[..] else { panic!("{:?}", repository.checks) };
        assert!(
            !check.annotations.is_empty() && check.annotations.iter().all(|note| note["path"] == ".trueup.yml"),
            "{check:?}"
        );
    }

    // The same again is not written again.
    let id = comment.id;
    drop(office.world.seen());
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(office.world.writes(), Vec::<String>::new());

    // A push edits the comment in place.
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
    office.nudge(number).await;
    office.quiet().await;
    let [comment] = &office.comments(number)[..] else { panic!("{:?}", office.comments(number)) };
    assert_eq!(comment.id, id);
    assert!(comment.body.contains("trace") && !comment.body.contains("\"debug\""), "{}", comment.body);

    // The merge gives it the command, and the very plan that it names is carried out.
    office.world.merge(REPOSITORY, number);
    office.nudge(number).await;
    office.quiet().await;
    let body = office.comments(number)[0].body.clone();
    let command = body.lines().find(|line| line.contains("trueup sync shop/production --plan")).expect("a command");
    let digest = command.rsplit(' ').next().unwrap().trim_matches('`');
    let digest: String = digest.chars().filter(char::is_ascii_hexdigit).collect();
    let run = office.house.syncs.start(operator(), &office.house.id, &digest).await.unwrap();
    let trueup::sync::Started::Run(run) = run else { panic!("there was something to do") };
    let run = office.house.ended(run).await;
    until("the comment tells of the run", async || {
        office.comments(number)[0].body.contains(&format!("run {}", run.id)) || {
            // Planned again at most every ten minutes; who cannot wait asks.
            office.nudge(number).await;
            false
        }
    })
    .await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forge_gets_its_comment_and_its_status() {
    for kind in ForgeKind::ALL {
        let office = Office::open(kind, false).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        office.nudge(number).await;
        office.quiet().await;
        let [comment] = &office.comments(number)[..] else { panic!("{kind}: {:?}", office.comments(number)) };
        assert!(comment.body.contains("LOG_LEVEL"), "{kind}: {}", comment.body);
        let rows = office.reports().await;
        let ends: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.state, row.error.as_deref())).collect();
        assert!(ends.iter().all(|(_, state, _)| *state == ReportState::Posted), "{kind}: {ends:?}");
        assert!(ends.iter().any(|(kind, ..)| *kind == "status"), "{kind}: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_is_a_failure_with_its_line() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "broken", &[(".trueup.yml", &web("debug").replace("image:", "imaje:"))]);
    let number = office.world.open_pull(REPOSITORY, "broken");
    office.nudge(number).await;
    office.quiet().await;
    let body = office.comments(number)[0].body.clone();
    assert!(body.contains("imaje") && body.contains(".trueup.yml:6"), "{body}");
    let inner = office.world.inner();
    let repository = &inner.state.repositories[REPOSITORY];
    assert_eq!(repository.statuses[0].state, "failure");
    assert_eq!(repository.checks[0].conclusion, "failure");
    assert_eq!(repository.checks[0].annotations[0]["annotation_level"], "failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_makes_no_second_comment() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "comments", Fault::LoseReply);
    office.nudge(number).await;
    until("it is tried again", async || {
        office.reports().await.iter().any(|row| row.kind == "comment" && row.attempts > 0)
    })
    .await;
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_forge_cannot_take_now_is_tried_again_and_what_it_refuses_is_not() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "comments", Fault::bad_gateway());
    office.world.fault("POST", "statuses", Fault::status(422));
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
    let rows = office.reports().await;
    let of = |kind: &str| rows.iter().find(|row| row.kind == kind).unwrap();
    assert_eq!((of("comment").state, of("comment").attempts), (ReportState::Posted, 2));
    assert_eq!((of("status").state, of("status").attempts), (ReportState::Failed, 1));
    assert!(of("status").error.is_some());

    // By hand it is posted after all.
    office.outbox.retry(of("status").id).await.unwrap();
    office.quiet().await;
    assert_eq!(office.world.inner().state.repositories[REPOSITORY].statuses.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_says_it_once_all_the_same() {
    // Between reading and posting, between posting and noting, and with newer news in between.
    for fault in [None, Some(Fault::LoseReply), Some(Fault::Slow(Duration::from_secs(20)))] {
        let mut office = Office::open(ForgeKind::Github, false).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        let faulty = fault.is_some();
        if let Some(fault) = fault {
            office.world.fault("POST", "comments", fault);
        }
        office.nudge(number).await;
        if faulty {
            until("it is being posted", async || {
                office.reports().await.iter().any(|row| row.kind == "comment" && row.attempts > 0)
            })
            .await;
        }
        office.kill().await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
        office.begin().await;
        office.nudge(number).await;
        office.quiet().await;
        let comments = office.comments(number);
        assert_eq!(comments.len(), 1, "{comments:?}");
        assert!(comments[0].body.contains("trace"), "{}", comments[0].body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_keeps_what_would_be_said_for_posting_by_hand() {
    let mut office = Office::open(ForgeKind::Github, false).await;
    office.kill().await;
    office.offline = true;
    office.begin().await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;
    assert!(office.comments(number).is_empty());
    let rows = office.reports().await;
    assert!(rows.iter().all(|row| row.state == ReportState::Skipped && row.attempts == 1), "{rows:?}");
    let comment = rows.iter().find(|row| row.kind == "comment").unwrap();
    assert!(comment.payload.contains("LOG_LEVEL"));
    office.outbox.retry(comment.id).await.unwrap();
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_moves_nothing() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    drop(office.world.seen());
    let comment_id = office.world.say(REPOSITORY, number, "mallory", "/trueup sync production");
    let (taken, answer) = oneshot::channel();
    office.nudges.send(Nudged { nudge: Nudge::Comment { project: project(), number, comment_id }, taken }).unwrap();
    answer.await.unwrap();
    office.quiet().await;
    assert!(office.house.store.pulls(&project()).await.unwrap().is_empty(), "it is not even looked at");
    assert_eq!(office.world.lines(), Vec::<String>::new());
    assert!(office.house.store.runs(&office.house.id, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_branch_says_what_awaits_a_sync() {
    let office = Office::open(ForgeKind::Gitea, false).await;
    let said = |state: &str| {
        let inner = office.world.inner();
        inner.state.repositories[REPOSITORY].statuses.last().is_some_and(|status| status.state == state)
    };
    let plan = office.house.plan().await;
    until("it is pending", async || said("pending")).await;
    let started = office.house.syncs.start(operator(), &office.house.id, plan.digest.as_str()).await.unwrap();
    let trueup::sync::Started::Run(run) = started else { panic!("there was something to do") };
    office.house.ended(run).await;
    until("it is in sync", async || said("success")).await;
    office.quiet().await;
    let rows = office.reports().await;
    assert!(rows.iter().all(|row| row.kind == "status" && row.pull.is_none()), "{rows:?}");
}
