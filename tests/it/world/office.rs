//! A house whose repository is on a forge's world, with what reports on it, as a daemon has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::events::Events;
use trueup::forge::ForgeKind;
use trueup::forge::api::SharedForge;
use trueup::git::{Git, GitSettings};
use trueup::ids::ProjectName;
use trueup::metrics::Metrics;
use trueup::outbox::{Desk, Outbox};
use trueup::reporter::{Nudge, Nudged, Parts, Reporter, Ways};
use trueup::store::records::{ReportFilter, ReportRow, ReportState};

use crate::world::forge::ForgeWorld;
use crate::world::forge::state::Text;
use crate::world::house::{House, file};
use crate::world::reporting::register;

/// The repository on the forge.
pub const REPOSITORY: &str = "acme/shop";
const PATIENCE: Duration = Duration::from_secs(30);

/// A file whose one service logs at this level.
pub fn web(level: &str) -> String {
    file(&format!("web:\n  image: acme/web:1\n  env: {{LOG_LEVEL: {level}}}"))
}

/// A house whose repository is on a forge, with what reports on it.
pub struct Office {
    pub world: ForgeWorld,
    pub house: House,
    pub outbox: Outbox,
    pub nudges: mpsc::UnboundedSender<Nudged>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    pub offline: bool,
    /// How often requests are asked about; never where unset.
    pub poll: Option<Duration>,
    app: bool,
    pub metrics: Metrics,
}

impl Office {
    pub async fn open(kind: ForgeKind, app: bool) -> Self {
        let world = ForgeWorld::start(kind);
        world.create(REPOSITORY, &[(".trueup.yml", &web("info"))]);
        let house = House::new("web:\n  image: acme/web:1").await;
        register(&house, &world, REPOSITORY).await;
        let (nudges, _) = mpsc::unbounded_channel();
        let outbox = Outbox::new(house.store.clone());
        let stop = CancellationToken::new();
        let mut office = Office {
            world,
            house,
            outbox,
            nudges,
            stop,
            tasks: Vec::new(),
            offline: false,
            poll: None,
            app,
            metrics: Metrics::default(),
        };
        office.begin().await;
        office
    }

    pub fn forge(&self) -> SharedForge {
        if self.app { self.world.connect_app() } else { self.world.connect() }
    }

    /// Starts reporter and desk, as a daemon does.
    pub async fn begin(&mut self) {
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
            events: Events::new(store.clone()),
            installation: store.installation().await.unwrap(),
            public_url: Some("https://trueup.acme.dev".into()),
            poll: self.poll.unwrap_or(Duration::from_secs(3600)),
            offline: self.poll.is_none(),
            heads: Arc::default(),
            commands: Some(Arc::default()),
            wanted: Arc::default(),
        };
        let desk = Desk::new(store, self.outbox.clone(), ways, self.metrics.clone(), self.offline);
        self.stop = CancellationToken::new();
        self.nudges = nudges;
        self.tasks = vec![
            tokio::spawn(Reporter::new(parts, heard).run(self.stop.clone())),
            tokio::spawn(desk.run(self.stop.clone())),
        ];
    }

    /// Ends both at once, as a kill does.
    pub async fn kill(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
    }

    pub async fn nudge(&self, number: u64) {
        let (taken, answer) = oneshot::channel();
        let nudge = Nudge::PullRequest { project: project(), number };
        self.nudges.send(Nudged { nudge, taken }).unwrap();
        answer.await.unwrap();
    }

    pub fn comments(&self, number: u64) -> Vec<Text> {
        self.world.comments(REPOSITORY, number)
    }

    pub async fn reports(&self) -> Vec<ReportRow> {
        self.house.store.reports(ReportFilter { project: None, state: None, limit: 500 }).await.unwrap()
    }

    /// Waits until nothing is left to say.
    pub async fn quiet(&self) {
        until("nothing is left to say", async || {
            let rows = self.reports().await;
            let due = self.house.store.next_pull_due().await.unwrap();
            let soon = due.is_some_and(|at| at.duration_since(jiff::Timestamp::now()).as_secs() < 60);
            !soon && rows.iter().all(|row| !matches!(row.state, ReportState::Waiting | ReportState::Posting))
        })
        .await;
    }
}

/// The project of the house.
pub fn project() -> ProjectName {
    "shop".parse().unwrap()
}

/// Waits until something is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
