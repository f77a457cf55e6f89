//! The background: one task that knows what is due, and begins it.
//!
//! Every place is asked at its interval, every environment looked at at its own, both spread so that many do not come at
//! once; what moved, changed or was nudged is looked at right away. What fails is asked less and less often.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::daemon::jobs::{self, Done, Failure, Job, Read};
use crate::daemon::places::{Place, PlaceKey, places};
use crate::daemon::schedule::Schedule;
use crate::git::{Backoff, Git, RemoteUrl};
use crate::health::Monitor;
use crate::ids::EnvironmentRef;
use crate::pass::Passes;
use crate::store::records::Environment;
use crate::store::{Store, StoreError};

/// Polls that wait for an answer at once, over all hosts; how many per host is Git's matter.
const POLLS: usize = 128;
/// Looks at work at once.
const LOOKS: usize = 8;
/// Environments that are probed at once.
const PROBES: usize = 16;
/// Between two first polls at the start.
const STAGGER: Duration = Duration::from_millis(10);
/// Registrations and events that come together are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// The least time between two looks that events ask for.
const CALM: Duration = Duration::from_secs(1);

/// How often what is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time between two looks at a repository.
    pub poll: Duration,
    /// Time between two looks at what runs.
    pub observe: Duration,
    /// Whether only repositories of this machine are asked.
    pub offline: bool,
}

/// What the background works with.
pub struct Tools {
    /// The database, for what is registered.
    pub store: Store,
    /// Git.
    pub git: Git,
    /// Passes.
    pub passes: Passes,
    /// Probes.
    pub monitor: Monitor,
    /// How often.
    pub pace: Pace,
}

/// The running background; cheap to clone, and told what to look at soon.
#[derive(Clone, Debug)]
pub struct Background {
    asks: mpsc::UnboundedSender<Ask>,
}

/// What the background is told.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A registration may have changed: look at this environment anew.
    Nudge(EnvironmentRef),
    /// The provider heard of a change.
    Changed(EnvironmentRef),
    /// A local repository's refs moved.
    Moved(PlaceKey),
}

impl Background {
    /// Starts it. It ends when `stop` is cancelled, and the handle says when.
    pub fn start(tools: Tools, stop: CancellationToken) -> (Self, tokio::task::JoinHandle<()>) {
        let (asks, heard) = mpsc::unbounded_channel();
        let keeper = Keeper {
            tools: Arc::new(tools),
            asks: asks.clone(),
            schedule: Schedule::default(),
            places: BTreeMap::new(),
            sites: BTreeMap::new(),
            nudged: BTreeSet::new(),
            reload_at: Some(Instant::now()),
            jobs: JoinSet::new(),
            running: HashMap::new(),
            random: RandomState::new(),
            draws: 0,
        };
        (Background { asks }, tokio::spawn(keeper.run(heard, stop)))
    }

    /// Looks at this environment soon; it may be new, changed or gone.
    pub fn nudge(&self, id: &EnvironmentRef) {
        if self.asks.send(Ask::Nudge(id.clone())).is_err() {
            tracing::debug!(environment = %id, "the background has ended");
        }
    }
}

/// What is known of one environment.
struct Site {
    registered: Environment,
    /// Which reading the next look rests on.
    read: Read,
    /// Whether this process has read its file.
    known: bool,
    backoff: Backoff,
    /// What the last failure said, so that it is logged once.
    said: Option<String>,
    looked_at: Option<Instant>,
    listener: Option<AbortHandle>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

struct Polled {
    place: Place,
    watch: Option<AbortHandle>,
}

impl Drop for Polled {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

struct Keeper {
    tools: Arc<Tools>,
    asks: mpsc::UnboundedSender<Ask>,
    schedule: Schedule<Job>,
    places: BTreeMap<PlaceKey, Polled>,
    sites: BTreeMap<EnvironmentRef, Site>,
    nudged: BTreeSet<EnvironmentRef>,
    reload_at: Option<Instant>,
    jobs: JoinSet<Done>,
    running: HashMap<tokio::task::Id, Job>,
    random: RandomState,
    draws: u64,
}

impl Keeper {
    async fn run(mut self, mut heard: mpsc::UnboundedReceiver<Ask>, stop: CancellationToken) {
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
        }
    }

