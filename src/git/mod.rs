//! Reading Git: ask a remote where a ref stands, fetch what moved into a bare mirror, read a file at a commit.
//!
//! Knows nothing of what the files mean, of projects or of the store. Nothing here changes a remote, ever.
//! Credentials go into one request header or one private file descriptor, and nowhere else.

mod error;
mod host_limits;
mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use error::{GitError, PathRule};
pub use host_limits::{Backoff, HostLimits, PER_HOST};
pub use url::{InvalidUrl, Place, RemoteUrl, SshPlace};

use crate::ids::CommitSha;

/// What operators set.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// The directory of the mirrors; created where it is missing.
    pub mirrors: PathBuf,
    /// Hosts that plain `http://` may go to, besides loopback.
    pub allowed_hosts: Vec<String>,
    /// The largest file that [`Git::read_file`] reads, in bytes.
    pub max_blob: u64,
    /// The largest mirror, and the most that one fetch receives, in bytes.
    pub max_mirror_bytes: u64,
    /// How long a remote may take to answer, and to stay silent amid an answer.
    pub timeout: Duration,
    /// How long one fetch may take altogether.
    pub fetch_timeout: Duration,
    /// The known_hosts file for `ssh://`; `None` is ssh's own.
    pub known_hosts: Option<PathBuf>,
    /// Whether `ssh://` takes the key of a host it never met (and remembers it). Off: such a host is refused.
    pub accept_new_hosts: bool,
}

impl GitSettings {
    /// The defaults: 256 KiB a file, 4 GiB a mirror, 30 s to answer, 15 min a fetch, unknown ssh hosts refused.
    pub fn new(mirrors: PathBuf) -> Self {
        GitSettings {
            mirrors,
            allowed_hosts: Vec::new(),
            max_blob: 256 * 1024,
            max_mirror_bytes: 4 * 1024 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(15 * 60),
            known_hosts: None,
            accept_new_hosts: false,
        }
    }
}

/// A repository and what opens it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it is.
    pub url: RemoteUrl,
    /// What opens it; `None` for a public one.
    pub credential: Option<Credential>,
}

/// What opens a repository.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Tells credentials apart without their value (the auth reference): mirrors are shared per URL and this.
    pub id: String,
    /// The user name; `None` is a name that forges take with a token.
    pub username: Option<String>,
    /// The token or password; for `ssh://` a private key in OpenSSH's or PEM form.
    pub secret: SecretString,
}

/// Where a ref stood when its remote was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRef {
    /// The full name (`refs/heads/main`), or the commit itself where one was asked for.
    pub full_name: String,
    /// The commit, behind annotated tags.
    pub commit: CommitSha,
    /// What the ref itself names: the tag's object for annotated tags, else the commit.
    pub object: CommitSha,
}

/// A file of a commit's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the repository's root.
    pub path: String,
    /// Git's mode: `0o100644`, `0o100755`, `0o120000` (symbolic link) or `0o160000` (submodule).
    pub mode: u32,
    /// The object's id.
    pub blob: String,
}

/// A watch on a local repository's refs; ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    moved: Arc<tokio::sync::Notify>,
}

impl Watch {
    /// Waits until a ref may have moved since the last call.
    pub async fn next(&mut self) {
        self.moved.notified().await;
    }
}

/// Git, ready to use; cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    settings: Arc<GitSettings>,
}

impl Git {
    /// Takes the settings; touches neither disk nor network yet.
    pub fn new(settings: GitSettings) -> Self {
        Git { settings: Arc::new(settings) }
    }

    /// Asks the remote where a branch, tag, full ref (`refs/pull/7/head`), `HEAD` or commit id stands. `None`: it has no such ref.
    ///
    /// # Errors
    /// The remote cannot be asked, or answers with what is no answer.
    pub async fn resolve_ref(&self, _remote: &Remote, _reference: &str) -> Result<Option<ResolvedRef>, GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// Brings a commit with its history into the mirror; asks nothing where it is there.
    ///
    /// # Errors
    /// The remote cannot be asked, will not give the commit, or it outgrows the mirror.
    pub async fn fetch(&self, _remote: &Remote, _resolved: &ResolvedRef) -> Result<(), GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// A file's bytes at a commit, read as a blob. `None`: the commit has no such path.
    ///
    /// # Errors
    /// The commit was not fetched; the path is unsafe, or leads to or through a symbolic link or submodule, is a folder,
    /// or is larger than the limit.
    pub async fn read_file(
        &self,
        _remote: &Remote,
        _commit: &CommitSha,
        _path: &str,
    ) -> Result<Option<Vec<u8>>, GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// Every file, symbolic link and submodule of a commit, by path.
    ///
    /// # Errors
    /// The commit was not fetched, or its tree has more entries than the limit.
    pub async fn tree(&self, _remote: &Remote, _commit: &CommitSha) -> Result<Vec<TreeEntry>, GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// Writes a commit's files to a directory that is missing or empty; it is complete or not there.
    ///
    /// # Errors
    /// The commit was not fetched; a symbolic link leaves the root; a submodule or LFS pointer is among the files.
    pub async fn checkout(&self, _remote: &Remote, _commit: &CommitSha, _into: &Path) -> Result<(), GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// Whether `commit` is `from` or one of its ancestors.
    ///
    /// # Errors
    /// Either was not fetched.
    pub async fn is_reachable(
        &self,
        _remote: &Remote,
        _commit: &CommitSha,
        _from: &CommitSha,
    ) -> Result<bool, GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// The commit's SemVer tag as written (`v1.2.3`), the highest where there are several.
    ///
    /// # Errors
    /// The remote cannot be asked.
    pub async fn version_tag(&self, _remote: &Remote, _commit: &CommitSha) -> Result<Option<String>, GitError> {
        Err(GitError::BrokeOff("not built".into()))
    }

    /// Watches a local repository's refs; must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The URL is not local, nothing is there, or the system has no watch left (polling still notices changes).
    pub fn watch(&self, remote: &Remote) -> Result<Watch, GitError> {
        Err(GitError::Watch { path: remote.url.to_string(), reason: "not built".into() })
    }

    /// What this was made with.
    pub fn settings(&self) -> &GitSettings {
        &self.settings
    }
}
