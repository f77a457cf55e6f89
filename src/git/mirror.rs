//! One bare mirror on disk: making, repairing, filling and bounding it. Blocking; asks no remote.
//!
//! `mirrors/KEY/repo.git` holds the objects and, under `refs/tracked/`, what was fetched last for each ref, flat and by
//! hash, so that no two names are in each other's way. Only the holder of the [`MirrorLock`] writes; everything
//! unfinished that it finds was left by a process that died.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::refs::transaction::PreviousValue;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::git::error::GitError;
use crate::git::pack;
use crate::ids::CommitSha;
use crate::live::quantity::Bytes;

/// Above this many packs they are joined.
const PACKS: usize = 16;
/// How long another holder of a mirror is waited for: a child process holds a copy of the file from its fork until it
/// becomes another program.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// How many commits a remote is told that are here.
const HAVES: usize = 256;

/// Where one remote's objects are kept.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) directory: PathBuf,
    pub(crate) url: String,
    /// The most that it may hold, in bytes.
    pub(crate) limit: u64,
    /// The largest object that it may hold, in bytes.
    pub(crate) object: u64,
}

/// The right to write to a mirror; ends with the process at the latest.
#[derive(Debug)]
pub(crate) struct MirrorLock {
    _file: File,
}

impl Mirror {
    fn repository(&self) -> PathBuf {
        self.directory.join("repo.git")
    }

    fn marker(&self) -> PathBuf {
        self.directory.join("damaged")
    }

