//! GitLab's API as JSON, as far as it is read. Source: the published description of its REST API, version 4.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::RepositoryPath;
use crate::forge::api::{ForgeUser, PullRequest, PullState, Side};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
}

impl User {
    pub(super) fn read(self) -> ForgeUser {
        ForgeUser { id: self.id.to_string(), name: self.username }
    }
}

/// A note.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Note {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) body: String,
    pub(super) author: User,
    /// Written by GitLab itself.
    #[serde(default)]
    pub(super) system: bool,
    #[serde(default)]
    pub(super) resolved: bool,
    #[serde(default)]
    pub(super) position: Option<Position>,
    #[serde(default)]
    pub(super) created_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) updated_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Position {
    #[serde(default)]
    pub(super) new_path: Option<String>,
    #[serde(default)]
    pub(super) new_line: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Issue {
    pub(super) iid: u64,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) web_url: Option<String>,
    pub(super) author: User,
}

/// What a diff is between.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DiffRefs {
    pub(super) base_sha: String,
    pub(super) start_sha: String,
    pub(super) head_sha: String,
}

#[derive(Deserialize)]
pub(super) struct MergeRequest {
    iid: u64,
    state: String,
    #[serde(default)]
    sha: Option<String>,
    source_branch: String,
    target_branch: String,
    #[serde(default)]
    pub(super) source_project_id: Option<u64>,
    pub(super) target_project_id: u64,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    squash_commit_sha: Option<String>,
    #[serde(default)]
    author: Option<User>,
    #[serde(default)]
    web_url: Option<String>,
    /// Not there in lists.
    #[serde(default)]
    pub(super) diff_refs: Option<DiffRefs>,
}

impl MergeRequest {
    /// The request; `source` is its head's repository where that is another one and is visible.
    pub(super) fn read(self, repository: &RepositoryPath, source: Option<RepositoryPath>) -> PullRequest {
        let state = match self.state.as_str() {
            "opened" | "locked" => PullState::Open,
            "merged" => PullState::Merged,
            _ => PullState::Closed,
        };
        let is_fork = self.source_project_id != Some(self.target_project_id);
        let commit = |sha: Option<String>| sha.and_then(|sha| sha.parse().ok());
        // Merged without a merge commit, the head itself is on the branch.
        let merged = self.merge_commit_sha.or(self.squash_commit_sha).or_else(|| self.sha.clone());
        PullRequest {
            number: self.iid,
            state,
            is_fork,
            merge_commit: commit(merged.filter(|_| state == PullState::Merged)),
            author: self.author.map(|author| author.username).unwrap_or_default(),
            url: self.web_url,
            head: Side {
                branch: self.source_branch,
                commit: commit(self.sha),
                repository: if is_fork { source } else { Some(repository.clone()) },
            },
            base: Side {
                branch: self.target_branch,
                commit: commit(self.diff_refs.map(|refs| refs.start_sha)),
                repository: Some(repository.clone()),
            },
        }
    }
}
