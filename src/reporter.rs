//! What is said on forges, and when: pull requests as they move, branches as their plans do, drift from outside as it is
//! found.
//!
//! Here a nudge becomes a look, a look a report, and a report texts in the outbox. Nothing is taken from what a forge
//! delivered: what is reported is read again from Git and the forge. What runs is looked at and never changed; what may
//! be a command in a comment is written down here, and carried out elsewhere.

mod branch;
mod drift;
mod hook_check;
mod hooks;
mod nudge;
mod polls;
mod pulls;
mod texts;
mod ways;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use crate::reporter::hook_check::{LastDelivery, ProjectCheck, WebhookSetUp, WebhookState};
pub use crate::reporter::hooks::{HookError, HookParts, HookSecret, Hooks};
pub use crate::reporter::nudge::{Nudge, Nudged};
pub use crate::reporter::ways::{Way, Ways};

use crate::events::Events;
use crate::git::Git;
use crate::ids::{EnvironmentRef, ProjectName};
use crate::outbox::{Outbox, Unposted};
use crate::pass::Passes;
pub use crate::reporter::polls::Heads;
use crate::store::records::{Heard, NewCommand, PullRow};
use crate::store::{Store, StoreError};

/// Requests that are read and planned at once.
const AT_ONCE: usize = 4;
/// The least time between two plans of one request that nobody pushed to.
const REPLAN: SignedDuration = SignedDuration::from_mins(10);
/// Time before a database that refused is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// In the audit log.
const ACTOR: &str = "trueup";

/// What the reporter works with.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Git, for polling requests' refs.
    pub git: Git,
    /// Passes.
    pub passes: Passes,
    /// How forges are reached.
    pub ways: Arc<Ways>,
    /// Where reports are left.
    pub outbox: Outbox,
    /// Where drift from outside is told.
    pub events: Events,
    /// This installation's id, which tells its comments and statuses from those of another daemon.
    pub installation: String,
    /// Where people reach the daemon, without a slash at the end; `None` where they do not.
    pub public_url: Option<String>,
    /// Time between two looks at the requests of a repository whose forge delivers no webhooks.
    pub poll: Duration,
    /// Whether nothing outside is asked by itself.
    pub offline: bool,
    /// What polling remembers.
    pub heads: Arc<Heads>,
    /// Rung when a comment that may be a command was written down; `None` where nobody carries any out.
    pub commands: Option<Arc<Notify>>,
    /// Rung by others who had a request planned again.
    pub wanted: Arc<Notify>,
}

/// A pull request: its project and number.
type Request = (ProjectName, u64);
/// A request that was reported on, and whether that could be kept.
type Ended = (Request, Result<(), StoreError>);

/// The task that reports.
pub struct Reporter {
    parts: Arc<Parts>,
    moved: broadcast::Receiver<EnvironmentRef>,
    nudges: mpsc::UnboundedReceiver<Nudged>,
    pulls: JoinSet<Ended>,
    branches: JoinSet<()>,
    busy: BTreeSet<Request>,
    /// What is said of environments is said one after the other: what was found later is said later.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Reporter {
    /// Over these parts, told of requests by `nudges`.
    pub fn new(parts: Parts, nudges: mpsc::UnboundedReceiver<Nudged>) -> Self {
        let moved = parts.passes.moved();
        Reporter {
            parts: Arc::new(parts),
            moved,
            nudges,
            pulls: JoinSet::new(),
            branches: JoinSet::new(),
            busy: BTreeSet::new(),
            turn: Arc::default(),
        }
    }

