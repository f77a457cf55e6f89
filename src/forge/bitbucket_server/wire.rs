//! Bitbucket Data Center's API as JSON, as far as it is read. Source: Atlassian's published description, version 9.4.

use serde::Deserialize;

use crate::forge::RepositoryPath;
use crate::forge::api::{ForgeUser, PullRequest, PullState, Side};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
}

impl User {
    /// The account. One without an id passes for nobody who is known.
    pub(super) fn read(self) -> ForgeUser {
        ForgeUser { id: self.id.map(|id| id.to_string()).unwrap_or_default(), name: self.name }
    }
}

#[derive(Deserialize)]
pub(super) struct Text {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) version: u64,
    #[serde(default)]
    pub(super) text: String,
    /// In milliseconds since 1970.
    #[serde(default, rename = "createdDate")]
    pub(super) created_date: Option<i64>,
    #[serde(default)]
    pub(super) author: Option<User>,
    /// There for comments on lines.
    #[serde(default)]
    pub(super) anchor: Option<serde::de::IgnoredAny>,
}

/// Something that happened to a request.
#[derive(Deserialize)]
pub(super) struct Activity {
    #[serde(default)]
    pub(super) comment: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pull {
    id: u64,
    state: String,
    from_ref: PullSide,
    to_ref: PullSide,
    #[serde(default)]
    author: Option<Participant>,
    #[serde(default)]
    properties: Properties,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize)]
struct Participant {
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    merge_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default, rename = "self")]
    own: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullSide {
    id: String,
    #[serde(default)]
    latest_commit: Option<String>,
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    slug: String,
    project: Project,
}

#[derive(Deserialize)]
struct Project {
    key: String,
}

impl PullSide {
    fn read(self) -> Side {
        let path = self.repository.map(|repository| format!("{}/{}", repository.project.key, repository.slug));
        Side {
            branch: self.id.strip_prefix("refs/heads/").unwrap_or(&self.id).to_owned(),
            commit: self.latest_commit.and_then(|commit| commit.parse().ok()),
            repository: path.and_then(|path| path.parse::<RepositoryPath>().ok()),
        }
    }
}

impl Pull {
    pub(super) fn read(self) -> PullRequest {
        let state = match self.state.as_str() {
            "OPEN" => PullState::Open,
            "MERGED" => PullState::Merged,
            _ => PullState::Closed,
        };
        let (head, base) = (self.from_ref.read(), self.to_ref.read());
        let merged = self.properties.merge_commit.filter(|_| state == PullState::Merged);
        PullRequest {
            number: self.id,
            state,
            is_fork: head.repository.is_none() || head.repository != base.repository,
            merge_commit: merged.and_then(|commit| commit.id.parse().ok()),
            author: self.author.map(|author| author.user.name).unwrap_or_default(),
            url: self.links.own.into_iter().next().map(|link| link.href),
            head,
            base,
        }
    }
}
