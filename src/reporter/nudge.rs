//! What is to be read again on a forge.

use tokio::sync::oneshot;

use crate::ids::ProjectName;

/// Something on a forge that is to be read again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nudge {
    /// A pull request was opened, moved, closed or changed.
    PullRequest {
        /// The project whose repository it is in.
        project: ProjectName,
        /// Its number.
        number: u64,
    },
    /// Someone wrote what may be a command.
    Comment {
        /// The project whose repository it is in.
        project: ProjectName,
        /// The pull request's number.
        number: u64,
        /// The comment's id at the forge; a command runs once per id.
        comment_id: u64,
    },
    /// Someone asks for the checks of the repository's commits again.
    Checks {
        /// The project whose repository it is.
        project: ProjectName,
    },
}

/// A nudge on its way. Its delivery counts as taken in only once `taken` was sent to, or dropped: whoever acts on it
/// writes down first that it has to.
#[derive(Debug)]
pub struct Nudged {
    /// What is to be read again.
    pub nudge: Nudge,
    /// Says that it was written down.
    pub taken: oneshot::Sender<()>,
}
