//! The jobs of the background: asking where a ref stands, looking at what runs, probing, and listening.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc::UnboundedSender;

use crate::daemon::background::{Ask, Tools};
use crate::daemon::places::{Place, PlaceKey};
use crate::git::{GitError, Remote, RemoteUrl};
use crate::ids::{CommitSha, EnvironmentRef};
use crate::pass::PassError;

/// Time before a lost stream of events, or a watch that could not be set, is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(15);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// Ask where a ref stands.
    Poll(PlaceKey),
    /// Look at what runs, and plan.
    Look(EnvironmentRef),
    /// Probe what was deployed.
    Probe(EnvironmentRef),
}

/// What came of one.
#[derive(Debug)]
pub(crate) enum Done {
    /// Where a ref stands, or why that is not known.
    Polled(PlaceKey, Result<CommitSha, String>),
    /// How a look went; `read` where it read the repository too.
    Looked { id: EnvironmentRef, read: bool, result: Result<(), Failure> },
    /// When the next probe is due; `None` where nothing is probed.
    Probed(Option<Duration>),
}

/// Why a look came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The project or the environment is not there any more.
    Gone,
    /// The operator switched the project off.
    Disabled,
    /// Nothing was ever read that could be recalled.
    NeverRead,
    /// The file is not valid, and stays so until the ref moves.
    Invalid(String),
    /// The repository could not be read; it is worth asking again.
    Unread(String),
    /// Something else, which the next look may find mended.
    Other(String),
}

impl Failure {
    fn of(error: &PassError) -> Self {
        match error {
            PassError::NoProject(_) | PassError::NoEnvironment(_) => Failure::Gone,
            PassError::Disabled(_) => Failure::Disabled,
            PassError::Git(git) if is_unread(git) => Failure::Unread(error.to_string()),
            PassError::Remote(_) | PassError::NoRef { .. } => Failure::Unread(error.to_string()),
            PassError::Git(_) | PassError::Invalid(..) => Failure::Invalid(error.to_string()),
            PassError::Provider { .. }
            | PassError::NoRelease(_)
            | PassError::NoLeaf(_)
            | PassError::OtherCode(_)
            | PassError::Secret(_)
            | PassError::Store(_) => Failure::Other(error.to_string()),
        }
    }
}

/// Whether an error is about reaching the repository. A path that is refused, or a file that is too large, is an answer:
/// it stays until the ref moves.
fn is_unread(error: &GitError) -> bool {
    !matches!(error, GitError::Path { .. } | GitError::TooLarge { .. })
}

/// Asks where a place's ref stands, and notes it where that is all there is to do.
pub(crate) async fn poll(tools: Arc<Tools>, key: PlaceKey, place: Place) -> Done {
    let asked = match ask(&tools, &key, &place).await {
        Ok(commit) => {
            if place.tip.as_ref() == Some(&commit) {
                place.environments.iter().for_each(|id| tools.passes.note_unmoved(id));
            }
            Ok(commit)
        }
        Err(why) => {
            for id in &place.environments {
                if let Err(error) = tools.passes.note_unasked(id, &why).await {
                    tracing::warn!(environment = %id, %error, "a failed read could not be noted");
                }
            }
            Err(why)
        }
    };
    Done::Polled(key, asked)
}

async fn ask(tools: &Tools, key: &PlaceKey, place: &Place) -> Result<CommitSha, String> {
    let remote = tools.passes.remote(&place.project, "trueup").await.map_err(|error| error.to_string())?;
    let resolved = tools.git.resolve_ref(&remote, &key.reference).await.map_err(|error| error.to_string())?;
    let missing = || {
        let (reference, project) = (key.reference.clone(), place.project.name.clone());
        PassError::NoRef { project, reference }.to_string()
    };
    resolved.map(|resolved| resolved.commit).ok_or_else(missing)
}

/// Looks at an environment: with its repository where `read` says so, else at what runs only.
pub(crate) async fn look(tools: Arc<Tools>, id: EnvironmentRef, read: Read) -> Done {
    let plan = match read {
        Read::Fresh => tools.passes.refresh(&id).await.map(Some),
        Read::Remembered => tools.passes.observe(&id).await.map(Some),
        Read::Recalled => tools.passes.recall(&id).await,
    };
    let result = match plan {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::NeverRead),
        Err(error) => Err(Failure::of(&error)),
    };
    Done::Looked { id, read: read == Read::Fresh, result }
}

/// Which reading of the file a look rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A new one.
    Fresh,
    /// The one that this process made last.
    Remembered,
    /// The one that an earlier process made last: the repository cannot be asked.
    Recalled,
}

/// Probes an environment once.
pub(crate) async fn probe(tools: Arc<Tools>, id: EnvironmentRef) -> Done {
    match tools.monitor.round(&id).await {
        Ok(next) => Done::Probed(next),
        Err(error) => {
            tracing::debug!(environment = %id, %error, "probing came to nothing");
            Done::Probed(None)
        }
    }
}

/// Tells of every change that the environment's provider hears of, until it is aborted.
pub(crate) async fn listen(tools: Arc<Tools>, id: EnvironmentRef, asks: UnboundedSender<Ask>) {
    loop {
        match tools.passes.provider(&id).await {
            Ok(provider) => {
                // A provider that cannot tell is asked at the interval, and again here once its settings were changed.
                let Some(mut changes) = provider.changes() else { return };
                drop(provider);
                while let Some(change) = changes.next().await {
                    match change {
                        Ok(()) => tell(&asks, Ask::Changed(id.clone())),
                        Err(why) => tracing::debug!(environment = %id, why, "events are lost, and listened for again"),
                    }
                }
            }
            Err(error) => tracing::debug!(environment = %id, %error, "there is nothing to listen to"),
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
        tell(&asks, Ask::Changed(id.clone()));
    }
}

/// Tells of every move of a local repository's refs, until it is aborted.
pub(crate) async fn watch(tools: Arc<Tools>, url: RemoteUrl, key: PlaceKey, asks: UnboundedSender<Ask>) {
    let remote = Remote { url, credential: None };
    loop {
        match tools.git.watch(&remote) {
            Ok(mut watch) => {
                tell(&asks, Ask::Moved(key.clone()));
                loop {
                    watch.next().await;
                    tell(&asks, Ask::Moved(key.clone()));
                }
            }
            Err(error) => tracing::debug!(%error, "a local repository is polled, as it cannot be watched yet"),
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

fn tell(asks: &UnboundedSender<Ask>, ask: Ask) {
    if asks.send(ask).is_err() {
        tracing::trace!("the background has ended");
    }
}
