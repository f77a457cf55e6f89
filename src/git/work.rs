//! The work behind [`Git`](crate::git::Git): who may ask and write when, on which thread, and for how long.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::RwLock;

use crate::git::advertisement::{Advertisement, RemoteRef};
use crate::git::conversation::Conversation;
use crate::git::error::GitError;
use crate::git::http::HttpPool;
use crate::git::local;
use crate::git::mirror::{Mirror, MirrorLock};
use crate::git::receive::{Want, receive};
use crate::git::ref_choice::Asked;
use crate::git::ssh::SshSession;
use crate::git::watch::{Shared, Watch};
use crate::git::{GitSettings, HostLimits, Place, Remote, ResolvedRef, short_hash};

/// Shared by all clones of one [`Git`](crate::git::Git).
#[derive(Debug)]
pub(crate) struct Work {
    settings: GitSettings,
    http: HttpPool,
    limits: HostLimits,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    watches: Arc<Shared>,
}

/// Who may do what with one mirror at the moment.
#[derive(Debug, Default)]
struct Gate {
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
    /// Held for reading by readers, for writing by whoever removes files.
    files: Arc<RwLock<()>>,
}

/// Tells blocking work to stop when the one who waits for it is gone.
struct Interrupt(Arc<AtomicBool>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Work {
    pub(crate) fn new(settings: GitSettings) -> Self {
        Work {
            http: HttpPool::default(),
            limits: HostLimits::new(settings.max_per_host),
            settings,
            gates: Mutex::default(),
            watches: Arc::default(),
        }
    }

    pub(crate) fn settings(&self) -> &GitSettings {
        &self.settings
    }

    pub(crate) fn watch(&self, path: &Path) -> Result<Watch, GitError> {
        self.watches.watch(path)
    }

    /// The refs of a remote that were asked for.
    pub(crate) async fn list(&self, remote: &Remote, asked: &Asked) -> Result<Vec<RemoteRef>, GitError> {
        let _turn = self.limits.enter(remote.url.host()).await;
        within(remote, self.settings.timeout, async {
            if let Place::Local(path) = remote.url.place() {
                let (path, asked) = (path.clone(), asked.clone());
                return blocking(move |_| local::list(&path, &asked)).await;
            }
            let key = key(remote);
            match self.list_remote(remote, asked, &key).await {
                // What was remembered of the server may not hold any more: forget it and ask again, once.
                Err(GitError::Protocol { .. }) if self.http.forget(&key) => self.list_remote(remote, asked, &key).await,
                result => result,
            }
        })
        .await
    }

    async fn list_remote(&self, remote: &Remote, asked: &Asked, key: &str) -> Result<Vec<RemoteRef>, GitError> {
        let (mut conversation, advertisement) = self.converse(remote, key).await?;
        let url = remote.url.as_str();
        let listed = conversation.list(advertisement, url, &asked.prefixes(), |name| asked.accepts(name)).await;
        conversation.settle(listed).await
    }

    async fn converse<'a>(
        &'a self,
        remote: &'a Remote,
        key: &'a str,
    ) -> Result<(Conversation<'a>, Advertisement), GitError> {
        match remote.url.place() {
            Place::Http(url) => Conversation::http(self.http.place(&self.settings, remote, url, key)).await,
            Place::Ssh(place) => {
                let session = SshSession::start(&self.settings, remote, place)?;
                Conversation::ssh(session, remote.url.as_str()).await
            }
            Place::Local(_) => Err(GitError::BrokeOff("local repositories are read in place".into())),
        }
    }

    /// Reads a mirror on a blocking thread. A mirror that proves damaged is marked, so that the next fetch mends it.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        remote: &Remote,
        read: impl FnOnce(&Mirror, &AtomicBool) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let key = key(remote);
        let reading = self.gate(&key).files.clone().read_owned().await;
        let mirror = self.mirror(remote, &key);
        within(
            remote,
            self.settings.fetch_timeout,
            blocking(move |interrupt| {
                let _reading = reading;
                let result = read(&mirror, interrupt);
                if let Err(GitError::Damaged { reason, .. }) = &result {
                    tracing::warn!(
                        url = mirror.url,
                        reason,
                        "a mirror is damaged; it is built anew with the next fetch"
                    );
                    mirror.mark_damaged()?;
                }
                result
            }),
        )
        .await
    }

    pub(crate) async fn fetch(&self, remote: &Remote, resolved: &ResolvedRef) -> Result<(), GitError> {
        let key = key(remote);
        let mirror = self.mirror(remote, &key);
        let commit = resolved.commit.clone();
        let held = move |mirror: &Mirror, _: &AtomicBool| mirror.has(commit.as_str());
        if self.read(remote, held.clone()).await? {
            return Ok(());
        }
        let gate = self.gate(&key);
        let _alone = gate.fetching.lock().await;
        // Another project may have waited for the same commit, and have it now.
        if self.read(remote, held).await? {
            return Ok(());
        }
        let _turn = self.limits.enter(remote.url.host()).await;
        within(remote, self.settings.fetch_timeout, self.fetch_alone(remote, resolved, &key, &gate, mirror)).await
    }

    async fn fetch_alone(
        &self,
        remote: &Remote,
        resolved: &ResolvedRef,
        key: &str,
        gate: &Gate,
        mirror: Mirror,
    ) -> Result<(), GitError> {
        let mirror = Arc::new(mirror);
        let mut fresh = self.prepare(gate, &mirror, false).await?;
        loop {
            let lock = self.receive(remote, resolved, key, &mirror).await?;
            let (measured, own) = (mirror.clone(), lock.clone());
            let (size, scattered) = blocking(move |_| {
                let _own = own;
                Ok((measured.size()?, measured.is_scattered()?))
            })
            .await?;
            if size > mirror.limit {
                drop(lock);
                let limit = mirror.limit;
                let was_fresh = fresh;
                fresh = self.prepare(gate, &mirror, true).await?;
                if was_fresh {
                    return Err(GitError::TooLarge { what: format!("the mirror of {}", mirror.url), limit });
                }
                // What it held beside this commit's history made it too large: once more from nothing.
                continue;
            }
            if scattered {
                let writing = gate.files.clone().write_owned().await;
                let mirror = mirror.clone();
                blocking(move |interrupt| {
                    let _writing = writing;
                    mirror.join_packs(&lock, interrupt)
                })
                .await?;
            }
            return Ok(());
        }
    }

    /// Makes the mirror ready, from nothing where it is damaged or `anew`; returns whether it is empty.
    async fn prepare(&self, gate: &Gate, mirror: &Arc<Mirror>, anew: bool) -> Result<bool, GitError> {
        let writing = gate.files.clone().write_owned().await;
        let mirror = mirror.clone();
        blocking(move |_| {
            let _writing = writing;
            let lock = mirror.lock()?;
            if anew {
                mirror.clear()?;
            }
            mirror.prepare(&lock)
        })
        .await
    }

    async fn receive(
        &self,
        remote: &Remote,
        resolved: &ResolvedRef,
        key: &str,
        mirror: &Arc<Mirror>,
    ) -> Result<Arc<MirrorLock>, GitError> {
        let waiting = mirror.clone();
        let lock = Arc::new(blocking(move |_| waiting.lock()).await?);
        let (commit, name) = (resolved.commit.clone(), resolved.full_name.clone());
        if let Place::Local(path) = remote.url.place() {
            let (path, mirror, own) = (path.clone(), mirror.clone(), lock.clone());
            blocking(move |interrupt| {
                let shallow = local::transfer(&path, &mirror, commit.as_str(), &own, interrupt)?;
                mirror.record(&name, &commit, &shallow, &own)
            })
            .await?;
            return Ok(lock);
        }
        let known = mirror.clone();
        let (haves, incoming) = blocking(move |_| Ok((known.haves()?, known.incoming()?))).await?;
        let want = Want {
            url: remote.url.as_str(),
            commit: resolved.commit.as_str(),
            object: resolved.object.as_str(),
            haves: &haves,
            limit: mirror.limit,
        };
        let (mut conversation, advertisement) = self.converse(remote, key).await?;
        let file = incoming.as_file().try_clone().map_err(GitError::disk("opening a received pack"))?;
        let mut file = tokio::fs::File::from_std(file);
        let received = receive(&mut conversation, &advertisement, &want, &mut file).await;
        let shallow = conversation.settle(received).await?;
        let (mirror, own) = (mirror.clone(), lock.clone());
        blocking(move |interrupt| {
            mirror.keep(incoming.path(), &own, interrupt)?;
            mirror.record(&name, &commit, &shallow, &own)
        })
        .await?;
        Ok(lock)
    }

    /// Removes the mirrors of all remotes but these.
    pub(crate) async fn keep_only(&self, remotes: &[Remote]) -> Result<(), GitError> {
        let keep: HashSet<String> = remotes.iter().map(key).collect();
        let directory = self.settings.mirrors.clone();
        let GitSettings { max_mirror_bytes: limit, max_object_bytes: object, .. } = self.settings;
        let kept = keep.clone();
        let removed = blocking(move |_| {
            let mut removed = Vec::new();
            let failed = || GitError::disk(format!("listing the mirrors in {}", directory.display()));
            if !directory.exists() {
                return Ok(removed);
            }
            for entry in std::fs::read_dir(&directory).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_mirror = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
                if !is_mirror || kept.contains(&name) {
                    continue;
                }
                let mirror = Mirror { directory: entry.path(), url: name.clone(), limit, object };
                let lock = mirror.lock()?;
                std::fs::remove_dir_all(entry.path()).map_err(GitError::disk("removing a mirror"))?;
                drop(lock);
                removed.push(name);
            }
            Ok(removed)
        })
        .await?;
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        for key in removed {
            self.http.forget(&key);
            gates.remove(&key);
        }
        Ok(())
    }

    fn mirror(&self, remote: &Remote, key: &str) -> Mirror {
        Mirror {
            directory: self.settings.mirrors.join(key),
            url: remote.url.to_string(),
            limit: self.settings.max_mirror_bytes,
            object: self.settings.max_object_bytes,
        }
    }

    fn gate(&self, key: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(key.to_owned()).or_default().clone()
    }
}

/// Names a mirror: one per URL and credential, by the credential's id, never its value.
fn key(remote: &Remote) -> String {
    let credential = remote.credential.as_ref().map_or("", |credential| credential.id.as_str());
    short_hash(format!("{}\0{credential}", remote.url).as_bytes())
}

/// Bounds work on a remote in time, and keeps its credential out of what is said of a failure: a server may say again
/// what it was told.
async fn within<T>(
    remote: &Remote,
    deadline: Duration,
    work: impl Future<Output = Result<T, GitError>>,
) -> Result<T, GitError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.without(&remote.mask())),
        Err(_) => Err(GitError::Timeout { url: remote.url.to_string(), after: deadline }),
    }
}

/// Runs blocking work on its own thread; it is told to stop when no one waits for it any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let interrupt = Interrupt(Arc::default());
    let flag = interrupt.0.clone();
    match tokio::task::spawn_blocking(move || work(&flag)).await {
        Ok(result) => result,
        Err(error) => Err(GitError::BrokeOff(error.to_string())),
    }
}
