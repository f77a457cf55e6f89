//! Noticing at once that a local repository's refs moved. One watcher (one thread, one inotify instance) serves all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::git::error::GitError;
use crate::git::local;

/// A watch on a local repository's refs; ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    target: Arc<Target>,
    shared: Arc<Shared>,
}

impl Watch {
    /// Waits until a ref may have moved since the last call. Moves in between count once.
    pub async fn next(&mut self) {
        self.target.moved.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.leave(&self.target);
    }
}

/// What one repository's refs are made of.
#[derive(Debug)]
struct Target {
    moved: Notify,
    /// Watched with what is beneath: `refs`, and `reftable` where there is one.
    deep: Vec<PathBuf>,
    /// Watched without: the Git directory, and the common one of a worktree.
    flat: Vec<PathBuf>,
}

impl Target {
    fn concerns(&self, path: &Path) -> bool {
        // Refs are written to a lock file that is then renamed: the lock itself says nothing.
        if path.extension().is_some_and(|extension| extension == "lock") {
            return false;
        }
        let head = ["HEAD", "packed-refs", "refs", "reftable"];
        let named = path.file_name().is_some_and(|name| head.iter().any(|head| name == *head));
        self.deep.iter().any(|folder| path.starts_with(folder))
            || (named && path.parent().is_some_and(|parent| self.flat.iter().any(|folder| folder == parent)))
            || self.flat.iter().any(|folder| folder == path)
    }
}

/// The one watcher, started with the first watch.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    watcher: Mutex<Option<RecommendedWatcher>>,
    targets: Arc<Mutex<Vec<Weak<Target>>>>,
    /// How many watches need each watched path.
    counts: Mutex<HashMap<PathBuf, usize>>,
}

impl Shared {
    /// Watches the repository at `path`.
    pub(crate) fn watch(self: &Arc<Self>, path: &Path) -> Result<Watch, GitError> {
        let repository = local::open(path)?;
        let canonical =
            |path: &Path| path.canonicalize().map_err(GitError::disk(format!("reading {}", path.display())));
        let (own, common) = (canonical(repository.git_dir())?, canonical(repository.common_dir())?);
        let mut flat = vec![common.clone()];
        if own != common {
            flat.push(own.clone());
        }
        let deep = [common.join("refs"), common.join("reftable")].into_iter().filter(|path| path.exists()).collect();
        let target = Arc::new(Target { moved: Notify::new(), deep, flat });
        let watch = Watch { target: target.clone(), shared: self.clone() };
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&target));
        self.enter(&target)
            .map_err(|error| GitError::Watch { path: path.display().to_string(), reason: error.to_string() })?;
        Ok(watch)
    }

    fn enter(&self, target: &Target) -> Result<(), notify::Error> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            let targets = self.targets.clone();
            *watcher = Some(notify::recommended_watcher(move |event| report(&targets, event))?);
        }
        let Some(watcher) = watcher.as_mut() else { return Ok(()) };
        let deep = target.deep.iter().map(|path| (path, RecursiveMode::Recursive));
        let flat = target.flat.iter().map(|path| (path, RecursiveMode::NonRecursive));
        let mut fresh = Vec::new();
        for (path, mode) in flat.chain(deep) {
            // All are counted before any can fail: leaving takes back all.
            let count = counts.entry(path.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                fresh.push((path, mode));
            }
        }
        fresh.into_iter().try_for_each(|(path, mode)| watcher.watch(path, mode))
    }

    fn leave(&self, target: &Arc<Target>) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for path in target.deep.iter().chain(&target.flat) {
            let Some(count) = counts.get_mut(path) else { continue };
            *count -= 1;
            if *count == 0 {
                counts.remove(path);
                if let Some(Err(error)) = watcher.as_mut().map(|watcher| watcher.unwatch(path)) {
                    // A folder that is gone has no watch left.
                    tracing::debug!(%error, path = %path.display(), "a watch was gone already");
                }
            }
        }
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, target)));
    }
}

fn report(targets: &Mutex<Vec<Weak<Target>>>, event: Result<Event, notify::Error>) {
    let targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
    let targets = targets.iter().filter_map(Weak::upgrade);
    match event {
        // Reading is no news; everything else about a path of interest is.
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
        Ok(event) => {
            let everyone = event.need_rescan();
            targets
                .filter(|target| everyone || event.paths.iter().any(|path| target.concerns(path)))
                .for_each(|target| target.moved.notify_one());
        }
        Err(error) => {
            tracing::warn!(%error, "watching local repositories; everyone looks again");
            targets.for_each(|target| target.moved.notify_one());
        }
    }
}
