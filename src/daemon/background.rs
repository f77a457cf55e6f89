//! The background as others see it: started with its tools, told what to look at soon, stopped.
//!
//! Every place is asked at its interval, every environment looked at at its own, both spread so that many do not come at
//! once; what moved, changed or was nudged is looked at right away. What fails is asked less and less often.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::daemon::keeper::Keeper;
use crate::daemon::places::PlaceKey;
use crate::git::Git;
use crate::health::Monitor;
use crate::ids::{EnvironmentRef, ProjectName};
use crate::pass::Passes;
use crate::store::Store;

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
#[derive(Debug)]
pub(crate) enum Ask {
    /// Say that you are there.
    Answer(oneshot::Sender<()>),
    /// A registration may have changed: look at this environment anew.
    Nudge(EnvironmentRef),
    /// The provider heard of a change.
    Changed(EnvironmentRef),
    /// A local repository's refs moved.
    Moved(PlaceKey),
    /// A forge says that refs of a project's repository moved.
    Pushed(ProjectName),
}

impl Background {
    /// Starts it. It ends when `stop` is cancelled, and the handle says when.
    pub fn start(tools: Tools, stop: CancellationToken) -> (Self, tokio::task::JoinHandle<()>) {
        let (asks, heard) = mpsc::unbounded_channel();
        let keeper = Keeper::new(tools, asks.clone());
        (Background { asks }, tokio::spawn(keeper.run(heard, stop)))
    }

    /// Whether it still takes in what it is told, within `patience`.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Answer(answer)).is_ok()
            && tokio::time::timeout(patience, answered).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Looks at this environment soon; it may be new, changed or gone.
    pub fn nudge(&self, id: &EnvironmentRef) {
        if self.asks.send(Ask::Nudge(id.clone())).is_err() {
            tracing::debug!(environment = %id, "the background has ended");
        }
    }

    /// Asks soon where the refs of this project stand.
    pub fn pushed(&self, project: &ProjectName) {
        if self.asks.send(Ask::Pushed(project.clone())).is_err() {
            tracing::debug!(project = %project, "the background has ended");
        }
    }
}
