//! Takes deliveries out of the inbox: each is understood, what it asks for is passed on, and then it counts as taken in.
//!
//! In the order in which they came, whatever they are; one that cannot be understood is set aside with the reason and holds
//! up nothing. A delivery counts as taken in only after what it asked for was passed on, so that a crash in between passes
//! it on once more.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::daemon::gather::{Gathered, Gathering};
use crate::daemon::nudges::{Consequence, consequence, projects_of};
use crate::forge::ForgeKind;
use crate::forge::event::Event;
use crate::forge::webhook::parse;
use crate::http::webhook::InboxBell;
use crate::ids::ProjectName;
use crate::metrics::{DeliveryOutcome, Metrics};
use crate::reporter::Nudged;
use crate::store::records::WaitingDelivery;
use crate::store::{DELIVERIES_ROWS_MAX, Store, StoreError};

/// Bytes of bodies that are held at once.
const AT_ONCE: u64 = 4 << 20;
/// Deliveries that come within so long are read together: under load one query reads hundreds.
const GATHER: Duration = Duration::from_millis(20);
/// Time after which all that waits is looked at again: what was stored and never announced is found then.
const REVISIT: Duration = Duration::from_secs(30);
/// Time before a database that refused is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Deliveries after which those past the bounds are let go of.
const SWEEP_AFTER: u64 = DELIVERIES_ROWS_MAX as u64 / 2;

/// Who is told that a project's refs may have moved.
pub type Moved = Arc<dyn Fn(&ProjectName) + Send + Sync>;

/// The task that empties the inbox.
pub struct Intake {
    store: Store,
    bell: Arc<InboxBell>,
    moved: Moved,
    nudges: mpsc::UnboundedSender<Nudged>,
    gathering: Gathering,
    /// Deliveries that were looked at and are not settled yet, with the projects that are still to act on them.
    open: BTreeMap<u64, (usize, ForgeKind)>,
    seen: u64,
    settling: JoinSet<Vec<u64>>,
    since_swept: u64,
    metrics: Metrics,
}