    fn packs_directory(&self) -> PathBuf {
        self.repository().join("objects/pack")
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<gix::Repository, GitError> {
        let path = self.repository();
        if !path.join("HEAD").exists() {
            return Err(GitError::NotFetched { url: self.url.clone(), object: "the repository".into() });
        }
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .with(gix::sec::Trust::Full)
            .config_overrides(["core.logAllRefUpdates=false"]);
        let mut repository = gix::open_opts(path, options).map_err(|error| self.damaged(&error))?;
        repository.object_cache_size_if_unset(2 * 1024 * 1024);
        Ok(repository)
    }

    /// Whether a commit is here. A damaged mirror holds nothing.
    pub(crate) fn has(&self, commit: &str) -> Result<bool, GitError> {
        if self.marker().exists() || !self.repository().join("HEAD").exists() {
            return Ok(false);
        }
        match self.open() {
            Ok(repository) => Ok(repository.has_object(self.id(commit)?)),
            Err(GitError::Damaged { .. }) => {
                self.mark_damaged()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A commit's id in the repository's hash.
    pub(crate) fn id(&self, commit: &str) -> Result<ObjectId, GitError> {
        ObjectId::from_hex(commit.as_bytes()).map_err(|_| GitError::NoCommit {
            url: self.url.clone(),
            commit: commit.to_owned(),
            reason: "only SHA-1 repositories are read".into(),
        })
    }

    /// What a failed read of an object that must be there means.
    pub(crate) fn damaged(&self, error: &gix::Error) -> GitError {
        GitError::Damaged { url: self.url.clone(), reason: error.to_string() }
    }

    /// Makes the next fetch build the mirror anew.
    pub(crate) fn mark_damaged(&self) -> Result<(), GitError> {
        fs::write(self.marker(), b"").map_err(GitError::disk(format!("marking {}", self.directory.display())))
    }

    /// Takes the right to write.
    pub(crate) fn lock(&self) -> Result<MirrorLock, GitError> {
        let failed = || GitError::disk(format!("locking the mirror in {}", self.directory.display()));
        fs::create_dir_all(&self.directory).map_err(failed())?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.directory.join("lock"))
            .map_err(failed())?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(MirrorLock { _file: file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
                Err(error) => return Err(failed()(error.into())),
            }
        }
    }

    /// Makes it ready to be written: clears what dead processes left, and builds it where it is missing or damaged.
    /// Returns whether it is empty.
    pub(crate) fn prepare(&self, _lock: &MirrorLock) -> Result<bool, GitError> {
        self.clear_leftovers()?;
        if self.marker().exists() || self.open().is_err() {
            self.clear()?;
        }
        if self.repository().exists() {
            return Ok(self.packs()?.is_empty());
        }
        let failed = || GitError::disk(format!("making the mirror in {}", self.directory.display()));
        let fresh = self.directory.join("new.git");
        gix::init_bare(&fresh).map_err(|error| failed()(std::io::Error::other(error.to_string())))?;
        fs::write(self.directory.join("url"), format!("{}\n", self.url)).map_err(failed())?;
        fs::rename(&fresh, self.repository()).map_err(failed())?;
        Ok(true)
    }

    /// Removes the repository; whoever has it open keeps reading.
    pub(crate) fn clear(&self) -> Result<(), GitError> {
        let failed = || GitError::disk(format!("clearing the mirror in {}", self.directory.display()));
        let old = self.directory.join("old.git");
        if self.repository().exists() {
            fs::rename(self.repository(), &old).map_err(failed())?;
            fs::remove_dir_all(&old).map_err(failed())?;
        }
        if self.marker().exists() {
            fs::remove_file(self.marker()).map_err(failed())?;
        }
        Ok(())
    }

    fn clear_leftovers(&self) -> Result<(), GitError> {
        let failed = || GitError::disk(format!("clearing leftovers in {}", self.directory.display()));
        for name in ["new.git", "old.git"] {
            if self.directory.join(name).exists() {
                fs::remove_dir_all(self.directory.join(name)).map_err(failed())?;
            }
        }
        let repository = self.repository();
        let leftover = |folder: &Path, stale: &dyn Fn(&str) -> bool| -> Result<(), GitError> {
            if !folder.exists() {
                return Ok(());
            }
            for entry in fs::read_dir(folder).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                if stale(&entry.file_name().to_string_lossy()) {
                    fs::remove_file(entry.path()).map_err(failed())?;
                }
            }
            Ok(())
        };
        leftover(&self.directory, &|name| name.starts_with("incoming-"))?;
        leftover(&repository, &|name| name.ends_with(".lock"))?;
        leftover(&repository.join("refs/tracked"), &|name| name.ends_with(".lock"))?;
        leftover(&self.packs_directory(), &|name| {
            let torn = name
                .strip_suffix(".pack")
                .is_some_and(|stem| !self.packs_directory().join(format!("{stem}.idx")).exists());
            torn || name.starts_with(".tmp") || name.ends_with(".keep")
        })
    }

    /// A file for what is coming in, removed when it is dropped.
    pub(crate) fn incoming(&self) -> Result<tempfile::NamedTempFile, GitError> {
        tempfile::Builder::new()
            .prefix("incoming-")
            .tempfile_in(&self.directory)
            .map_err(GitError::disk(format!("making a file in {}", self.directory.display())))
    }

    /// The newest commits that are here, for a remote to leave out.
    pub(crate) fn haves(&self) -> Result<Vec<String>, GitError> {
        let repository = self.open()?;
        let mut tips = Vec::new();
        let references = repository.references().map_err(|error| self.damaged(&error))?;
        for reference in references.prefixed("refs/tracked/").map_err(|error| self.damaged(&error))? {
            let reference = reference.map_err(|error| self.damaged(&error))?;
            tips.extend(reference.try_id().map(|id| id.detach()).filter(|id| repository.has_object(id)));
        }
        let newest = gix::revision::walk::Sorting::ByCommitTime(Default::default());
        let walk = repository.rev_walk(tips).sorting(newest).all().map_err(|error| self.damaged(&error))?;
        walk.take(HAVES)
            .map(|info| info.map(|info| info.id.to_string()).map_err(|error| self.damaged(&error)))
            .collect()
    }

    /// Indexes a received pack and keeps it.
    pub(crate) fn keep(&self, pack: &Path, _lock: &MirrorLock, interrupt: &AtomicBool) -> Result<(), GitError> {
        let file = File::open(pack).map_err(GitError::disk("reading a received pack"))?;
        let options = gix::odb::pack::bundle::write::Options {
            thread_limit: None,
            alloc_limit_bytes: usize::try_from(self.object).ok(),
            ..Default::default()
        };
        let outcome = gix::odb::pack::Bundle::write_to_directory(
            &mut BufReader::new(file),
            Some(&self.packs_directory()),
            &mut gix::progress::Discard,
            interrupt,
            None::<gix::OdbHandle>,
            gix::hash::Kind::Sha1,
            options,
        )
        .map_err(|error| GitError::Protocol {
            url: self.url.clone(),
            reason: format!("the pack is not valid, or holds an object above {}: {error}", Bytes(self.object)),
        })?;
        match outcome.keep_path {
            Some(keep) if keep.exists() => fs::remove_file(keep).map_err(GitError::disk("removing a keep file")),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes what a ref led to, and where a shallow remote's history ends.
    pub(crate) fn record(
        &self,
        full_name: &str,
        commit: &CommitSha,
        shallow: &[String],
        _lock: &MirrorLock,
    ) -> Result<(), GitError> {
        if !shallow.is_empty() {
            self.record_shallow(shallow)?;
        }
        let repository = self.open()?;
        let id = self.id(commit.as_str())?;
        if !repository.has_object(id) {
            return Err(GitError::Protocol {
                url: self.url.clone(),
                reason: format!("it sent a pack without commit {commit}, which was asked for"),
            });
        }
        let name = format!("refs/tracked/{}", crate::git::short_hash(full_name.as_bytes()));
        repository.reference(name.as_str(), id, PreviousValue::Any, "").map(|_| ()).map_err(|error| GitError::Disk {
            what: format!("noting {full_name}"),
            source: std::io::Error::other(error.to_string()),
        })
    }

    fn record_shallow(&self, shallow: &[String]) -> Result<(), GitError> {
        let path = self.repository().join("shallow");
        let failed = || GitError::disk(format!("writing {}", path.display()));
        let known = if path.exists() { fs::read_to_string(&path).map_err(failed())? } else { String::new() };
        let lines: std::collections::BTreeSet<&str> = known.lines().chain(shallow.iter().map(String::as_str)).collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let fresh = self.directory.join("incoming-shallow");
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(failed())
    }

    /// Every pack with an index.
    pub(crate) fn packs(&self) -> Result<Vec<PathBuf>, GitError> {
        packs_in(&self.packs_directory())
    }

    /// Whether there are so many packs that they should be joined.
    pub(crate) fn is_scattered(&self) -> Result<bool, GitError> {
        Ok(self.packs()?.len() > PACKS)
    }

    /// Joins all packs into one. No one may be reading.
    pub(crate) fn join_packs(&self, lock: &MirrorLock, interrupt: &AtomicBool) -> Result<(), GitError> {
        let packs = self.packs()?;
        let mut joined = self.incoming()?;
        pack::join(&packs, joined.as_file_mut())?;
        self.keep(joined.path(), lock, interrupt)?;
        for pack in packs {
            let failed = || GitError::disk(format!("removing {}", pack.display()));
            fs::remove_file(pack.with_extension("idx")).map_err(failed())?;
            fs::remove_file(&pack).map_err(failed())?;
        }
        Ok(())
    }

    /// Its size on disk in bytes.
    pub(crate) fn size(&self) -> Result<u64, GitError> {
        let mut total = 0;
        for entry in fs::read_dir(self.packs_directory()).map_err(GitError::disk("reading a mirror's size"))? {
            let length = entry.and_then(|entry| entry.metadata()).map(|data| data.len());
            total += length.map_err(GitError::disk("reading a mirror's size"))?;
        }
        Ok(total)
    }
}

/// The packs of a folder that have an index.
pub(crate) fn packs_in(folder: &Path) -> Result<Vec<PathBuf>, GitError> {
    let failed = || GitError::disk(format!("listing {}", folder.display()));
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut packs = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.extension().is_some_and(|extension| extension == "pack") && path.with_extension("idx").exists() {
            packs.push(path);
        }
    }
    packs.sort();
    Ok(packs)
}
