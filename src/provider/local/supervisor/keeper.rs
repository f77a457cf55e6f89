//! One replica's keeper: the one task that starts, stops and restarts it, and that writes its state down before it
//! acts. Others see what it published last.

mod tasks;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::ids::EnvironmentRef;
use crate::provider::local::supervisor::checkout::Snapshot;
use crate::provider::local::supervisor::environment::{self, Given};
use crate::provider::local::supervisor::exec;
use crate::provider::local::supervisor::launch::{Output, launch};
use crate::provider::local::supervisor::limits::Limits;
use crate::provider::local::supervisor::log;
use crate::provider::local::supervisor::policy::{Ending, Pace, starts_again};
use crate::provider::local::supervisor::process::{Identity, Process};
use crate::provider::local::supervisor::protocol::Fault;
use crate::provider::local::supervisor::record::{self, Layout, Spec, State, Wanted};
use crate::provider::local::supervisor::replica::{Change, Phase};
use crate::provider::local::supervisor::session::Session;

/// What all keepers share.
#[derive(Debug)]
pub(super) struct Ground {
    /// Where everything lies.
    pub(super) layout: Layout,
    /// This program, for its hidden verb.
    pub(super) binary: PathBuf,
    /// This boot.
    pub(super) boot: String,
    /// How restarts are paced.
    pub(super) pace: Pace,
    /// How limits are kept.
    pub(super) limits: Limits,
    /// Told of each change of a replica.
    pub(super) changes: broadcast::Sender<EnvironmentRef>,
}

/// What is asked of a keeper.
#[derive(Debug)]
pub(super) enum Task {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Change what can be changed while it runs.
    Change(Change),
}

/// A task and where its outcome goes.
pub(super) type Order = (Task, oneshot::Sender<Result<(), Fault>>);

/// What everyone may see of a replica.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// What it is to be.
    pub(super) spec: Spec,
    /// What was written down last.
    pub(super) state: State,
    /// Where it is in its life.
    pub(super) phase: Phase,
    /// The environment that its process was given.
    pub(super) given: Arc<Given>,
    /// The files of its checkout.
    pub(super) snapshot: Arc<Mutex<Snapshot>>,
}

/// The keeper of one replica.
#[derive(Debug)]
pub(super) struct Keeper {
    ground: Arc<Ground>,
    id: String,
    spec: Spec,
    state: State,
    process: Option<Process>,
    restart_at: Option<Instant>,
    restarting: bool,
    out_of_memory: u64,
    published: Arc<Mutex<Published>>,
}

