//! Gitea's API as JSON, as far as it is read. Source: the Swagger descriptions of Gitea and Forgejo.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::RepositoryPath;
use crate::forge::api::{Comment, ForgeUser, PullRequest, PullState, Side, was_edited};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
}

impl User {
    pub(super) fn read(self) -> ForgeUser {
        ForgeUser { id: self.id.to_string(), name: self.login }
    }
}

/// A comment or an issue.
#[derive(Deserialize)]
pub(super) struct Text {
    pub(super) id: u64,
    /// Issues have one.
    #[serde(default)]
    pub(super) number: Option<u64>,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) html_url: Option<String>,
    #[serde(default)]
    pub(super) user: Option<User>,
    /// Where a comment's issue or request is; ends in its number. One of both is empty.
    #[serde(default)]
    issue_url: String,
    #[serde(default)]
    pull_request_url: String,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
}

impl Text {
    /// The comment, where it is on this request.
    pub(super) fn comment_on(self, number: u64) -> Option<Comment> {
        let on = [&self.issue_url, &self.pull_request_url].iter().find_map(|url| url.rsplit('/').next()?.parse().ok());
        let author = self.user?.read();
        (on == Some(number)).then_some(Comment {
            author,
            is_bot: false,
            body: self.body,
            created_at: self.created_at,
            edited: was_edited(self.created_at, self.updated_at),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    state: String,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    head: PullSide,
    base: PullSide,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize)]
struct PullSide {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Deserialize)]
pub(super) struct Repository {
    full_name: String,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, bool>,
}

impl PullSide {
    fn read(self) -> Side {
        Side {
            branch: self.branch,
            commit: self.sha.parse().ok(),
            repository: self.repo.and_then(|repo| repo.full_name.parse::<RepositoryPath>().ok()),
        }
    }
}

impl Pull {
    pub(super) fn read(self) -> PullRequest {
        let state = match (self.merged, self.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "open") => PullState::Open,
            (false, _) => PullState::Closed,
        };
        let (head, base) = (self.head.read(), self.base.read());
        PullRequest {
            number: self.number,
            state,
            is_fork: head.repository.is_none() || head.repository != base.repository,
            merge_commit: self.merge_commit_sha.filter(|_| self.merged).and_then(|sha| sha.parse().ok()),
            author: self.user.map(|user| user.login).unwrap_or_default(),
            url: self.html_url,
            head,
            base,
        }
    }
}