    /// Reports until `stop` is cancelled; what was begun then is begun anew by the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut polls = tokio::time::interval(self.parts.poll);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wanted = Arc::clone(&self.parts.wanted);
        loop {
            let next = match self.begin_due().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "what is to be reported cannot be read; it is tried again");
                    Some(AGAIN)
                }
            };
            let sleep = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(nudged) = self.nudges.recv() => self.hear(nudged).await,
                moved = self.moved.recv() => self.moved(moved).await,
                () = wanted.notified() => {}
                Some(ended) = self.pulls.join_next() => self.ended(ended),
                Some(ended) = self.branches.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "reporting on a branch broke off; it is tried again when its plan moves");
                    }
                }
                _ = polls.tick(), if !self.parts.offline => {
                    let parts = Arc::clone(&self.parts);
                    self.branches.spawn(async move { polls::poll(&parts).await });
                }
                () = sleep => {}
            }
        }
    }

    /// Begins what is due and has room; returns when there is something to begin again.
    async fn begin_due(&mut self) -> Result<Option<Duration>, StoreError> {
        if self.pulls.len() >= AT_ONCE {
            return Ok(None);
        }
        let now = Timestamp::now();
        for row in self.parts.store.due_pulls(now, AT_ONCE * 2).await? {
            let key = (row.project.clone(), row.number);
            if self.pulls.len() < AT_ONCE && self.busy.insert(key) {
                self.begin(row);
            }
        }
        let due = self.parts.store.next_pull_due().await?;
        let wait = due.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // What is due and was not begun has its place taken: the end of that is what wakes.
        Ok(wait.filter(|wait| !wait.is_zero() || self.busy.is_empty()).map(|wait| wait.max(Duration::from_millis(20))))
    }

    fn begin(&mut self, row: PullRow) {
        let parts = Arc::clone(&self.parts);
        self.pulls.spawn(async move { ((row.project.clone(), row.number), pulls::report(&parts, row).await) });
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok((key, result)) => {
                self.busy.remove(&key);
                if let Err(error) = result {
                    tracing::error!(project = %key.0, prNumber = key.1, %error, "a report could not be kept; it is tried again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "reporting on a pull request broke off; it is tried again");
                // Whose it was is not told: all are taken up again, which is harmless.
                self.busy.clear();
            }
        }
    }

    /// Takes in a nudge: written down first, and only then answered.
    async fn hear(&mut self, Nudged { nudge, taken }: Nudged) {
        let mut written = self.write_down(&nudge).await;
        while let Err(error) = &written {
            tracing::error!(%error, "a nudge cannot be written down; it is tried again");
            tokio::time::sleep(AGAIN).await;
            written = self.write_down(&nudge).await;
        }
        if taken.send(()).is_err() {
            tracing::debug!("whoever asked has gone; what is written is written");
        }
    }

    async fn write_down(&self, nudge: &Nudge) -> Result<(), StoreError> {
        let (store, now) = (&self.parts.store, Timestamp::now());
        let written = match nudge {
            Nudge::PullRequest { project, number } => store.want_pull(project, *number, now).await,
            Nudge::Comment { project, number, comment_id } => {
                self.want_command(project, *number, *comment_id, now).await
            }
            Nudge::Checks { project } => store.want_pulls_again(project, now, SignedDuration::ZERO).await.map(|_| ()),
        };
        match written {
            // The project was removed meanwhile: there is nothing to report on.
            Err(StoreError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Writes down that a comment may be a command. Where none is taken it is not, and a comment moves nothing.
    async fn want_command(
        &self,
        project: &ProjectName,
        pull: u64,
        comment_id: u64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(bell) = &self.parts.commands else { return Ok(()) };
        let way = match self.parts.ways.to(project).await {
            Ok(Some(way)) => way,
            Ok(None) | Err(Unposted::NoWay(_)) => return Ok(()),
            Err(Unposted::Store(error)) => return Err(error),
        };
        let new = NewCommand {
            project: project.clone(),
            integration: way.integration,
            repository: way.repository.to_string(),
            pull,
            comment_id,
            at,
        };
        match self.parts.store.want_command(new).await? {
            Heard::New => bell.notify_one(),
            Heard::Known | Heard::Off => {}
            Heard::TooMany => {
                tracing::warn!(%project, prNumber = pull, comment = comment_id, "too many comments address Trueup within the hour; this one is left alone");
            }
        }
        Ok(())
    }

    /// An environment's plan moved: its branch is reported on, and its requests are planned again in a while.
    async fn moved(&mut self, moved: Result<EnvironmentRef, broadcast::error::RecvError>) {
        let environments = match moved {
            Ok(id) => vec![id],
            // Many moved at once: each may have.
            Err(broadcast::error::RecvError::Lagged(_)) => match self.parts.store.environments(None).await {
                Ok(all) => all.into_iter().map(|environment| environment.id).collect(),
                Err(error) => {
                    tracing::error!(%error, "which environments there are cannot be read");
                    return;
                }
            },
            // Passes, which this task holds, keep it open.
            Err(broadcast::error::RecvError::Closed) => return,
        };
        for id in environments {
            if let Err(error) = self.parts.store.want_pulls_again(&id.project, Timestamp::now(), REPLAN).await {
                tracing::error!(environment = %id, %error, "its pull requests cannot be marked for another look");
            }
            let (parts, turn) = (Arc::clone(&self.parts), Arc::clone(&self.turn));
            self.branches.spawn(async move {
                let mut taken = turn.lock().await;
                branch::report(&parts, &id).await;
                while drift::report(&parts, &id).await == drift::Again::Soon {
                    drop(taken);
                    tokio::time::sleep(AGAIN).await;
                    taken = turn.lock().await;
                }
            });
        }
    }
}
