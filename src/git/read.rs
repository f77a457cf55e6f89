//! Reading a commit in a mirror: one file, every name, whether it descends from another. Blocking; no worktree.

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind;

use crate::git::TreeEntry;
use crate::git::error::{GitError, PathRule};
use crate::git::mirror::Mirror;

/// The most entries of one commit's tree, folders included.
pub(crate) const ENTRIES: usize = 200_000;
/// How deep folders may nest.
const DEPTH: usize = 128;

/// A file's bytes, or `None` where the commit has no such path.
pub(crate) fn file(mirror: &Mirror, commit: &str, path: &str, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
    let repository = mirror.open()?;
    let tree = root(mirror, &repository, commit)?;
    file_in(mirror, &repository, tree, path, limit)
}

/// A file's bytes beneath a tree, or `None` where there is no such path.
pub(crate) fn file_in(
    mirror: &Mirror,
    repository: &gix::Repository,
    root: ObjectId,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, GitError> {
    let parts = parts(path)?;
    let mut tree = root;
    let damaged = |error: gix::Error| mirror.damaged(&error);
    let refused = |rule| GitError::Path { path: path.to_owned(), rule };
    for (index, part) in parts.iter().enumerate() {
        let object = repository.find_tree(tree).map_err(damaged)?;
        let decoded = object.decode().map_err(damaged)?;
        let Some(entry) = decoded.entries.iter().find(|entry| entry.filename == part.as_bytes()) else {
            return Ok(None);
        };
        let last = index + 1 == parts.len();
        match entry.mode.kind() {
            EntryKind::Link => return Err(refused(PathRule::Symlink)),
            EntryKind::Commit => return Err(refused(PathRule::Submodule)),
            EntryKind::Tree if last => return Err(refused(PathRule::Folder)),
            EntryKind::Tree => tree = entry.oid.to_owned(),
            EntryKind::Blob | EntryKind::BlobExecutable if last => {
                return blob(mirror, repository, entry.oid.to_owned(), path, limit).map(Some);
            }
            EntryKind::Blob | EntryKind::BlobExecutable => return Ok(None),
        }
    }
    Ok(None)
}

/// A blob's bytes, its size asked first.
pub(crate) fn blob(
    mirror: &Mirror,
    repository: &gix::Repository,
    id: ObjectId,
    path: &str,
    limit: u64,
) -> Result<Vec<u8>, GitError> {
    let header = repository.find_header(id).map_err(|error| mirror.damaged(&error))?;
    if header.size() > limit {
        return Err(GitError::TooLarge { what: format!("`{path}`"), limit });
    }
    let mut object = repository.find_blob(id).map_err(|error| mirror.damaged(&error))?;
    Ok(object.take_data())
}

fn parts(path: &str) -> Result<Vec<&str>, GitError> {
    let parts: Vec<&str> = path.split('/').collect();
    let safe = path.len() <= 4096
        && !path.contains('\0')
        && parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
    if safe { Ok(parts) } else { Err(GitError::Path { path: path.to_owned(), rule: PathRule::Unsafe }) }
}

/// The tree of a commit that must be in the mirror.
pub(crate) fn root(mirror: &Mirror, repository: &gix::Repository, commit: &str) -> Result<ObjectId, GitError> {
    let id = present(mirror, repository, commit)?;
    let damaged = |error: gix::Error| mirror.damaged(&error);
    let commit = repository.find_commit(id).map_err(damaged)?;
    Ok(commit.tree_id().map_err(damaged)?.detach())
}

/// A commit that must be in the mirror.
pub(crate) fn present(mirror: &Mirror, repository: &gix::Repository, commit: &str) -> Result<ObjectId, GitError> {
    let id = mirror.id(commit)?;
    if !repository.has_object(id) {
        return Err(GitError::NotFetched { url: mirror.url.clone(), object: format!("commit {commit}") });
    }
    let kind = repository.find_header(id).map_err(|error| mirror.damaged(&error))?.kind();
    if kind == Kind::Commit {
        return Ok(id);
    }
    Err(GitError::NoCommit {
        url: mirror.url.clone(),
        commit: commit.to_owned(),
        reason: format!("it is a {kind}, not a commit"),
    })
}

/// One entry of a walked tree; names are bytes in Git.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) id: ObjectId,
}

