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

/// Polls that wait for an answer at once, over all hosts. Of one host no more are begun than Git lets through, so that one
/// that hangs cannot keep others from being asked.
const POLLS: usize = 128;
/// Looks at what runs at once.
const LOOKS: usize = 8;
/// Looks that read a repository, and so may wait for its host, at once; and of one host.
const READS: usize = 32;
const READS_PER_HOST: usize = 4;
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
    pub(super) running: HashMap<tokio::task::Id, (Job, Slot)>,
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
        let mut at_work = Work { per_host: self.tools.git.settings().max_per_host.max(1), ..Work::default() };
        loop {
            self.begin_due(&mut at_work);
            let sites = &self.sites;
            let due = self.schedule.next(|job| at_work.has_room(&slot(sites, job)));
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
                    let Some((job, slot)) = self.running.remove(&id) else { continue };
                    at_work.ended(&slot);
                    match ended {
                        Ok((_, done)) => self.settle(job, done),
                        Err(error) => {
                            tracing::error!(%error, "a job of the background broke off; it is tried again");
                            if let (Job::Look(id), Slot::Read(_)) = (&job, &slot) {
                                self.read_again(id);
                            }
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
        loop {
            let sites = &self.sites;
            let Some(job) = self.schedule.begin(now, |job| at_work.has_room(&slot(sites, job))) else { return };
            let slot = slot(&self.sites, &job);
            let Some(running) = self.spawn(&job, now) else {
                self.schedule.end(job, None);
                continue;
            };
            at_work.begun(slot.clone());
            self.running.insert(running, (job, slot));
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
            Job::Look(id) => {
                let probe = self.tools.passes.may_be_probed(id).then(|| Job::Probe(id.clone()));
                (self.sites.contains_key(id), probe)
            }
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
        let asks = self.places.iter().filter(|(_, polled)| polled.place.environments.contains(&id));
        let may = asks.into_iter().all(|(key, _)| self.may_ask(key));
        let Some(site) = self.sites.get_mut(&id) else { return };
        site.read = if may || read != Read::Fresh { read } else { Read::Recalled };
        self.schedule.want(Job::Look(id), now);
    }

    /// Whether the operator lets the daemon ask this repository by itself.
    pub(super) fn may_ask(&self, key: &PlaceKey) -> bool {
        !self.tools.pace.offline || key.host.is_none()
    }

    /// What a look was to read was not read: the next one has to.
    fn read_again(&mut self, id: &EnvironmentRef) {
        if let Some(site) = self.sites.get_mut(id) {
            site.read = Read::Fresh;
        }
    }

    /// A random number from 0.0 to 1.0. Nothing but the spread of timers rests on it.
    pub(super) fn jitter(&mut self) -> f64 {
        self.draws += 1;
        (self.random.hash_one(self.draws) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a job may have to wait for, and so what it is counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// A question to a host.
    Poll(Option<String>),
    /// A look that reads a repository of a host.
    Read(Option<String>),
    /// A look at what runs.
    Look,
    /// Probes.
    Probe,
}

fn slot(sites: &BTreeMap<EnvironmentRef, Site>, job: &Job) -> Slot {
    match job {
        Job::Poll(key) => Slot::Poll(key.host.clone()),
        Job::Look(id) => match sites.get(id) {
            Some(site) if site.read == Read::Fresh => Slot::Read(site.host.clone()),
            Some(_) | None => Slot::Look,
        },
        Job::Probe(_) => Slot::Probe,
    }
}

/// How many jobs of each kind are at work.
#[derive(Debug, Default)]
struct Work {
    per_host: usize,
    counts: BTreeMap<Slot, usize>,
    polls: usize,
    reads: usize,
}

impl Work {
    fn has_room(&self, slot: &Slot) -> bool {
        let here = self.counts.get(slot).copied().unwrap_or_default();
        match slot {
            Slot::Poll(_) => self.polls < POLLS && here < self.per_host,
            Slot::Read(_) => self.reads < READS && here < READS_PER_HOST,
            Slot::Look => here < LOOKS,
            Slot::Probe => here < PROBES,
        }
    }

    fn begun(&mut self, slot: Slot) {
        match slot {
            Slot::Poll(_) => self.polls += 1,
            Slot::Read(_) => self.reads += 1,
            Slot::Look | Slot::Probe => {}
        }
        *self.counts.entry(slot).or_default() += 1;
    }

    fn ended(&mut self, slot: &Slot) {
        match slot {
            Slot::Poll(_) => self.polls -= 1,
            Slot::Read(_) => self.reads -= 1,
            Slot::Look | Slot::Probe => {}
        }
        if let Some(count) = self.counts.get_mut(slot) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS, READS_PER_HOST, Slot, Work};

    #[test]
    fn a_host_takes_its_own_places_and_leaves_the_others_theirs() {
        let mut work = Work { per_host: 3, ..Work::default() };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        for (slot, other, most) in [
            (Slot::Poll(a.clone()), Slot::Poll(b.clone()), 3),
            (Slot::Read(a.clone()), Slot::Read(b.clone()), READS_PER_HOST),
        ] {
            for _ in 0..most {
                assert!(work.has_room(&slot));
                work.begun(slot.clone());
            }
            assert!(!work.has_room(&slot) && work.has_room(&other) && work.has_room(&Slot::Look));
            work.ended(&slot);
            assert!(work.has_room(&slot));
        }
        for _ in 0..LOOKS {
            work.begun(Slot::Look);
        }
        assert!(!work.has_room(&Slot::Look) && work.has_room(&Slot::Read(b)) && work.has_room(&Slot::Probe));
    }
}
