//! Repositories of this machine, read in place: no process is started, and nothing in them is changed. Blocking.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind;

use crate::git::advertisement::RemoteRef;
use crate::git::error::GitError;
use crate::git::mirror::{Mirror, MirrorLock, packs_in};
use crate::git::pack;
use crate::git::ref_choice::Asked;

/// Opens a repository: a bare one, a working copy or one of its worktrees.
pub(crate) fn open(path: &Path) -> Result<gix::Repository, GitError> {
    let failed = |reason: String| GitError::Local { path: path.display().to_string(), reason };
    if !path.is_absolute() {
        return Err(failed("not an absolute path".into()));
    }
    if !path.exists() {
        return Err(failed("nothing is there".into()));
    }
    gix::open_opts(path, gix::open::Options::isolated()).map_err(|error| failed(error.to_string()))
}

/// The refs that were asked for.
pub(crate) fn list(path: &Path, asked: &Asked) -> Result<Vec<RemoteRef>, GitError> {
    let repository = open(path)?;
    let failed = |error: gix::Error| GitError::Local { path: path.display().to_string(), reason: error.to_string() };
    let mut refs = Vec::new();
    match asked {
        Asked::Commit(_) | Asked::Nothing => {}
        Asked::Names(names) => {
            for name in names {
                if let Some(reference) = repository.try_find_reference(name.as_str()).map_err(failed)? {
                    refs.extend(entry(name, reference).map_err(failed)?);
                }
            }
        }
        Asked::Glob { prefix, .. } => {
            let folder = prefix.rsplit_once('/').map_or("refs/", |(folder, _)| folder);
            let references = repository.references().map_err(failed)?;
            for reference in references.prefixed(format!("{folder}/").as_str()).map_err(failed)? {
                let reference = reference.map_err(failed)?;
                let name = reference.name().as_bstr().to_string();
                if asked.accepts(&name) {
                    refs.extend(entry(&name, reference).map_err(failed)?);
                }
            }
        }
    }
    Ok(refs)
}

/// A ref as a remote would list it; `None` for a branch without commits.
fn entry(name: &str, reference: gix::Reference<'_>) -> Result<Option<RemoteRef>, gix::Error> {
    let repository = reference.repo;
    let mut direct = reference;
    let mut symref = None;
    // A chain of symbolic refs ends or is broken; it cannot be longer than this and mean anything.
    for _ in 0..8 {
        let Some(target) = direct.target().try_name().map(|name| name.as_bstr().to_string()) else { break };
        match repository.try_find_reference(target.as_str())? {
            Some(next) => direct = next,
            None => return Ok(None),
        }
        symref = Some(target);
    }
    let Some(object) = direct.try_id().map(|id| id.detach()) else { return Ok(None) };
    let peeled = direct.into_fully_peeled_id()?.detach();
    let peeled = (peeled != object).then(|| peeled.to_string());
    Ok(Some(RemoteRef { name: name.to_owned(), object: object.to_string(), peeled, symref }))
}

/// Copies a commit with its history into the mirror.
pub(crate) fn transfer(
    path: &Path,
    mirror: &Mirror,
    commit: &str,
    lock: &MirrorLock,
    interrupt: &AtomicBool,
) -> Result<Vec<String>, GitError> {
    let source = open(path)?;
    let id = mirror.id(commit)?;
    if !source.has_object(id) {
        return Err(GitError::NoCommit {
            url: mirror.url.clone(),
            commit: commit.to_owned(),
            reason: "the repository does not hold it".into(),
        });
    }
    let first = mirror.packs()?.is_empty();
    if first {
        copy_packs(&source, mirror)?;
    }
    let missing = missing(&source, &mirror.open()?, id, mirror, first, interrupt)?;
    if !missing.is_empty() {
        let mut incoming = mirror.incoming()?;
        pack::write(&source, &missing, incoming.as_file_mut())?;
        mirror.keep(incoming.path(), lock, interrupt)?;
    }
    let shallow = source.shallow_commits().map_err(|error| local_error(&source, &error))?;
    Ok(shallow.map(|commits| commits.iter().map(ToString::to_string).collect()).unwrap_or_default())
}

/// A first copy takes the packs as they are, deltas and all.
fn copy_packs(source: &gix::Repository, mirror: &Mirror) -> Result<(), GitError> {
    let folder = source.common_dir().join("objects/pack");
    let packs = packs_in(&folder)?;
    let target = mirror.open()?.common_dir().join("objects/pack");
    let failed = || GitError::disk(format!("copying a pack to {}", target.display()));
    let mut total = 0;
    for pack in &packs {
        total += fs::metadata(pack).map_err(failed())?.len();
        if total > mirror.limit {
            return Err(GitError::TooLarge { what: format!("the mirror of {}", mirror.url), limit: mirror.limit });
        }
    }
    for pack in packs {
        let Some(name) = pack.file_name() else { continue };
        // The index comes last: a pack without one does not count, and is cleared away.
        fs::copy(&pack, target.join(name)).map_err(failed())?;
        let index = pack.with_extension("idx");
        let fresh = mirror.directory.join("incoming-index");
        let named = target.join(name).with_extension("idx");
        fs::copy(&index, &fresh).and_then(|_| fs::rename(&fresh, &named)).map_err(failed())?;
    }
    Ok(())
}

/// What is reachable from `commit` and not in the mirror. What the mirror holds it holds with all that it leads to,
/// unless packs were just copied: what is in a pack may lead to what was in none, so then everything is walked.
fn missing(
    source: &gix::Repository,
    target: &gix::Repository,
    commit: ObjectId,
    mirror: &Mirror,
    copied: bool,
    interrupt: &AtomicBool,
) -> Result<Vec<ObjectId>, GitError> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut open = vec![commit];
    let mut size = 0_u64;
    let failed = |error: gix::Error| local_error(source, &error);
    let shallow = source.shallow_commits().map_err(failed)?;
    let is_shallow =
        |id: &ObjectId| shallow.as_ref().is_some_and(|commits| commits.iter().any(|boundary| boundary == id));
    while let Some(id) = open.pop() {
        if interrupt.load(Ordering::Relaxed) {
            return Err(GitError::BrokeOff("the fetch took too long".into()));
        }
        let here = target.has_object(id);
        if !seen.insert(id) || (here && !copied) {
            continue;
        }
        let header = source.find_header(id).map_err(failed)?;
        if !here {
            size += header.size();
            found.push(id);
        }
        if size > mirror.limit {
            return Err(GitError::TooLarge { what: format!("the mirror of {}", mirror.url), limit: mirror.limit });
        }
        match header.kind() {
            Kind::Commit => {
                let object = source.find_commit(id).map_err(failed)?;
                open.push(object.tree_id().map_err(failed)?.detach());
                if !is_shallow(&id) {
                    open.extend(object.parent_ids().map(|parent| parent.detach()));
                }
            }
            Kind::Tree => {
                let object = source.find_tree(id).map_err(failed)?;
                for entry in object.decode().map_err(failed)?.entries {
                    if entry.mode.kind() != EntryKind::Commit {
                        open.push(entry.oid.to_owned());
                    }
                }
            }
            Kind::Blob | Kind::Tag => {}
        }
    }
    Ok(found)
}

fn local_error(source: &gix::Repository, error: &gix::Error) -> GitError {
    GitError::Local { path: source.path().display().to_string(), reason: error.to_string() }
}
