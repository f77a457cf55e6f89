//! Reading Git: ask a remote where a ref stands, fetch what moved into a bare mirror, read a file at a commit.
//!
//! Knows nothing of what the files mean, of projects or of the store. Nothing here changes a remote, ever.
//!
//! One small client of Git's own protocol serves http(s) and ssh: so every byte and every wait is bounded, a
//! conversation dies with its deadline, and a poll is one request. Repositories of this machine are read in place. gix
//! keeps the objects, packs and history.
//!
//! Credentials go into one request header or one private file descriptor, and nowhere else.

mod advertisement;
mod checkout;
mod conversation;
mod error;
mod host_limits;
mod http;
mod local;
mod merge;
mod mirror;
mod pack;
mod packets;
mod read;
mod receive;
mod ref_choice;
mod remote;
pub mod sample;
mod ssh;
mod url;
mod version;
mod watch;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use error::{GitError, PathRule};
pub use host_limits::{Backoff, HostLimits, PER_HOST};
pub use merge::{Merge, MergeKind, Merged};
pub use remote::RemoteError;
pub use url::{InvalidUrl, Place, RemoteUrl, SshPlace};
pub use watch::Watch;

use crate::git::advertisement::RemoteRef;
use crate::git::ref_choice::Asked;
use crate::git::version::Version;
use crate::git::work::Work;
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
    /// The largest object that a pack may hold, in bytes: one is held in memory as a whole.
    pub max_object_bytes: u64,
    /// How many requests one host gets at once.
    pub max_per_host: usize,
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
    /// The defaults: 256 KiB a file, 4 GiB a mirror, 256 MiB an object, 30 s to answer, 15 min a fetch, unknown ssh hosts refused.
    pub fn new(mirrors: PathBuf) -> Self {
        GitSettings {
            mirrors,
            allowed_hosts: Vec::new(),
            max_blob: 256 * 1024,
            max_mirror_bytes: 4 * 1024 * 1024 * 1024,
            max_object_bytes: 256 << 20,
            max_per_host: PER_HOST,
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

/// Git, ready to use; cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    work: Arc<Work>,
}

impl Git {
    /// Takes the settings; touches neither disk nor network yet.
    pub fn new(settings: GitSettings) -> Self {
        Git { work: Arc::new(Work::new(settings)) }
    }

    /// What this was made with.
    pub fn settings(&self) -> &GitSettings {
        self.work.settings()
    }

    /// Whether the settings allow this URL, without asking anyone.
    ///
    /// # Errors
    /// [`GitError::NotAllowed`], with the rule.
    pub fn check_url(&self, url: &RemoteUrl) -> Result<(), GitError> {
        match url.place() {
            Place::Http(url) => http::check_scheme(self.settings(), url),
            Place::Ssh(_) | Place::Local(_) => Ok(()),
        }
    }

    /// Asks the remote where a branch, tag, full ref (`refs/pull/7/head`), `HEAD` or commit id stands, or, for a glob
    /// (`v1.*`, over tags), the highest version among those that match. `None`: it has no such ref.
    ///
    /// A commit id is taken as it is; whether the remote has it shows when it is fetched. An abbreviated one is looked
    /// up in the mirror, where no ref has its name.
    ///
    /// # Errors
    /// The remote cannot be asked, or answers with what is no answer.
    pub async fn resolve_ref(&self, remote: &Remote, reference: &str) -> Result<Option<ResolvedRef>, GitError> {
        let asked = Asked::parse(reference);
        match &asked {
            Asked::Nothing => return Ok(None),
            Asked::Commit(id) => return commit_itself(remote, id).map(Some),
            Asked::Names(_) | Asked::Glob { .. } => {}
        }
        let refs = self.work.list(remote, &asked).await?;
        if let Some(chosen) = asked.choose(&refs) {
            return resolved(remote, chosen).map(Some);
        }
        let digits = reference.trim().to_ascii_lowercase();
        if !(7..40).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let found = self.work.read(remote, move |mirror, _| read::abbreviated(mirror, &digits)).await?;
        found.map(|id| commit_itself(remote, &id)).transpose()
    }

    /// Where every ref stands whose full name matches a glob (`refs/pull/*/head`), by name.
    ///
    /// # Errors
    /// The remote cannot be asked, or answers with what is no answer.
    pub async fn refs(&self, remote: &Remote, glob: &str) -> Result<BTreeMap<String, CommitSha>, GitError> {
        let found = self.work.list(remote, &Asked::parse(glob)).await?;
        found.iter().map(|entry| Ok((entry.name.clone(), commit_id(remote, &entry.object)?))).collect()
    }

    /// Brings a commit with its whole history into the mirror; asks nothing where it is there.
    ///
    /// # Errors
    /// The remote cannot be asked, will not give the commit, or it outgrows the mirror.
    pub async fn fetch(&self, remote: &Remote, resolved: &ResolvedRef) -> Result<(), GitError> {
        self.work.fetch(remote, resolved).await
    }

    /// A file's bytes at a commit, read as a blob. `None`: the commit has no such path.
    ///
    /// # Errors
    /// The commit was not fetched; the path is unsafe, or leads to or through a symbolic link or submodule, is a folder,
    /// or is larger than the limit.
    pub async fn read_file(
        &self,
        remote: &Remote,
        commit: &CommitSha,
        path: &str,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let (commit, path, limit) = (commit.clone(), path.to_owned(), self.settings().max_blob);
        self.work.read(remote, move |mirror, _| read::file(mirror, commit.as_str(), &path, limit)).await
    }

    /// Every file, symbolic link and submodule of a commit, by path.
    ///
    /// # Errors
    /// The commit was not fetched, or its tree has more entries than the limit.
    pub async fn tree(&self, remote: &Remote, commit: &CommitSha) -> Result<Vec<TreeEntry>, GitError> {
        let commit = commit.clone();
        self.work.read(remote, move |mirror, _| read::tree(mirror, commit.as_str())).await
    }

    /// Writes a commit's files to a directory that is missing or empty, beside which it needs room; it is complete or not there.
    ///
    /// # Errors
    /// The commit was not fetched; a symbolic link leaves the root; a submodule or LFS pointer is among the files.
    pub async fn checkout(&self, remote: &Remote, commit: &CommitSha, into: &Path) -> Result<(), GitError> {
        let (commit, into) = (commit.clone(), into.to_owned());
        self.work
            .read(remote, move |mirror, interrupt| checkout::checkout(mirror, commit.as_str(), &into, interrupt))
            .await
    }

    /// Whether `commit` is `from` or one of its ancestors.
    ///
    /// # Errors
    /// `from` was not fetched.
    pub async fn is_reachable(&self, remote: &Remote, commit: &CommitSha, from: &CommitSha) -> Result<bool, GitError> {
        let (commit, from) = (commit.clone(), from.clone());
        self.work.read(remote, move |mirror, _| read::is_ancestor(mirror, commit.as_str(), from.as_str())).await
    }

    /// What merging `head` into `tip` would hold: every file, and the content of the one at `path`. Computed in memory;
    /// neither the mirror nor any remote changes.
    ///
    /// # Errors
    /// Either commit was not fetched, or its tree is larger than the limits. What is wrong with `path` alone is within.
    pub async fn merge(
        &self,
        remote: &Remote,
        tip: &CommitSha,
        head: &CommitSha,
        path: &str,
    ) -> Result<Merge, GitError> {
        let (tip, head, path, limit) = (tip.clone(), head.clone(), path.to_owned(), self.settings().max_blob);
        self.work.read(remote, move |mirror, _| merge::merge(mirror, tip.as_str(), head.as_str(), &path, limit)).await
    }

    /// A commit's first parent: for a merge commit, what was merged into. `None`: it has none, or a shallow remote's
    /// history ends there.
    ///
    /// # Errors
    /// The commit was not fetched.
    pub async fn first_parent(&self, remote: &Remote, commit: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        let asked = commit.clone();
        let parent = self.work.read(remote, move |mirror, _| read::first_parent(mirror, asked.as_str())).await?;
        parent.map(|id| commit_id(remote, &id)).transpose()
    }

    /// Whether a branch of the remote stands at this commit: then it is the repository's own, not a fork's.
    ///
    /// # Errors
    /// The remote cannot be asked.
    pub async fn is_branch(&self, remote: &Remote, commit: &CommitSha) -> Result<bool, GitError> {
        let refs = self.work.list(remote, &Asked::parse("refs/heads/**")).await?;
        Ok(refs.iter().any(|entry| entry.object == commit.as_str()))
    }

    /// The commit's SemVer tag as written (`v1.2.3`), the highest where there are several.
    ///
    /// # Errors
    /// The remote cannot be asked.
    pub async fn version_tag(&self, remote: &Remote, commit: &CommitSha) -> Result<Option<String>, GitError> {
        let refs = self.work.list(remote, &Asked::parse("*")).await?;
        let highest = refs
            .iter()
            .filter(|entry| entry.peeled.as_ref().unwrap_or(&entry.object) == commit.as_str())
            .filter_map(|entry| Some((Version::of_ref(&entry.name)?, entry.name.strip_prefix("refs/tags/")?)))
            .max();
        Ok(highest.map(|(_, name)| name.to_owned()))
    }

    /// Watches a local repository's refs.
    ///
    /// # Errors
    /// The URL is not local, nothing is there, or the system has no watch left (polling still notices changes).
    pub fn watch(&self, remote: &Remote) -> Result<Watch, GitError> {
        match remote.url.local_path() {
            Some(path) => self.work.watch(path),
            None => Err(GitError::Watch {
                path: remote.url.to_string(),
                reason: "only repositories of this machine are watched; others are polled".into(),
            }),
        }
    }

    /// Removes the mirrors of all remotes but these.
    ///
    /// # Errors
    /// The directory cannot be read, or a mirror not be removed.
    pub async fn keep_only(&self, remotes: &[Remote]) -> Result<(), GitError> {
        self.work.keep_only(remotes).await
    }
}

fn commit_id(remote: &Remote, text: &str) -> Result<CommitSha, GitError> {
    text.parse().map_err(|_| GitError::Protocol {
        url: remote.url.to_string(),
        reason: format!("`{}` is no object id", error::quoted(text.as_bytes())),
    })
}

fn commit_itself(remote: &Remote, id: &str) -> Result<ResolvedRef, GitError> {
    let commit = commit_id(remote, id)?;
    Ok(ResolvedRef { full_name: id.to_owned(), object: commit.clone(), commit })
}

fn resolved(remote: &Remote, chosen: &RemoteRef) -> Result<ResolvedRef, GitError> {
    let object = commit_id(remote, &chosen.object)?;
    let commit = match &chosen.peeled {
        Some(peeled) => commit_id(remote, peeled)?,
        None => object.clone(),
    };
    Ok(ResolvedRef { full_name: chosen.symref.clone().unwrap_or_else(|| chosen.name.clone()), commit, object })
}

/// The first sixteen bytes of a SHA-256, in hexadecimal: a name for a folder or ref.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
