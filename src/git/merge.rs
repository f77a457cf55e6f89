//! What merging one commit into another would hold, computed in memory: nothing is written and no ref moves. Blocking.
//!
//! Attributes and merge drivers of the repository are not obeyed: a driver is a command of this machine's, and which
//! files conflict must not depend on what a branch says about itself.

use std::collections::BTreeSet;

use gix::ObjectId;
use gix::merge::tree::TreatAsUnresolved;

use crate::git::TreeEntry;
use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::read;

/// Files above this size that both sides changed conflict instead of being merged line by line.
const MERGED_BYTES_MAX: &str = "4m";

/// What became of a merge.
#[derive(Debug)]
pub enum Merge {
    /// Both sides fit.
    Clean(Merged),
    /// Someone has to decide about these paths, in order.
    Conflict {
        /// The paths; bytes that are not UTF-8 are written `\xNN`.
        paths: Vec<String>,
    },
    /// The two have no history in common, so there is nothing to merge over.
    Unrelated {
        /// Whether the remote holds only the newest part of its history: the common part may be in the rest.
        shallow: bool,
    },
}

/// What a merge holds.
#[derive(Debug)]
pub struct Merged {
    /// How the two stand to each other.
    pub kind: MergeKind,
    /// The asked-for file's content: `None` where there is none; the error is the path's alone.
    pub file: Result<Option<Vec<u8>>, GitError>,
    /// Every file, symbolic link and submodule, by path.
    pub tree: Vec<TreeEntry>,
}

/// How two commits stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKind {
    /// The one merged into is part of the other's history: the result is the other.
    FastForward,
    /// The one to merge is part of the history already: the result is what is there.
    AlreadyMerged,
    /// Both went on; the result is neither.
    Merged,
}

/// Merges `head` into `tip`.
pub(crate) fn merge(mirror: &Mirror, tip: &str, head: &str, path: &str, limit: u64) -> Result<Merge, GitError> {
    let mut repository = mirror.open()?.with_object_memory();
    let damaged = |error: gix::Error| mirror.damaged(&error);
    let ours = read::present(mirror, &repository, tip)?;
    let theirs = read::present(mirror, &repository, head)?;
    let held = |repository: &gix::Repository, kind: MergeKind, root: ObjectId| {
        let file = read::file_in(mirror, repository, root, path, limit);
        let tree = read::tree_in(mirror, repository, root)?;
        Ok(Merge::Clean(Merged { kind, file, tree }))
    };
    if read::is_ancestor(mirror, head, tip)? {
        return held(&repository, MergeKind::AlreadyMerged, read::root(mirror, &repository, tip)?);
    }
    if read::is_ancestor(mirror, tip, head)? {
        return held(&repository, MergeKind::FastForward, read::root(mirror, &repository, head)?);
    }
    if repository.merge_bases_many(ours, &[theirs]).map_err(damaged)?.is_empty() {
        return Ok(Merge::Unrelated { shallow: repository.is_shallow().map_err(damaged)? });
    }
    repository
        .config_snapshot_mut()
        .set_raw_value("core.bigFileThreshold", MERGED_BYTES_MAX)
        .map_err(|error| mirror.damaged(&error))?;
    let options = repository.tree_merge_options().map_err(damaged)?;
    let outcome =
        repository.merge_commits(ours, theirs, Default::default(), options.into()).map_err(damaged)?.tree_merge;
    let how = TreatAsUnresolved::git();
    let unresolved = outcome.conflicts.iter().filter(|conflict| conflict.is_unresolved(how));
    let paths: BTreeSet<String> = unresolved
        .flat_map(|conflict| [conflict.ours.location(), conflict.theirs.location()])
        .map(|path| read::shown(path))
        .collect();
    if !paths.is_empty() {
        return Ok(Merge::Conflict { paths: paths.into_iter().collect() });
    }
    let mut tree = outcome.tree;
    let root = tree.write().map_err(damaged)?.detach();
    held(&repository, MergeKind::Merged, root)
}
