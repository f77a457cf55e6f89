//! A small repository made and committed to here: what `trueup quickstart` works on, on machines that have no git.
//!
//! The only place where Trueup writes to a repository, and never to one that it did not make itself.

use std::path::{Path, PathBuf};

use gix::bstr::BStr;
use gix::objs::tree::{Entry, EntryKind};
use jiff::Timestamp;

use crate::ids::CommitSha;

/// Who commits.
const AUTHOR: (&str, &str) = ("Trueup quickstart", "quickstart@trueup.invalid");

/// The sample repository could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the sample repository {} cannot be written", .path.display())]
pub struct SampleError {
    path: PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A repository with a worktree that this process made.
#[derive(Clone, Debug)]
pub struct SampleRepository {
    path: PathBuf,
}

impl SampleRepository {
    /// Makes an empty repository, on branch `main`, in a directory that is missing or empty.
    ///
    /// # Errors
    /// The directory holds something, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, SampleError> {
        let made = gix::ThreadSafeRepository::init_opts(
            path,
            gix::create::Kind::WithWorktree,
            gix::create::Options { destination_must_be_empty: Some(true), ..Default::default() },
            gix::open::Options::isolated(),
        );
        match made {
            Ok(_) => Ok(SampleRepository { path: path.to_owned() }),
            Err(error) => Err(failed(path)(error.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes files (by name, at the root) to the worktree and commits exactly these on top of what is there.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn commit(&self, files: &[(&str, &str)], message: &str, at: Timestamp) -> Result<CommitSha, SampleError> {
        self.write(files, message, at).map_err(failed(&self.path))
    }

    fn write(
        &self,
        files: &[(&str, &str)],
        message: &str,
        at: Timestamp,
    ) -> Result<CommitSha, Box<dyn std::error::Error + Send + Sync>> {
        let repository = gix::open_opts(&self.path, gix::open::Options::isolated())?;
        let mut tree = gix::objs::Tree::empty();
        for (name, content) in files {
            std::fs::write(self.path.join(name), content)?;
            tree.entries.push(Entry {
                mode: EntryKind::Blob.into(),
                filename: (*name).into(),
                oid: repository.write_blob(content)?.detach(),
            });
        }
        tree.entries.sort();
        let tree = repository.write_object(&tree)?.detach();
        let parents: Vec<gix::ObjectId> = repository.head()?.id().map(gix::Id::detach).into_iter().collect();
        let time = format!("{} +0000", at.as_second());
        let (name, email) = AUTHOR;
        let signature = gix::actor::SignatureRef { name: BStr::new(name), email: BStr::new(email), time: &time };
        let commit = repository.commit_as(signature, signature, "HEAD", message, tree, parents)?.to_string();
        // So that `git status` shows a clean worktree to whoever goes on playing here.
        repository.index_from_tree(&tree)?.write(gix::index::write::Options::default())?;
        Ok(commit.parse()?)
    }
}

fn failed(path: &Path) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> SampleError {
    let path = path.to_owned();
    move |source| SampleError { path, source }
}

#[cfg(test)]
mod tests {
    use super::SampleRepository;

    #[test]
    fn commits_build_on_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sample");
        let sample = SampleRepository::create(&path).expect("made");
        let at = "2026-11-21T03:00:00Z".parse().expect("valid");
        let first = sample.commit(&[("b.txt", "1"), (".a.yml", "2")], "First", at).expect("committed");
        let second = sample.commit(&[("b.txt", "3"), (".a.yml", "2")], "Second", at).expect("committed");
        let repository = gix::open(&path).expect("a repository");
        let head = repository.head_commit().expect("a commit");
        assert_eq!(head.id.to_string(), second.as_str());
        assert_eq!(head.parent_ids().map(|id| id.to_string()).collect::<Vec<_>>(), [first.as_str()]);
        assert_eq!(repository.head_name().expect("a head").expect("a branch").as_bstr(), "refs/heads/main");
        assert_eq!(std::fs::read_to_string(path.join("b.txt")).expect("a file"), "3");
        assert!(SampleRepository::create(&path).is_err(), "never over what is there");
    }
}
