//! The one task that knows what is due, and begins it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::daemon::background::{Ask, Tools};
use crate::daemon::jobs::{self, Done, Job, Read};
use crate::daemon::places::PlaceKey;
use crate::daemon::registrations::{Polled, Site};
use crate::daemon::schedule::Schedule;
use crate::ids::{EnvironmentRef, ProjectName};

/// Polls that wait for an answer at once, over all hosts; how many per host is Git's matter.
const POLLS: usize = 128;
/// Looks at work at once.
const LOOKS: usize = 8;
/// Environments that are probed at once.
const PROBES: usize = 16;
/// Registrations and events that come together are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// The least time between two looks that events ask for.
const CALM: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) tools: Arc<Tools>,
    pub(super) asks: mpsc::UnboundedSender<Ask>,
    pub(super) schedule: Schedule<Job>,
    pub(super) places: BTreeMap<PlaceKey, Polled>,
    pub(super) sites: BTreeMap<EnvironmentRef, Site>,
    pub(super) nudged: BTreeSet<EnvironmentRef>,
    pub(super) reload_at: Option<Instant>,
    pub(super) jobs: JoinSet<Done>,
    /// Listeners and watches; each ends when its site or place is dropped.
    pub(super) listeners: JoinSet<()>,
    pub(super) running: HashMap<tokio::task::Id, Job>,
    pub(super) random: RandomState,
    pub(super) draws: u64,
}

impl Keeper {
    pub(crate) fn new(tools: Tools, asks: mpsc::UnboundedSender<Ask>) -> Self {
        Keeper {
            tools: Arc::new(tools),
            asks,
            schedule: Schedule::default(),
            places: BTreeMap::new(),
            sites: BTreeMap::new(),
            nudged: BTreeSet::new(),
            reload_at: Some(Instant::now()),
            jobs: JoinSet::new(),
            listeners: JoinSet::new(),
            running: HashMap::new(),
            random: RandomState::new(),
            draws: 0,
        }
    }