impl Intake {
    /// Starts it. It ends when `stop` is cancelled, and the handle says when; what else than moved refs it hears of comes
    /// out of the receiver.
    pub fn start(
        store: Store,
        bell: Arc<InboxBell>,
        moved: Moved,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> (mpsc::UnboundedReceiver<Nudged>, JoinHandle<()>) {
        let (nudges, heard) = mpsc::unbounded_channel();
        let intake = Intake {
            store,
            bell,
            moved,
            nudges,
            gathering: Gathering::default(),
            open: BTreeMap::new(),
            seen: 0,
            settling: JoinSet::new(),
            since_swept: 0,
            metrics,
        };
        (heard, tokio::spawn(intake.run(stop)))
    }

    async fn run(mut self, stop: CancellationToken) {
        // Whatever an earlier process left.
        let mut look_at = Some(Instant::now());
        let mut revisit_at = Instant::now() + REVISIT;
        loop {
            let next = look_at.into_iter().chain(self.gathering.next()).chain([revisit_at]).min();
            let sleep = async {
                match next {
                    Some(when) => tokio::time::sleep_until(when.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bell.heard() => {
                    let soon = Instant::now() + GATHER;
                    look_at = Some(look_at.map_or(soon, |at| at.min(soon)));
                }
                Some(passed_on) = self.settling.join_next() => {
                    let result = self.settle(passed_on.unwrap_or_default()).await;
                    self.say(result, &mut look_at);
                }
                () = sleep => {}
            }
            let now = Instant::now();
            if revisit_at <= now || look_at.is_some_and(|at| at <= now) {
                look_at = None;
                if self.bell.is_again() || revisit_at <= now {
                    self.seen = 0;
                    revisit_at = now + REVISIT;
                }
                let result = self.look().await;
                self.say(result, &mut look_at);
            }
            for (project, gathered) in self.gathering.due(Instant::now()) {
                self.pass_on(project, gathered);
            }
        }
    }

    /// Nothing is lost where the database refuses: what is not settled is still in the inbox.
    fn say(&mut self, result: Result<(), StoreError>, look_at: &mut Option<Instant>) {
        if let Err(error) = result {
            tracing::error!(%error, "the inbox cannot be read or written; it is tried again");
            self.seen = 0;
            *look_at = Some(Instant::now() + AGAIN);
        }
    }

    /// Looks at everything that is new in the inbox.
    async fn look(&mut self) -> Result<(), StoreError> {
        let mut registered = None;
        loop {
            let waiting = self.store.waiting_deliveries(self.seen, AT_ONCE).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            self.seen = last.id;
            let mut settled = Vec::new();
            for delivery in waiting {
                if self.open.contains_key(&delivery.id) {
                    continue;
                }
                let now = Instant::now();
                let event = match understand(&delivery) {
                    Ok(event) => event,
                    Err(why) => {
                        tracing::warn!(delivery = delivery.id, forge = %delivery.forge, why, "a delivery was set aside");
                        self.metrics.delivered(delivery.forge, DeliveryOutcome::SetAside);
                        settled.push((delivery.id, Err(why)));
                        continue;
                    }
                };
                let projects = match delivery.project {
                    Some(project) => BTreeSet::from([project]),
                    None => {
                        if registered.is_none() {
                            registered = Some(self.store.projects().await?);
                        }
                        let registered = registered.as_deref().unwrap_or_default();
                        projects_of(&event, registered, &delivery.via).into_iter().collect()
                    }
                };
                let asked: Vec<(ProjectName, Consequence)> = projects
                    .into_iter()
                    .map(|project| (project.clone(), consequence(&event, &project)))
                    .filter(|(_, asked)| *asked != Consequence::default())
                    .collect();
                if asked.is_empty() {
                    self.metrics.delivered(delivery.forge, DeliveryOutcome::Processed);
                    settled.push((delivery.id, Ok(())));
                    continue;
                }
                self.open.insert(delivery.id, (asked.len(), delivery.forge));
                for (project, asked) in asked {
                    self.gathering.add(project, delivery.id, asked, now);
                }
            }
            if !settled.is_empty() {
                self.since_swept += settled.len() as u64;
                self.store.settle_deliveries(settled, Timestamp::now()).await?;
            }
            // A long backlog holds up nobody who is due.
            for (project, gathered) in self.gathering.due(Instant::now()) {
                self.pass_on(project, gathered);
            }
        }
    }

    /// Passes on what deliveries asked for; they are settled once everybody has written it down.
    fn pass_on(&mut self, project: ProjectName, gathered: Gathered) {
        if gathered.moved {
            (self.moved)(&project);
        }
        let mut written = Vec::new();
        for nudge in gathered.nudges {
            let (taken, answer) = oneshot::channel();
            if self.nudges.send(Nudged { nudge, taken }).is_ok() {
                written.push(answer);
            }
        }
        tracing::debug!(project = %project, deliveries = gathered.deliveries.len(), moved = gathered.moved, nudges = written.len(), "deliveries were passed on");
        let store = self.store.clone();
        self.settling.spawn(async move {
            if let Err(error) = store.hear_of(&project, Timestamp::now()).await {
                tracing::warn!(project = %project, %error, "that it was heard of cannot be noted; it is polled");
            }
            for answer in written {
                // Dropped unanswered is an answer, too: nobody is going to act on it.
                drop(answer.await);
            }
            gathered.deliveries
        });
    }

    async fn settle(&mut self, passed_on: Vec<u64>) -> Result<(), StoreError> {
        let mut done = Vec::new();
        for delivery in passed_on {
            if let Some((left, forge)) = self.open.get_mut(&delivery) {
                *left -= 1;
                if *left == 0 {
                    self.metrics.delivered(*forge, DeliveryOutcome::Processed);
                    self.open.remove(&delivery);
                    done.push((delivery, Ok(())));
                }
            }
        }
        self.since_swept += done.len() as u64;
        self.store.settle_deliveries(done, Timestamp::now()).await?;
        if self.since_swept >= SWEEP_AFTER {
            self.since_swept = 0;
            self.store.sweep_deliveries(Timestamp::now()).await?;
        }
        Ok(())
    }
}

/// What a delivery says, or why it cannot be understood; a parser that panics is such a reason.
fn understand(delivery: &WaitingDelivery) -> Result<Event, String> {
    let read = || parse(delivery.forge, &delivery.headers, &delivery.body);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(event)) => Ok(event),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("reading it broke off; this is a mistake in Trueup, and the daemon's log says where".to_owned()),
    }
}