/// Every entry of a commit's tree, folders before what they hold, each folder's entries in Git's order.
pub(crate) fn walk(mirror: &Mirror, repository: &gix::Repository, commit: &str) -> Result<Vec<Walked>, GitError> {
    walk_in(mirror, repository, root(mirror, repository, commit)?)
}

fn walk_in(mirror: &Mirror, repository: &gix::Repository, root: ObjectId) -> Result<Vec<Walked>, GitError> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), root, 0)];
    while let Some((folder, tree, depth)) = open.pop() {
        let object = repository.find_tree(tree).map_err(|error| mirror.damaged(&error))?;
        for entry in object.decode().map_err(|error| mirror.damaged(&error))?.entries {
            let mut path = folder.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.filename);
            if found.len() >= ENTRIES || depth >= DEPTH {
                let (what, limit) = match depth >= DEPTH {
                    true => ("the depth of the commit's folders, counted in levels,", DEPTH as u64),
                    false => ("the commit's tree, counted in entries,", ENTRIES as u64),
                };
                return Err(GitError::TooLarge { what: what.into(), limit });
            }
            if entry.mode.kind() == EntryKind::Tree {
                open.push((path.clone(), entry.oid.to_owned(), depth + 1));
            }
            found.push(Walked { path, kind: entry.mode.kind(), id: entry.oid.to_owned() });
        }
    }
    Ok(found)
}

/// Every file, link and submodule by path.
pub(crate) fn tree(mirror: &Mirror, commit: &str) -> Result<Vec<TreeEntry>, GitError> {
    let repository = mirror.open()?;
    let root = root(mirror, &repository, commit)?;
    tree_in(mirror, &repository, root)
}

/// Every file, link and submodule beneath a tree, by path.
pub(crate) fn tree_in(
    mirror: &Mirror,
    repository: &gix::Repository,
    root: ObjectId,
) -> Result<Vec<TreeEntry>, GitError> {
    let mut entries: Vec<TreeEntry> = walk_in(mirror, repository, root)?
        .into_iter()
        .filter(|entry| entry.kind != EntryKind::Tree)
        .map(|entry| TreeEntry {
            path: shown(&entry.path),
            mode: u32::from(entry.kind as u16),
            blob: entry.id.to_string(),
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// A path as text; bytes that are not UTF-8 are written `\xNN`, so that two paths never become one.
pub(crate) fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Whether `commit` is `from` or an ancestor of it.
pub(crate) fn is_ancestor(mirror: &Mirror, commit: &str, from: &str) -> Result<bool, GitError> {
    let repository = mirror.open()?;
    let from = present(mirror, &repository, from)?;
    let commit = mirror.id(commit)?;
    // What is not here cannot be in the history of what is here with all its history.
    if !repository.has_object(commit) {
        return Ok(false);
    }
    // Something else than a commit is an error, and no sign of damage.
    let commit = present(mirror, &repository, &commit.to_string())?;
    if commit == from {
        return Ok(true);
    }
    let base = repository.merge_base(commit, from).map_err(|error| mirror.damaged(&error))?;
    Ok(base.is_some_and(|base| base.detach() == commit))
}

/// The commit that an abbreviated id means, where the mirror knows exactly one.
pub(crate) fn abbreviated(mirror: &Mirror, prefix: &str) -> Result<Option<String>, GitError> {
    let repository = match mirror.open() {
        Ok(repository) => repository,
        Err(GitError::NotFetched { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(parsed) = gix::hash::Prefix::from_hex(prefix) else { return Ok(None) };
    let found = repository.objects.lookup_prefix(parsed, None).map_err(|error| mirror.damaged(&error))?;
    let Some(Ok(id)) = found else { return Ok(None) };
    let kind = repository.find_header(id).map_err(|error| mirror.damaged(&error))?.kind();
    Ok((kind == Kind::Commit).then(|| id.to_string()))
}

/// A commit's first parent: for a merge, what it was merged into.
pub(crate) fn first_parent(mirror: &Mirror, commit: &str) -> Result<Option<String>, GitError> {
    let repository = mirror.open()?;
    let id = present(mirror, &repository, commit)?;
    let found = repository.find_commit(id).map_err(|error| mirror.damaged(&error))?;
    let parent = found.parent_ids().next().map(gix::Id::detach);
    // The history of a shallow remote may end here.
    Ok(parent.filter(|parent| repository.has_object(parent)).map(|parent| parent.to_string()))
}