    fn settle(&mut self, job: Job, done: Done) {
        let now = Instant::now();
        let next = match done {
            Done::Polled(key, asked) => self.polled(&key, asked, now),
            Done::Looked { id, read, result } => self.looked(&id, read, result, now),
            Done::Probed(_, next) => next,
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

    /// Takes in where a ref stands; returns when to ask again.
    fn polled(
        &mut self,
        key: &PlaceKey,
        asked: Result<crate::ids::CommitSha, String>,
        now: Instant,
    ) -> Option<Duration> {
        let jitter = self.jitter();
        let polled = self.places.get_mut(key)?;
        let ids: Vec<EnvironmentRef> = polled.place.environments.iter().cloned().collect();
        match asked {
            Ok(commit) => {
                let moved = polled.place.tip.as_ref() != Some(&commit) || polled.place.backoff.failures() > 0;
                polled.place.tip = Some(commit);
                polled.place.backoff.succeeded();
                let pause = polled.place.unread.pause(self.tools.pace.poll, jitter);
                if moved {
                    ids.into_iter().for_each(|id| self.want_look(id, Read::Fresh, now));
                }
                Some(pause)
            }
            Err(why) => {
                polled.place.backoff.failed();
                let pause = polled.place.backoff.pause(self.tools.pace.poll, jitter);
                if polled.place.backoff.failures() == 1 {
                    tracing::warn!(url = key.url, reference = key.reference, why, "a repository cannot be asked");
                }
                for id in ids {
                    if self.sites.get(&id).is_some_and(|site| !site.known) {
                        self.want_look(id, Read::Recalled, now);
                    }
                }
                Some(pause)
            }
        }
    }

    fn want_look(&mut self, id: EnvironmentRef, read: Read, now: Instant) {
        let Some(site) = self.sites.get_mut(&id) else { return };
        site.read = read;
        self.schedule.want(Job::Look(id), now);
    }

    /// Takes in how a look went; returns when to look again.
    fn looked(
        &mut self,
        id: &EnvironmentRef,
        read: bool,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Option<Duration> {
        let (jitter, pace) = (self.jitter(), self.tools.pace);
        let site = self.sites.get_mut(id)?;
        let (why, again) = match result {
            Ok(()) => {
                site.known = true;
                site.backoff.succeeded();
                site.said = None;
                let pause = site.backoff.pause(pace.observe, jitter);
                if read {
                    self.read(id);
                }
                return Some(pause);
            }
            Err(Failure::Gone) => {
                self.reload_at = Some(now);
                return None;
            }
            // Switched on again, or read, it comes back by itself.
            Err(Failure::Disabled | Failure::NeverRead) => return None,
            Err(Failure::Unread(why)) => {
                if read {
                    self.unread(id, now);
                }
                (why, false)
            }
            Err(Failure::Invalid(why)) => (why, false),
            Err(Failure::Other(why)) => (why, true),
        };
        let site = self.sites.get_mut(id)?;
        site.backoff.failed();
        let pause = site.backoff.pause(pace.observe, jitter);
        if site.said.as_ref() != Some(&why) {
            tracing::warn!(environment = %id, why, "a look came to nothing");
            site.said = Some(why);
        }
        if site.known {
            return Some(pause);
        }
        if read && !again {
            // What an earlier process read is better than nothing.
            self.want_look(id.clone(), Read::Recalled, now);
            return None;
        }
        site.read = Read::Fresh;
        again.then_some(pause)
    }

    /// The places of an environment were read.
    fn read(&mut self, id: &EnvironmentRef) {
        let tracked = self.places.values_mut().filter(|polled| polled.place.environments.contains(id));
        tracked.for_each(|polled| polled.place.unread.succeeded());
    }

    /// The ref had moved, and what it moved to could not be read: the place is asked again, later and later.
    fn unread(&mut self, id: &EnvironmentRef, now: Instant) {
        let jitter = self.jitter();
        for (key, polled) in &mut self.places {
            if polled.place.environments.contains(id) {
                polled.place.tip = None;
                polled.place.unread.failed();
                let pause = polled.place.unread.pause(self.tools.pace.poll, jitter);
                self.schedule.cancel(&Job::Poll(key.clone()));
                self.schedule.want(Job::Poll(key.clone()), now + pause);
            }
        }
    }

    async fn reload_if_due(&mut self) {
        let now = Instant::now();
        if self.reload_at.is_none_or(|at| at > now) {
            return;
        }
        self.reload_at = None;
        if let Err(error) = self.reload(now).await {
            tracing::warn!(%error, "what is registered could not be read; it is tried again");
            self.reload_at = Some(now + self.tools.pace.poll.min(Duration::from_secs(10)));
        }
    }

    /// Takes in what is registered now.
    async fn reload(&mut self, now: Instant) -> Result<(), StoreError> {
        let projects = self.tools.store.projects().await?;
        let environments = self.tools.store.environments(None).await?;
        let wanted = places(&projects, &environments);
        let there: BTreeSet<&EnvironmentRef> = environments.iter().map(|environment| &environment.id).collect();
        let passes = &self.tools.passes;
        self.sites.retain(|id, _| {
            there.contains(id) || {
                passes.forget(id);
                false
            }
        });
        let nudged = std::mem::take(&mut self.nudged);
        for environment in environments {
            self.register(environment, &nudged);
        }
        self.places.retain(|key, _| wanted.contains_key(key));
        let mut fresh = 0;
        for (key, place) in wanted {
            let touched = place.environments.iter().any(|id| nudged.contains(id));
            match self.places.get_mut(&key) {
                Some(known) => {
                    let grown = !place.environments.is_subset(&known.place.environments);
                    known.place.environments = place.environments;
                    known.place.project = place.project;
                    if touched || grown {
                        known.place.tip = None;
                        self.schedule.want(Job::Poll(key), now);
                    }
                }
                None => {
                    self.settle_place(key, place, now + STAGGER * fresh);
                    fresh += 1;
                }
            }
        }
        for project in projects.iter().filter(|project| project.disabled) {
            let ids: Vec<EnvironmentRef> = self.sites.keys().filter(|id| id.project == project.name).cloned().collect();
            // Notes that it is switched off, and is not looked at again.
            ids.into_iter().for_each(|id| self.want_look(id, Read::Fresh, now));
        }
        Ok(())
    }

    fn register(&mut self, environment: Environment, nudged: &BTreeSet<EnvironmentRef>) {
        let id = environment.id.clone();
        let unchanged = self.sites.get(&id).is_some_and(|site| site.registered == environment);
        if unchanged && !nudged.contains(&id) {
            return;
        }
        let known = self.sites.get(&id).is_some_and(|site| site.known);
        let listener = tokio::spawn(jobs::listen(self.tools.clone(), id.clone(), self.asks.clone())).abort_handle();
        let site = Site {
            registered: environment,
            read: Read::Fresh,
            known,
            backoff: Backoff::default(),
            said: None,
            looked_at: None,
            listener: Some(listener),
        };
        self.sites.insert(id, site);
    }

    fn settle_place(&mut self, key: PlaceKey, place: Place, first: Instant) {
        let url = RemoteUrl::parse(&key.url).ok();
        let local = url.as_ref().is_some_and(|url| url.local_path().is_some());
        let watch = url.filter(|_| local).map(|url| {
            tokio::spawn(jobs::watch(self.tools.clone(), url, key.clone(), self.asks.clone())).abort_handle()
        });
        if local || !self.tools.pace.offline {
            self.schedule.want(Job::Poll(key.clone()), first);
        } else {
            let ids: Vec<EnvironmentRef> = place.environments.iter().cloned().collect();
            ids.into_iter().for_each(|id| self.want_look(id, Read::Recalled, first));
        }
        self.places.insert(key, Polled { place, watch });
    }

    /// A random number from 0.0 to 1.0. Nothing but the spread of timers rests on it.
    fn jitter(&mut self) -> f64 {
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
