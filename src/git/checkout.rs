//! Writing a commit's files to a new directory. Blocking.
//!
//! The directory appears complete or not at all. No file is ever written through a link: folders and files come first, each made
//! anew, links last; and a link's target may climb only to the root and never after descending, so no chain of links leaves it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gix::objs::tree::EntryKind;

use crate::git::error::{GitError, PathRule};
use crate::git::mirror::Mirror;
use crate::git::read::{Walked, blob, shown, walk};

/// What every Git LFS pointer begins with (git-lfs's docs/spec.md).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// The longest symbolic link target, Linux's PATH_MAX.
const TARGET: u64 = 4096;

/// Writes the files of `commit` to `into`, which is missing or empty.
pub(crate) fn checkout(mirror: &Mirror, commit: &str, into: &Path, interrupt: &AtomicBool) -> Result<(), GitError> {
    let repository = mirror.open()?;
    let entries = walk(mirror, &repository, commit)?;
    refuse_unsafe(&entries)?;
    let parent = into.parent().ok_or_else(|| disk(into)(std::io::ErrorKind::InvalidInput.into()))?;
    let unfinished = tempfile::Builder::new().prefix(".checkout-").tempdir_in(parent).map_err(disk(parent))?;
    fs::set_permissions(unfinished.path(), Permissions::from_mode(0o755)).map_err(disk(unfinished.path()))?;
    let mut left = mirror.limit;
    let mut links = Vec::new();
    for entry in &entries {
        if interrupt.load(Ordering::Relaxed) {
            return Err(GitError::BrokeOff("the checkout took too long".into()));
        }
        let target = unfinished.path().join(std::ffi::OsStr::from_bytes(&entry.path));
        match entry.kind {
            EntryKind::Tree => DirBuilder::new().mode(0o755).create(&target).map_err(taken(entry))?,
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let data = blob(mirror, &repository, entry.id, &shown(&entry.path), left.min(mirror.object))?;
                left = left.saturating_sub(data.len() as u64);
                if data.starts_with(LFS) {
                    return Err(refused(entry, PathRule::LfsPointer));
                }
                write_file(&target, &data, entry)?;
            }
            EntryKind::Link => {
                let data = blob(mirror, &repository, entry.id, &shown(&entry.path), TARGET)?;
                if !stays_within(&entry.path, &data) {
                    return Err(refused(entry, PathRule::SymlinkLeaves));
                }
                links.push((entry, target, data));
            }
            EntryKind::Commit => return Err(refused(entry, PathRule::Submodule)),
        }
    }
    for (entry, link, target) in links {
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), link).map_err(taken(entry))?;
    }
    let finished: PathBuf = unfinished.keep();
    fs::rename(&finished, into).map_err(|error| {
        // What could not be put in its place must not stay beside it; the first error is the one to tell.
        if let Err(error) = fs::remove_dir_all(&finished) {
            tracing::warn!(%error, path = %finished.display(), "an unfinished checkout could not be removed");
        }
        disk(into)(error)
    })
}

fn write_file(path: &Path, data: &[u8], entry: &Walked) -> Result<(), GitError> {
    let mode = if entry.kind == EntryKind::BlobExecutable { 0o755 } else { 0o644 };
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(taken(entry))?;
    // The daemon's umask may be tighter than what the replicas' user needs.
    file.set_permissions(Permissions::from_mode(mode)).and_then(|()| file.write_all(data)).map_err(disk(path))
}

fn refuse_unsafe(entries: &[Walked]) -> Result<(), GitError> {
    for entry in entries {
        let bad = entry.path.split(|byte| *byte == b'/').any(|name| {
            name.is_empty() || name == b"." || name == b".." || name.eq_ignore_ascii_case(b".git") || name.contains(&0)
        });
        if bad {
            return Err(refused(entry, PathRule::BadName));
        }
    }
    Ok(())
}

/// Whether a link at `path` leads to within the root, whatever other links it leads through. `..` is allowed only at the
/// beginning, where it climbs real folders; behind a name it might climb from where another link leads.
fn stays_within(path: &[u8], target: &[u8]) -> bool {
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let mut climbed = 0;
    let mut descended = false;
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if descended => return false,
            b".." => climbed += 1,
            _ => descended = true,
        }
    }
    climbed <= depth
}

fn refused(entry: &Walked, rule: PathRule) -> GitError {
    GitError::Path { path: shown(&entry.path), rule }
}

/// A name that exists already was given twice in the tree.
fn taken(entry: &Walked) -> impl FnOnce(std::io::Error) -> GitError + '_ {
    move |error| match error.kind() {
        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => refused(entry, PathRule::BadName),
        _ => GitError::Disk { what: format!("writing `{}`", shown(&entry.path)), source: error },
    }
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> GitError {
    GitError::disk(format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::stays_within;

    #[test]
    fn links_stay_within() {
        for (path, target, within) in [
            ("a", "b", true),
            ("d/a", "../b", true),
            ("d/a", "./b/c", true),
            ("d/e/a", "../../b", true),
            ("a", "../b", false),
            ("d/a", "../../b", false),
            ("a", "/etc/passwd", false),
            ("a", "d/../../b", false),
            ("a", "d/../b", false),
            ("a", "", false),
        ] {
            assert_eq!(stays_within(path.as_bytes(), target.as_bytes()), within, "{path} → {target}");
        }
    }
}
