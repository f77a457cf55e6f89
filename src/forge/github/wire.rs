//! GitHub's API as JSON, as far as it is read. Source: the published OpenAPI description of its REST API, version
//! 2022-11-28.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::api::{Comment, ForgeUser, PullRequest, PullState, Side, was_edited};
use crate::forge::{ForgeError, RepositoryPath};

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    pub(super) id: u64,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl User {
    pub(super) fn read(self) -> ForgeUser {
        ForgeUser { id: self.id.to_string(), name: self.login }
    }
}

#[derive(Deserialize)]
pub(super) struct App {
    pub(super) slug: String,
    #[serde(default)]
    pub(super) permissions: std::collections::BTreeMap<String, String>,
}

/// A comment or an issue.
#[derive(Deserialize)]
pub(super) struct Text {
    pub(super) id: u64,
    /// Issues have one.
    #[serde(default)]
    pub(super) number: Option<u64>,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) html_url: Option<String>,
    #[serde(default)]
    pub(super) user: Option<User>,
    /// The API's URL of what a comment is on; ends in its number.
    #[serde(default)]
    pub(super) issue_url: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    /// There for issues that are pull requests.
    #[serde(default)]
    pub(super) pull_request: Option<serde::de::IgnoredAny>,
}

impl Text {
    /// The comment, where it is on this request.
    pub(super) fn comment_on(self, number: u64) -> Option<Comment> {
        let on = self.issue_url.as_deref().and_then(|url| url.rsplit('/').next());
        let author = self.user?;
        (on == Some(number.to_string().as_str())).then(|| Comment {
            is_bot: author.kind.as_deref() == Some("Bot"),
            author: author.read(),
            body: self.body.unwrap_or_default(),
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
    merged_at: Option<String>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    head: PullSide,
    base: PullSide,
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
    pub(super) permissions: std::collections::BTreeMap<String, bool>,
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
        let state = match (self.merged_at.is_some(), self.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "open") => PullState::Open,
            (false, _) => PullState::Closed,
        };
        let (head, base) = (self.head.read(), self.base.read());
        PullRequest {
            number: self.number,
            state,
            is_fork: head.repository.is_none() || head.repository != base.repository,
            // Before the merge this is a trial merge that is on no branch.
            merge_commit: self.merge_commit_sha.filter(|_| state == PullState::Merged).and_then(|sha| sha.parse().ok()),
            author: self.user.map(|user| user.login).unwrap_or_default(),
            url: self.html_url,
            head,
            base,
        }
    }
}

/// An id that was given out by this forge: digits alone.
pub(super) fn id(operation: &str, id: &str) -> Result<u64, ForgeError> {
    id.parse().map_err(|_| ForgeError::rejected(operation, format!("`{id}` is none of the forge's ids")))
}
