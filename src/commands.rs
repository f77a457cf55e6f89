//! Commands in comments on pull requests: `/trueup plan` and `/trueup sync`, from what was heard of to the answer.
//!
//! A delivery only says *that* there is a comment. What it says, whose it is, whether it was edited, how its request stands
//! and what the writer may do is read from the forge here, every time. What is allowed goes through the one authorisation
//! and the gate of syncs like a request on the command line; nothing here holds a permit. Each comment is carried out at most
//! once: it is taken up in the database before anything is begun, and what was taken up is never begun again.

mod answer;
mod carry;
pub mod grammar;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::ids::ProjectName;
use crate::outbox::Outbox;
use crate::reporter::Ways;
use crate::store::records::CommandRow;
use crate::store::{Store, StoreError};
use crate::sync::Syncs;

/// Projects whose commands are looked at at once; of one project, one after the other.
const AT_ONCE: usize = 4;
/// The longest that a forge that cannot be asked is asked again; the command is refused then.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// The greatest age of a comment that is carried out: who asked yesterday may not mean today.
pub const OLDEST: SignedDuration = SignedDuration::from_hours(1);
/// Time before a database that refused is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What commands are carried out with.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// How forges are reached.
    pub ways: Arc<Ways>,
    /// The way to a run.
    pub syncs: Syncs,
    /// Who did what.
    pub audit: Audit,
    /// Where answers are left.
    pub outbox: Outbox,
    /// This installation's id, which tells its comments from those of another daemon.
    pub installation: String,
    /// Rung when there is a comment to read.
    pub bell: Arc<Notify>,
    /// To ring when a request is to be reported on again.
    pub wanted: Arc<Notify>,
    /// The longest that a forge that cannot be asked is asked again: [`PATIENCE`].
    pub patience: SignedDuration,
}

/// The task that carries commands out.
pub struct Commands {
    parts: Arc<Parts>,
    working: JoinSet<Result<(), StoreError>>,
    /// The projects whose commands are being looked at.
    busy: HashMap<Id, ProjectName>,
    /// Until when nothing is begun, as the database refused.
    resting: Option<Instant>,
}

impl Commands {
    /// Over these parts.
    pub fn new(parts: Parts) -> Self {
        Commands { parts: Arc::new(parts), working: JoinSet::new(), busy: HashMap::new(), resting: None }
    }

    /// Carries commands out until `stop` is cancelled. What was taken up then is told of by the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let bell = Arc::clone(&self.parts.bell);
        while let Err(error) = carry::interrupted(&self.parts).await {
            tracing::error!(%error, "commands that an earlier process was at cannot be looked up; it is tried again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        loop {
            let next = match self.begin_due().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "commands in comments cannot be read; it is tried again");
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
                () = bell.notified() => {}
                Some(ended) = self.working.join_next_with_id() => self.ended(ended),
                () = sleep => {}
            }
        }
    }

    /// Begins what is due and has room; returns when there is something to begin again.
    async fn begin_due(&mut self) -> Result<Option<Duration>, StoreError> {
        if let Some(left) = self.resting.map(|until| until.saturating_duration_since(Instant::now()))
            && !left.is_zero()
        {
            return Ok(Some(left));
        }
        let now = Timestamp::now();
        for row in self.parts.store.due_commands(now).await? {
            if self.working.len() < AT_ONCE && !self.busy.values().any(|project| *project == row.project) {
                self.begin(row);
            }
        }
        let due = self.parts.store.next_command_due().await?;
        let wait = due.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // What is due and was not begun has its place taken: the end of that is what wakes.
        Ok(wait.filter(|wait| !wait.is_zero() || self.busy.is_empty()).map(|wait| wait.max(Duration::from_millis(20))))
    }

    fn begin(&mut self, row: CommandRow) {
        let parts = Arc::clone(&self.parts);
        let project = row.project.clone();
        let begun = self.working.spawn(async move { carry::carry_on(&parts, row).await });
        self.busy.insert(begun.id(), project);
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), StoreError>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let project = self.busy.remove(&id).map(|project| project.to_string());
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((_, Err(error))) => {
                self.resting = Some(Instant::now() + AGAIN);
                tracing::error!(project, %error, "what came of a command could not be kept; it is looked at again");
            }
            Err(error) => tracing::error!(project, %error, "carrying out a command broke off; it is never begun again"),
        }
    }
}
