//! Why Git work failed. No variant ever holds a credential: URLs are [`RemoteUrl`](crate::git::RemoteUrl)s or plain
//! hosts, and what a server said is cut short and stripped of control characters before it gets here.

use std::time::Duration;

use crate::secret::mask::Mask;

/// Why a remote could not be asked, a commit not be fetched, or a path not be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The operator's settings do not allow this URL.
    #[error("{url}: {rule}")]
    NotAllowed {
        /// The URL.
        url: String,
        /// The rule that forbids it, and what to do.
        rule: String,
    },
    /// No connection, or it broke.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The remote did not answer in time.
    #[error("{url} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The URL.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The remote wants credentials, or refused those it got.
    #[error(
        "{url} refused access ({reason}); check the project's auth reference, and that it may read this repository"
    )]
    Authentication {
        /// The URL.
        url: String,
        /// What the remote said.
        reason: String,
    },
    /// There is no repository there (or the credentials may not see it).
    #[error("{url}: no repository is there, or the project's credentials may not see it")]
    NoRepository {
        /// The URL.
        url: String,
    },
    /// The server answered with an error.
    #[error("{url} answered with an error: {reason}")]
    Server {
        /// The URL.
        url: String,
        /// What it said.
        reason: String,
        /// Whether the same request may succeed later.
        transient: bool,
    },
    /// The server redirects to where the operator did not point.
    #[error("{url} redirects to {to}, which is refused ({rule}): if that is right, set the project's URL to it")]
    Redirect {
        /// The URL.
        url: String,
        /// Scheme, host and port of the target, nothing else.
        to: String,
        /// Why it is refused.
        rule: &'static str,
    },
    /// The answer is not Git's protocol.
    #[error("{url} does not speak Git's protocol: {reason}")]
    Protocol {
        /// The URL.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// Something is larger than its bound.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The bound, in bytes (or entries where `what` says so).
        limit: u64,
    },
    /// The remote has no such commit, or will not give it.
    #[error("{url} does not have commit {commit}, or does not give it out: {reason}")]
    NoCommit {
        /// The URL.
        url: String,
        /// The commit.
        commit: String,
        /// What the remote said.
        reason: String,
    },
    /// The path may not be read.
    #[error("`{path}` {rule}")]
    Path {
        /// The path within the repository.
        path: String,
        /// The rule it breaks.
        rule: PathRule,
    },
    /// The commit was never fetched, or the mirror lost it: fetch it.
    #[error("{object} is not in the mirror of {url}; it is fetched again with the next read")]
    NotFetched {
        /// The URL.
        url: String,
        /// The object.
        object: String,
    },
    /// The mirror is damaged; the next fetch builds it anew.
    #[error("the mirror of {url} is damaged and is built anew with the next read: {reason}")]
    Damaged {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation failed.
    #[error("{what}: {source}")]
    Disk {
        /// What was being done, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A local repository cannot be opened or read.
    #[error("the repository at {path} cannot be read: {reason}")]
    Local {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The credential does not fit the URL.
    #[error("{url}: {rule}")]
    Credential {
        /// The URL.
        url: String,
        /// What does not fit, and what to do.
        rule: &'static str,
    },
    /// A local repository cannot be watched; polling still notices changes.
    #[error("{path} cannot be watched: {reason}")]
    Watch {
        /// The path.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A blocking task ended without a result.
    #[error("reading Git data broke off: {0}")]
    BrokeOff(String),
}

/// The rule that a refused path breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRule {
    /// Not relative, or with an empty, `.` or `..` component.
    #[error("is not a plain relative path within the repository")]
    Unsafe,
    /// A symbolic link is there, or on the way there.
    #[error("is, or leads through, a symbolic link, which is not followed: name the file itself")]
    Symlink,
    /// A submodule is there, or on the way there.
    #[error("is, or leads into, a submodule, which is not read: keep the file in this repository")]
    Submodule,
    /// A folder is there.
    #[error("is a folder, where a file was expected")]
    Folder,
    /// A symbolic link points out of the checkout.
    #[error("is a symbolic link that leaves the repository: make it relative, and to something within")]
    SymlinkLeaves,
    /// The file is a Git LFS pointer, its content is elsewhere.
    #[error("is a Git LFS pointer, and LFS content is not fetched: commit the file itself")]
    LfsPointer,
    /// The tree names two entries alike, or one that Git itself would refuse.
    #[error("is a name that a checkout refuses (`.git`, a separator, or given twice)")]
    BadName,
}

impl GitError {
    /// Whether the same request may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            GitError::Unreachable { .. }
            | GitError::Timeout { .. }
            | GitError::Protocol { .. }
            | GitError::NotFetched { .. }
            | GitError::Damaged { .. }
            | GitError::Disk { .. }
            | GitError::Watch { .. }
            | GitError::BrokeOff(_) => true,
            GitError::Server { transient, .. } => *transient,
            GitError::NotAllowed { .. }
            | GitError::Authentication { .. }
            | GitError::NoRepository { .. }
            | GitError::Redirect { .. }
            | GitError::TooLarge { .. }
            | GitError::NoCommit { .. }
            | GitError::Path { .. }
            | GitError::Local { .. }
            | GitError::Credential { .. } => false,
        }
    }

    /// The same error with secrets taken out of whatever a remote or the system said.
    pub(crate) fn without(mut self, mask: &Mask) -> Self {
        match &mut self {
            GitError::Unreachable { reason, .. }
            | GitError::Authentication { reason, .. }
            | GitError::Server { reason, .. }
            | GitError::Protocol { reason, .. }
            | GitError::NoCommit { reason, .. }
            | GitError::Damaged { reason, .. }
            | GitError::Local { reason, .. }
            | GitError::Watch { reason, .. }
            | GitError::BrokeOff(reason) => *reason = mask.apply(reason),
            GitError::Redirect { to, .. } => *to = mask.apply(to),
            GitError::NotAllowed { .. }
            | GitError::Timeout { .. }
            | GitError::NoRepository { .. }
            | GitError::TooLarge { .. }
            | GitError::Path { .. }
            | GitError::NotFetched { .. }
            | GitError::Disk { .. }
            | GitError::Credential { .. } => {}
        }
        self
    }

    pub(crate) fn disk(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> GitError {
        let what = what.into();
        move |source| GitError::Disk { what, source }
    }
}

/// What a remote said, fit for a message: at most 300 characters, without control characters.
pub(crate) fn quoted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut quoted: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if text.trim().chars().count() > 300 {
        quoted.push('…');
    }
    quoted
}
