//! The shapes that GitHub's payloads have, and those of the forges that took them over. Pure.
//!
//! Only what is used is named; what is not named is passed over unread, and what is named twice is an error.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::event::{
    Comment, CommentAction, CommentOn, ObjectName, ParseError, PullRequest, PullRequestAction, RefChange, Repository,
    Side,
};

#[derive(Deserialize)]
pub(super) struct RepositoryShape {
    full_name: String,
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    private: Option<bool>,
    default_branch: Option<String>,
}

impl From<RepositoryShape> for Repository {
    fn from(shape: RepositoryShape) -> Self {
        let RepositoryShape { full_name, clone_url, ssh_url, html_url, private, default_branch } = shape;
        let clone_urls = clone_url.into_iter().chain(ssh_url).collect();
        Repository { full_name, clone_urls, web_url: html_url, private, default_branch }
    }
}

#[derive(Deserialize)]
pub(super) struct UserShape {
    login: Option<String>,
    username: Option<String>,
}

impl UserShape {
    pub(super) fn name(self) -> Option<String> {
        self.login.or(self.username).filter(|name| !name.is_empty())
    }
}

#[derive(Deserialize)]
pub(super) struct PushShape {
    #[serde(rename = "ref")]
    reference: String,
    before: ObjectName,
    after: ObjectName,
    forced: Option<bool>,
    total_commits: Option<u64>,
    #[serde(default)]
    commits: Option<Vec<IgnoredAny>>,
}

impl From<PushShape> for RefChange {
    fn from(shape: PushShape) -> Self {
        let (before, after) = (shape.before.unless_zero(), shape.after.unless_zero());
        RefChange {
            reference: shape.reference,
            created: before.is_none(),
            deleted: after.is_none(),
            before,
            after,
            forced: shape.forced,
            checkout: None,
            commits: shape.commits.map_or(0, |commits| commits.len()),
            commits_total: shape.total_commits,
        }
    }
}

/// A branch or a tag that came or went.
#[derive(Deserialize)]
pub(super) struct RefShape {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: String,
}

impl RefShape {
    /// `None` where it is neither a branch nor a tag.
    pub(super) fn change(self, created: bool) -> Option<RefChange> {
        let folder = match self.ref_type.as_str() {
            "branch" => "refs/heads/",
            "tag" => "refs/tags/",
            _ => return None,
        };
        let short = self.reference.strip_prefix(folder).unwrap_or(&self.reference);
        Some(RefChange {
            reference: format!("{folder}{short}"),
            before: None,
            after: None,
            created,
            deleted: !created,
            forced: None,
            checkout: None,
            commits: 0,
            commits_total: None,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct PullRequestShape {
    pub(super) number: u64,
    title: Option<String>,
    draft: Option<bool>,
    merged: Option<bool>,
    state: Option<String>,
    head: SideShape,
    base: SideShape,
}

#[derive(Deserialize)]
struct SideShape {
    #[serde(rename = "ref")]
    reference: String,
    sha: ObjectName,
    repo: Option<SideRepository>,
}

#[derive(Deserialize)]
struct SideRepository {
    full_name: String,
}

impl From<SideShape> for Side {
    fn from(shape: SideShape) -> Self {
        Side {
            reference: Some(shape.reference),
            commit: shape.sha.unless_zero(),
            repository: shape.repo.map(|repository| repository.full_name),
        }
    }
}

impl PullRequestShape {
    pub(super) fn read(self, action: &str, retargeted: bool) -> PullRequest {
        let (head, base) = (Side::from(self.head), Side::from(self.base));
        let action = match action {
            "opened" => PullRequestAction::Opened,
            "synchronize" | "synchronized" => PullRequestAction::Updated,
            "reopened" => PullRequestAction::Reopened,
            "closed" => PullRequestAction::Closed { merged: self.merged.unwrap_or(false) },
            "edited" if retargeted => PullRequestAction::Retargeted,
            _ => PullRequestAction::Other,
        };
        PullRequest {
            action,
            number: self.number,
            state: self.state,
            title: self.title,
            draft: self.draft.unwrap_or(false),
            fork: is_fork(head.repository.as_deref(), base.repository.as_deref()),
            head,
            base,
        }
    }
}

/// Whether a head is from elsewhere. A repository that is gone or unnamed counts as elsewhere.
pub(super) fn is_fork(head: Option<&str>, base: Option<&str>) -> bool {
    !matches!((head, base), (Some(head), Some(base)) if head.eq_ignore_ascii_case(base))
}

#[derive(Deserialize)]
pub(super) struct CommentShape {
    pub(super) id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<UserShape>,
    author_association: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct IssueShape {
    pub(super) number: u64,
    /// There where the issue is a pull request.
    pub(super) pull_request: Option<IgnoredAny>,
}

impl CommentShape {
    pub(super) fn read(self, action: &str, issue: &IssueShape, on_pull_request: bool) -> Comment {
        Comment {
            id: self.id,
            action: comment_action(action),
            on: match on_pull_request {
                true => CommentOn::PullRequest(issue.number),
                false => CommentOn::Issue(issue.number),
            },
            body: self.body.unwrap_or_default(),
            author: self.user.and_then(UserShape::name),
            association: self.author_association,
        }
    }
}

pub(super) fn comment_action(word: &str) -> CommentAction {
    match word {
        "created" => CommentAction::Created,
        "edited" => CommentAction::Edited,
        "deleted" => CommentAction::Deleted,
        _ => CommentAction::Other,
    }
}

/// A field that the event must have.
pub(super) fn must<T>(field: Option<T>, name: &'static str) -> Result<T, ParseError> {
    field.ok_or(ParseError::Missing(name))
}
