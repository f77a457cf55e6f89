//! A house whose project is on a forge's world and takes commands in comments, with everybody who carries them out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::audit::Audit;
use trueup::authority::{CommentCommands, Role};
use trueup::commands::{Commands, Parts as CommandParts};
use trueup::forge::ForgeKind;
use trueup::forge::api::Permission;
use trueup::git::{Git, GitSettings};
use trueup::ids::{EnvironmentRef, ProjectName};
use trueup::metrics::Metrics;
use trueup::outbox::{Desk, Outbox};
use trueup::plan::Plan;
use trueup::reporter::{Nudge, Nudged, Parts, Reporter, Ways};
use trueup::store::records::{Environment, ForgeUserRow, Run};
use trueup::sync::Syncs;

use crate::world::forge::ForgeWorld;
use crate::world::forge::state::Text;
use crate::world::house::{House, file};
use crate::world::reporting::register;

pub const REPOSITORY: &str = "acme/shop";
const WAIT: Duration = Duration::from_secs(60);

/// The file whose one service logs at this level.
pub fn web(level: &str) -> String {
    file(&format!("web:\n  image: acme/web:1\n  env: {{LOG_LEVEL: {level}}}"))
}

pub fn project() -> ProjectName {
    "shop".parse().unwrap()
}

pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {WAIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Those who report, answer and carry out, at work.
pub struct Crew {
    pub nudges: mpsc::UnboundedSender<Nudged>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts them over a house, as a daemon does. Nudges come from `heard`, or from whoever holds the crew.
    pub async fn start(
        house: &House,
        world: &ForgeWorld,
        syncs: Syncs,
        patience: SignedDuration,
        heard: Option<mpsc::UnboundedReceiver<Nudged>>,
    ) -> Self {
        let store = house.store.clone();
        let forge = world.connect();
        let ways = Ways::through(store.clone(), move |_| Ok(Arc::clone(&forge)));
        let (nudges, own) = mpsc::unbounded_channel();
        let wanted = Arc::new(Notify::new());
        let (bell, outbox) = (Arc::new(Notify::new()), Outbox::new(store.clone()));
        let installation = store.installation().await.unwrap();
        let parts = Parts {
            store: store.clone(),
            git: Git::new(GitSettings::new(house.state.path().join("mirrors"))),
            passes: house.passes.clone(),
            ways: Arc::clone(&ways),
            outbox: outbox.clone(),
            events: trueup::events::Events::new(store.clone()),
            installation: installation.clone(),
            public_url: None,
            poll: Duration::from_secs(3600),
            offline: true,
            heads: Arc::default(),
            commands: Some(Arc::clone(&bell)),
            wanted: Arc::clone(&wanted),
        };
        let audit = Audit::new(store.clone());
        let commands = CommandParts {
            store: store.clone(),
            ways: Arc::clone(&ways),
            syncs,
            audit,
            outbox: outbox.clone(),
            installation,
            bell,
            wanted,
            patience,
        };
        let stop = CancellationToken::new();
        let desk = Desk::new(store, outbox, ways, Metrics::default(), false);
        let tasks = vec![
            tokio::spawn(Reporter::new(parts, heard.unwrap_or(own)).run(stop.clone())),
            tokio::spawn(Commands::new(commands).run(stop.clone())),
            tokio::spawn(desk.run(stop)),
        ];
        Crew { nudges, tasks }
    }

    /// Ends them at once, as a kill does.
    pub async fn kill(self) {
        for task in self.tasks {
            task.abort();
            drop(task.await);
        }
    }
}

/// A house, its forge, a merged request, and the crew.
pub struct Bench {
    pub world: ForgeWorld,
    pub house: House,
    pub crew: Option<Crew>,
    pub number: u64,
    pub patience: SignedDuration,
}

impl Bench {
    /// `alice`, who may write to the repository, is an operator here; the request was merged and awaits a sync.
    pub async fn open(kind: ForgeKind) -> Self {
        let bench = Bench::unmerged(kind).await;
        bench.world.merge(REPOSITORY, bench.number);
        bench
    }

    /// The same before the merge.
    pub async fn unmerged(kind: ForgeKind) -> Self {
        let world = ForgeWorld::start(kind);
        world.create(REPOSITORY, &[(".trueup.yml", &web("info"))]);
        let house = House::new("web:\n  image: acme/web:1").await;
        register(&house, &world, REPOSITORY).await;
        world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = world.open_pull(REPOSITORY, "louder");
        let patience = trueup::commands::PATIENCE;
        let mut bench = Bench { world, house, crew: None, number, patience };
        bench.allow(CommentCommands::Sync).await;
        bench.map("alice", Role::Operator).await;
        bench.begin().await;
        bench
    }

    pub async fn begin(&mut self) {
        let syncs = self.house.syncs.clone();
        self.crew = Some(Crew::start(&self.house, &self.world, syncs, self.patience, None).await);
    }

    pub async fn kill(&mut self) {
        self.crew.take().unwrap().kill().await;
    }

    /// Changes what is registered of the environment.
    pub async fn set(&self, change: impl FnOnce(&mut Environment)) {
        let before = self.house.store.environment(&self.house.id).await.unwrap().unwrap();
        let mut after = before.clone();
        change(&mut after);
        self.house.store.update_environment(before, after).await.unwrap();
    }

    pub async fn allow(&self, commands: CommentCommands) {
        self.set(|environment| environment.comment_commands = commands).await;
    }

    /// Gives an account of the forge a role.
    pub async fn map(&self, login: &str, role: Role) {
        let user = self.world.user(login);
        let row = ForgeUserRow {
            integration: "forge".parse().unwrap(),
            user_id: user.id,
            login: user.name,
            role,
            created_at: Timestamp::now(),
        };
        self.house.store.put_forge_user(row).await.unwrap();
    }

    /// Someone comments on the request; the forge tells of it.
    pub async fn say(&self, author: &str, body: &str) -> u64 {
        let id = self.world.say(REPOSITORY, self.number, author, body);
        self.tell(id).await;
        id
    }

    /// The forge tells of a comment (again).
    pub async fn tell(&self, comment_id: u64) {
        let (taken, answer) = oneshot::channel();
        let nudge = Nudge::Comment { project: project(), number: self.number, comment_id };
        self.crew.as_ref().unwrap().nudges.send(Nudged { nudge, taken }).unwrap();
        answer.await.unwrap();
    }

    pub async fn plan(&self) -> Plan {
        self.house.plan().await
    }

    /// The line that carries a plan out.
    pub fn line(plan: &Plan) -> String {
        format!("/trueup sync production --plan {}", plan.digest.short())
    }

    pub fn answers(&self) -> Vec<Text> {
        let comments = self.world.comments(REPOSITORY, self.number);
        comments.into_iter().filter(|text| text.body.contains(":answer:")).collect()
    }

    /// Waits until every command is over and everything is posted.
    pub async fn quiet(&self) {
        until("every command is over", async || self.house.store.next_command_due().await.unwrap().is_none()).await;
        until("everything is posted", async || self.house.store.outbox_depth().await.unwrap().0 == 0).await;
    }

    /// The one answer there is, once everything is quiet.
    pub async fn answer(&self) -> String {
        self.quiet().await;
        let answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers[0].body.clone()
    }

    pub async fn runs(&self) -> Vec<Run> {
        self.house.store.runs(&self.house.id, 100).await.unwrap()
    }

    /// Nothing was begun, and the answer holds this.
    pub async fn refused(&self, why: &str) {
        let answer = self.answer().await;
        assert!(answer.contains(why) && answer.contains("Not done:"), "{why:?}: {answer}");
        assert!(self.runs().await.is_empty());
    }

    /// Nothing was begun, and nobody is answered.
    pub async fn silent(&self) {
        self.quiet().await;
        assert!(self.answers().is_empty(), "{:?}", self.answers());
        assert!(self.runs().await.is_empty());
    }

    /// The lines of the audit log that hold this.
    pub async fn audited(&self, what: &str) -> Vec<String> {
        let lines = self.house.store.audit(500).await.unwrap();
        let line = |line: trueup::store::records::AuditLine| {
            let entry = line.entry;
            format!("{} | {} | {} | {} x{}", entry.actor, entry.operation, entry.target, entry.outcome, line.times)
        };
        lines.into_iter().map(line).filter(|line| line.contains(what)).collect()
    }

    /// Makes Bob someone who may write, too.
    pub fn permit(&self, login: &str, permission: Permission) {
        self.world.permit(REPOSITORY, login, permission);
    }
}

/// What the environment is called.
pub fn environment() -> EnvironmentRef {
    "shop/production".parse().unwrap()
}