impl Keeper {
    /// A keeper for a replica whose files are there.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub(super) fn open(ground: Arc<Ground>, id: &str) -> io::Result<Self> {
        let folder = ground.layout.replica(id);
        let spec: Spec = record::read_json(&folder.join("spec.json"))?;
        let state: State = record::read_json(&folder.join("state.json"))?;
        if spec.format != record::FORMAT || state.format != record::FORMAT || spec.blueprint.id() != id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is of another version or another replica", folder.display()),
            ));
        }
        let snapshot: Snapshot = record::read_json(&folder.join("source.json"))?;
        let given = Arc::new(environment::given(&ground.layout, id, &spec)?);
        let published = Published {
            spec: spec.clone(),
            state: state.clone(),
            phase: Phase::Prepared,
            given,
            snapshot: Arc::new(Mutex::new(snapshot)),
        };
        let published = Arc::new(Mutex::new(published));
        let id = id.to_owned();
        let mut keeper = Keeper {
            ground,
            id,
            spec,
            state,
            process: None,
            restart_at: None,
            restarting: false,
            out_of_memory: 0,
            published,
        };
        keeper.publish();
        Ok(keeper)
    }

    /// What it publishes.
    pub(super) fn published(&self) -> Arc<Mutex<Published>> {
        Arc::clone(&self.published)
    }

    /// Finds the replica's process again after a restart of the supervisor or the machine, or does what its policy says.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the state cannot be written.
    pub(super) async fn adopt(&mut self) -> io::Result<()> {
        let Some(identity) = self.state.process.clone() else {
            if let (Wanted::Running, Some(ending)) = (self.state.wanted, self.state.ended.clone()) {
                self.plan_restart(&ending);
            }
            self.publish();
            return Ok(());
        };
        let same_boot = identity.boot == self.ground.boot;
        if same_boot && let Some(process) = Process::adopt(identity.clone())? {
            tracing::info!(replica = %self.id, pid = identity.pid, "found running, taken over");
            self.process = Some(process);
            self.publish();
            return Ok(());
        }
        if same_boot {
            self.session(identity).kill().await?;
        }
        tracing::warn!(replica = %self.id, "ended while no supervisor ran");
        self.settle_end(Ending::Unseen)
    }

    /// Works until nobody can ask any more. What runs then goes on running.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some((task, answer)) => {
                        let outcome = self.carry_out(task).await;
                        if answer.send(outcome).is_err() {
                            tracing::debug!(replica = %self.id, "the asker went before the answer");
                        }
                    }
                    None => return,
                },
                ended = ended(self.process.as_ref()) => {
                    if let Err(error) = self.on_end(ended).await {
                        tracing::error!(replica = %self.id, %error, "its end could not be settled");
                    }
                }
                () = due(self.restart_at) => {
                    if let Err(error) = self.restart().await {
                        tracing::error!(replica = %self.id, %error, "its restart could not be written down");
                    }
                }
            }
        }
    }

    // An error of waiting means that the end cannot be seen; it is settled as such.
    async fn on_end(&mut self, seen: io::Result<()>) -> io::Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        if let Err(error) = seen {
            tracing::error!(replica = %self.id, %error, "its process can no longer be watched");
        }
        // What it left behind goes first, while its own number cannot be another's yet.
        if let Err(error) = self.session(process.identity().clone()).kill().await {
            tracing::error!(replica = %self.id, %error, "what its process left behind could not be ended");
        }
        let mut ending = process.reap()?;
        if ending == Ending::Signalled(rustix::process::Signal::KILL.as_raw())
            && self.ground.limits.out_of_memory(&self.id)? > self.out_of_memory
        {
            ending = Ending::OutOfMemory;
        }
        tracing::info!(replica = %self.id, %ending, "ended by itself");
        self.settle_end(ending)
    }

    fn settle_end(&mut self, ending: Ending) -> io::Result<()> {
        let ran = self.state.started_at.map(|at| Timestamp::now().duration_since(at));
        let steady = ran.and_then(|ran| Duration::try_from(ran).ok()).is_some_and(|ran| ran >= self.ground.pace.steady);
        self.state.quick_ends = if steady { 1 } else { self.state.quick_ends.saturating_add(1) };
        self.state.process = None;
        self.state.ended = Some(ending.clone());
        self.plan_restart(&ending);
        self.persist()
    }

    fn plan_restart(&mut self, ending: &Ending) {
        let again = self.state.wanted == Wanted::Running
            && starts_again(self.spec.blueprint.restart_policy(), ending, self.state.restarts);
        self.restart_at = again.then(|| Instant::now() + self.ground.pace.pause(self.state.quick_ends.max(1)));
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.restart_at = None;
        self.restarting = true;
        self.state.restarts = self.state.restarts.saturating_add(1);
        let launched = match self.persist() {
            Ok(()) => self.launch().await,
            Err(error) => Err(error.to_string()),
        };
        self.restarting = false;
        match launched {
            Ok(()) => self.persist(),
            Err(why) => {
                tracing::warn!(replica = %self.id, why, "could not be started again");
                self.state.started_at = None;
                self.settle_end(Ending::NotStarted(why))
            }
        }
    }

    async fn launch(&mut self) -> Result<(), String> {
        let blueprint = &self.spec.blueprint;
        let user = environment::user(&blueprint.user)?;
        let given = environment::given(&self.ground.layout, &self.id, &self.spec).map_err(|error| error.to_string())?;
        let address_space =
            self.ground.limits.enter(&self.id, blueprint.memory, blueprint.cpu).map_err(|error| error.to_string())?;
        self.out_of_memory = self.ground.limits.out_of_memory(&self.id).map_err(|error| error.to_string())?;
        let order = exec::Order {
            argv: blueprint.argv(),
            env: given.values.clone(),
            directory: environment::directory(&self.ground.layout, &self.id, blueprint),
            user,
            cgroup: self.ground.limits.cgroup(&self.id),
            address_space,
            dies_with_supervisor: false,
        };
        let output = || log::append(&self.ground.layout.log(&self.id)).map_err(|error| format!("its log: {error}"));
        let output = Output { stdout: output()?.into(), stderr: output()?.into() };
        let mut state = self.state.clone();
        let file = self.ground.layout.replica(&self.id).join("state.json");
        let write_down = |identity: &Identity| {
            state.process = Some(identity.clone());
            state.started_at = Some(Timestamp::now());
            record::write_json(&file, &state)
        };
        let process = launch(&self.ground.binary, &self.ground.boot, &order, output, write_down).await?;
        tracing::info!(replica = %self.id, pid = process.identity().pid, "started");
        self.state = state;
        self.process = Some(process);
        self.published.lock().unwrap_or_else(PoisonError::into_inner).given = Arc::new(given);
        Ok(())
    }

    fn session(&self, leader: Identity) -> Session {
        Session { leader, replica: self.id.clone(), cgroup: self.ground.limits.cgroup(&self.id) }
    }

    fn persist(&mut self) -> io::Result<()> {
        self.publish();
        record::write_json(&self.ground.layout.replica(&self.id).join("state.json"), &self.state)
    }

    fn publish(&mut self) {
        let phase = match (&self.process, self.state.wanted) {
            (Some(_), _) => Phase::Running,
            (None, Wanted::Prepared) => Phase::Prepared,
            (None, Wanted::Stopped) => Phase::Stopped,
            (None, Wanted::Running) if self.restarting || self.restart_at.is_some() => Phase::Waiting,
            (None, Wanted::Running) => Phase::Ended,
        };
        {
            let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
            published.spec = self.spec.clone();
            published.state = self.state.clone();
            published.phase = phase;
        }
        // Nobody may be listening.
        if self.ground.changes.send(self.spec.blueprint.environment.clone()).is_err() {
            tracing::trace!(replica = %self.id, "no one watches");
        }
    }
}

async fn ended(process: Option<&Process>) -> io::Result<()> {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending::<()>().await,
    }
}