    pub(crate) async fn run(mut self, mut heard: mpsc::UnboundedReceiver<Ask>, stop: CancellationToken) {
        let mut at_work = Work::default();
        loop {
            self.begin_due(&mut at_work);
            let due = self.schedule.next(|job| at_work.has_room(job));
            let next = due.into_iter().chain(self.reload_at).min();
            let sleep = async {
                match next {
                    Some(when) => tokio::time::sleep_until(when.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ask) = heard.recv() => self.hear(ask),
                Some(ended) = self.jobs.join_next_with_id() => {
                    let id = match &ended {
                        Ok((id, _)) => *id,
                        Err(error) => error.id(),
                    };
                    let Some(job) = self.running.remove(&id) else { continue };
                    at_work.ended(&job);
                    match ended {
                        Ok((_, done)) => self.settle(job, done),
                        Err(error) => {
                            tracing::error!(%error, "a job of the background broke off; it is tried again");
                            self.schedule.end(job, Some(Instant::now() + self.tools.pace.poll));
                        }
                    }
                }
                () = sleep => self.reload_if_due().await,
            }
        }
        self.jobs.shutdown().await;
        self.listeners.shutdown().await;
    }

    fn begin_due(&mut self, at_work: &mut Work) {
        let now = Instant::now();
        while let Some(job) = self.schedule.begin(now, |job| at_work.has_room(job)) {
            let Some(running) = self.spawn(&job, now) else {
                self.schedule.end(job, None);
                continue;
            };
            at_work.begun(&job);
            self.running.insert(running, job);
        }
    }

    /// Begins a job, if what it is about is still there.
    fn spawn(&mut self, job: &Job, now: Instant) -> Option<tokio::task::Id> {
        let tools = self.tools.clone();
        let running = match job {
            Job::Poll(key) => {
                let place = self.places.get(key)?.place.clone();
                self.jobs.spawn(jobs::poll(tools, key.clone(), place))
            }
            Job::Look(id) => {
                let site = self.sites.get_mut(id)?;
                site.looked_at = Some(now);
                let read = std::mem::replace(&mut site.read, Read::Remembered);
                self.jobs.spawn(jobs::look(tools, id.clone(), read))
            }
            Job::Probe(id) => {
                self.sites.get(id)?;
                self.jobs.spawn(jobs::probe(tools, id.clone()))
            }
        };
        Some(running.id())
    }

    fn hear(&mut self, ask: Ask) {
        let now = Instant::now();
        match ask {
            Ask::Answer(answer) => {
                if answer.send(()).is_err() {
                    tracing::debug!("whoever asked has gone");
                }
            }
            Ask::Nudge(id) => {
                self.nudged.insert(id);
                let soon = now + GATHER;
                self.reload_at = Some(self.reload_at.map_or(soon, |at| at.min(soon)));
            }
            Ask::Changed(id) => {
                let Some(site) = self.sites.get(&id).filter(|site| site.known) else { return };
                let calm = site.looked_at.map_or(now, |at| at + CALM);
                self.schedule.want(Job::Look(id), calm.max(now + GATHER));
            }
            Ask::Moved(key) if self.places.contains_key(&key) => self.schedule.want(Job::Poll(key), now),
            Ask::Moved(_) => {}
            Ask::Pushed(project) => self.pushed(&project, now),
        }
    }

    /// Refs of a project moved: its places are asked, each once however often this was said meanwhile.
    fn pushed(&mut self, project: &ProjectName, now: Instant) {
        let tracks = |polled: &Polled| polled.place.environments.iter().any(|id| id.project == *project);
        for (key, _) in self.places.iter().filter(|(_, polled)| tracks(polled)) {
            let job = Job::Poll(key.clone());
            // Where nobody outside is asked, nothing of such a place is due or at work.
            if self.schedule.holds(&job) {
                self.schedule.want(job, now);
            }
        }
    }

    fn settle(&mut self, job: Job, done: Done) {
        let now = Instant::now();
        let next = match done {
            Done::Polled(key, asked) => self.polled(&key, asked, now),
            Done::Looked { id, read, result } => self.looked(&id, read, result, now),
            Done::Probed(next) => next,
        };
        let (there, probe) = match &job {
            Job::Poll(key) => (self.places.contains_key(key), None),
            Job::Look(id) => (self.sites.contains_key(id), Some(Job::Probe(id.clone()))),
            Job::Probe(id) => (self.sites.contains_key(id), None),
        };
        if !there {
            self.schedule.cancel(&job);
        }
        self.schedule.end(job, next.filter(|_| there).map(|pause| now + pause));
        // What was deployed since is probed from now on.
        if let Some(probe) = probe.filter(|probe| there && !self.schedule.holds(probe)) {
            self.schedule.want(probe, now);
        }
    }

    pub(super) fn want_look(&mut self, id: EnvironmentRef, read: Read, now: Instant) {
        let Some(site) = self.sites.get_mut(&id) else { return };
        site.read = read;
        self.schedule.want(Job::Look(id), now);
    }

    /// A random number from 0.0 to 1.0. Nothing but the spread of timers rests on it.
    pub(super) fn jitter(&mut self) -> f64 {
        self.draws += 1;
        (self.random.hash_one(self.draws) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How many jobs of each kind are at work.
#[derive(Debug, Default)]
struct Work {
    polls: usize,
    looks: usize,
    probes: usize,
}

impl Work {
    fn has_room(&self, job: &Job) -> bool {
        match job {
            Job::Poll(_) => self.polls < POLLS,
            Job::Look(_) => self.looks < LOOKS,
            Job::Probe(_) => self.probes < PROBES,
        }
    }

    fn count(&mut self, job: &Job) -> &mut usize {
        match job {
            Job::Poll(_) => &mut self.polls,
            Job::Look(_) => &mut self.looks,
            Job::Probe(_) => &mut self.probes,
        }
    }

    fn begun(&mut self, job: &Job) {
        *self.count(job) += 1;
    }

    fn ended(&mut self, job: &Job) {
        *self.count(job) -= 1;
    }
}
