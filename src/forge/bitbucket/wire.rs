//! Bitbucket Cloud's API as JSON, as far as it is read. Source: Atlassian's published description, version 2.0.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::RepositoryPath;
use crate::forge::api::{ForgeUser, PullRequest, PullState, Side};
use crate::ids::CommitSha;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    pub(super) uuid: Option<String>,
    #[serde(default)]
    pub(super) account_id: Option<String>,
    #[serde(default)]
    pub(super) nickname: Option<String>,
    #[serde(default)]
    pub(super) display_name: Option<String>,
}

impl User {
    /// The id that stays with the account.
    pub(super) fn id(&self) -> Option<&str> {
        self.uuid.as_deref().or(self.account_id.as_deref())
    }

    /// The account; `None` where it has no id that stays.
    pub(super) fn read(self) -> Option<ForgeUser> {
        let id = self.id()?.to_owned();
        Some(ForgeUser { id, name: self.nickname.or(self.display_name).unwrap_or_default() })
    }

    /// The name that permissions are read with: an account's id never changes hands, a nickname may.
    pub(super) fn name(self) -> String {
        self.account_id.or(self.uuid).or(self.nickname).or(self.display_name).unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(super) struct Text {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) content: Content,
    #[serde(default)]
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(default)]
    pub(super) created_on: Option<Timestamp>,
    #[serde(default)]
    pub(super) updated_on: Option<Timestamp>,
    /// There for comments on lines.
    #[serde(default)]
    pub(super) inline: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    pub(super) links: Links,
}

#[derive(Default, Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) raw: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    pub(super) html: Option<Link>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) href: String,
}

#[derive(Clone, Deserialize)]
pub(super) struct Commit {
    /// Where a commit is mentioned, only its first twelve digits.
    pub(super) hash: String,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    id: u64,
    state: String,
    pub(super) source: PullSide,
    pub(super) destination: PullSide,
    #[serde(default)]
    pub(super) merge_commit: Option<Commit>,
    #[serde(default)]
    author: Option<User>,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize)]
pub(super) struct PullSide {
    branch: Branch,
    #[serde(default)]
    pub(super) commit: Option<Commit>,
    #[serde(default)]
    repository: Option<Repository>,
}

impl PullSide {
    pub(super) fn repository(&self) -> Option<RepositoryPath> {
        self.repository.as_ref().and_then(|repository| repository.full_name.parse().ok())
    }

    fn read(self, commit: Option<CommitSha>) -> Side {
        Side { commit, repository: self.repository(), branch: self.branch.name }
    }
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// The commits of a request in full.
#[derive(Default)]
pub(super) struct Commits {
    pub(super) head: Option<CommitSha>,
    pub(super) base: Option<CommitSha>,
    pub(super) merge: Option<CommitSha>,
}

impl Pull {
    pub(super) fn is_merged(&self) -> bool {
        self.state == "MERGED"
    }

    pub(super) fn read(self, commits: Commits) -> PullRequest {
        let state = match self.state.as_str() {
            "OPEN" => PullState::Open,
            "MERGED" => PullState::Merged,
            _ => PullState::Closed,
        };
        let (head, base) = (self.source.read(commits.head), self.destination.read(commits.base));
        PullRequest {
            number: self.id,
            state,
            is_fork: head.repository.is_none() || head.repository != base.repository,
            merge_commit: commits.merge.filter(|_| state == PullState::Merged),
            author: self.author.map(User::name).unwrap_or_default(),
            url: self.links.html.map(|link| link.href),
            head,
            base,
        }
    }
}
