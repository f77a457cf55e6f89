//! What a forge is asked to write.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::forge::RepositoryPath;
use crate::ids::CommitSha;
use crate::report::annotations::Annotation;
use crate::report::status::StatusState;

/// The one comment of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentRequest {
    /// Where the request is.
    pub repository: RepositoryPath,
    /// Its number.
    pub pull: u64,
    /// The comment's id, where it was written before.
    pub known_id: Option<String>,
    /// What tells the comment from all others; stands in `body`.
    pub marker: String,
    /// The text.
    pub body: String,
}

/// A commit's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// The repository whose commit it is; of a request from a fork, the one that is asked to merge.
    pub repository: RepositoryPath,
    /// The commit.
    pub commit: CommitSha,
    /// What tells the status from others, such as `trueup/production`.
    pub context: String,
    /// How it stands.
    pub state: StatusState,
    /// In a few words; cut to what the forge takes.
    pub description: String,
    /// Where more is to be read.
    pub target_url: Option<String>,
    /// The branch or tag on which the commit is judged; GitLab and Bitbucket show it.
    pub branch: Option<String>,
}

/// What a check run concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckConclusion {
    /// Nothing is in the way.
    Success,
    /// Neither.
    Neutral,
    /// The commit is wrong.
    Failure,
    /// It could not be judged.
    Cancelled,
}

/// A check run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRunRequest {
    /// The repository.
    pub repository: RepositoryPath,
    /// The commit.
    pub commit: CommitSha,
    /// What tells the check from others, such as `trueup/production`.
    pub name: String,
    /// What it concludes.
    pub conclusion: CheckConclusion,
    /// The headline.
    pub title: String,
    /// The text, in Markdown.
    pub summary: String,
    /// Where more is to be read.
    pub details_url: Option<String>,
    /// Remarks on lines; any number.
    pub annotations: Vec<Annotation>,
}

/// A note on one line of a request's diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNote {
    /// The file's path at the head.
    pub path: String,
    /// The line at the head, from 1.
    pub line: u32,
    /// The text; holds the marker.
    pub body: String,
}

/// All notes on lines of a request's diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNotesRequest {
    /// Where the request is.
    pub repository: RepositoryPath,
    /// Its number.
    pub pull: u64,
    /// What tells these notes from all others; stands in each.
    pub marker: String,
    /// The notes; at most one a line.
    pub notes: Vec<LineNote>,
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueRequest {
    /// The repository.
    pub repository: RepositoryPath,
    /// The issue's id, where it was written before.
    pub known_id: Option<String>,
    /// What tells the issue from all others; stands in `body`.
    pub marker: String,
    /// The headline.
    pub title: String,
    /// The text, in Markdown.
    pub body: String,
}

/// A webhook of a repository.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// The repository.
    pub repository: RepositoryPath,
    /// Where deliveries go; tells the webhook from others.
    pub url: String,
    /// What signs deliveries.
    pub secret: SecretString,
}
