//! What a delivery says, whichever forge sent it. Pure.
//!
//! An event tells *that* something moved, and where to look again; nothing is ever reported or done from its contents.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A delivery, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event by the forge's word (`push`, `pullrequest:created`, `merge_request`).
    pub name: String,
    /// What happened to it by the forge's word (`opened`, `synchronize`), where it says so apart from the event.
    pub action: Option<String>,
    /// The repository it is about; `None` for events of an organisation, an App or a whole installation.
    pub repository: Option<Repository>,
    /// The user who caused it, by their name at the forge.
    pub sender: Option<String>,
    /// The installation of the App that the delivery is for (GitHub).
    pub installation: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// A repository as a delivery names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`, with as many parts as the forge gives it.
    pub full_name: String,
    /// Where it can be cloned from.
    pub clone_urls: Vec<String>,
    /// Its page.
    pub web_url: Option<String>,
    /// Whether it is open to some only.
    pub private: Option<bool>,
    /// The branch that its HEAD names.
    pub default_branch: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The webhook was set up, or is tried out.
    Ping {
        /// The webhook's id at the forge.
        hook: Option<u64>,
    },
    /// Refs moved, came or went.
    Push(Vec<RefChange>),
    /// Something happened to a pull (merge) request.
    PullRequest(PullRequest),
    /// Someone reviewed a pull request.
    Review {
        /// The pull request's number.
        number: u64,
    },
    /// Something was said.
    Comment(Comment),
    /// A check or a pipeline of a commit.
    Check(Check),
    /// Someone asks for a commit's checks to be made again.
    CheckRerequested(Check),
    /// The App was installed, removed, or sees other repositories.
    Installation(Installation),
    /// The repository has another name, or owner, than before.
    RepositoryRenamed {
        /// `owner/name` before.
        from: String,
    },
    /// A release of a tag.
    Release {
        /// The tag.
        tag: String,
    },
    /// Anything else; [`Event::name`] says what.
    Other,
}

/// One ref that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// The full name: `refs/heads/main`, `refs/tags/v1`.
    pub reference: String,
    /// Where it stood; `None` where it was not there, or the forge does not say.
    pub before: Option<ObjectName>,
    /// Where it stands; `None` where it is gone, or the forge does not say.
    pub after: Option<ObjectName>,
    /// Whether it was not there before.
    pub created: bool,
    /// Whether it is gone.
    pub deleted: bool,
    /// Whether its history was rewritten, where the forge says so.
    pub forced: Option<bool>,
    /// The commit that a moved ref leads to, where the forge says it (GitLab; of an annotated tag it is not
    /// [`RefChange::after`]).
    pub checkout: Option<ObjectName>,
    /// How many commits the delivery lists.
    pub commits: usize,
    /// How many there are, where the forge says that it does not list all.
    pub commits_total: Option<u64>,
}

/// A pull (merge) request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// What happened to it.
    pub action: PullRequestAction,
    /// Its number within the repository.
    pub number: u64,
    /// How it stands by the forge's word.
    pub state: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Whether it is a draft.
    pub draft: bool,
    /// Where the changes are.
    pub head: Side,
    /// Where they are to go.
    pub base: Side,
    /// Whether its head is in another repository than its base, or nobody can say which.
    pub fork: bool,
}

/// One side of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The branch as the forge writes it: `main`, on Bitbucket Data Center `refs/heads/main`; `None` where it is gone.
    pub reference: Option<String>,
    /// The commit; abbreviated on Bitbucket Cloud.
    pub commit: Option<ObjectName>,
    /// `owner/name` of its repository; `None` where that is gone.
    pub repository: Option<String>,
}

/// What happened to a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestAction {
    /// It was opened.
    Opened,
    /// Its head moved.
    Updated,
    /// It was opened again.
    Reopened,
    /// It was closed.
    Closed {
        /// Whether its changes went in.
        merged: bool,
    },
    /// It is to go to another branch.
    Retargeted,
    /// Anything else: labels, reviewers, drafts.
    Other,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id at the forge.
    pub id: u64,
    /// Whether it is new.
    pub action: CommentAction,
    /// What it is on.
    pub on: CommentOn,
    /// What it says.
    pub body: String,
    /// Who says it.
    pub author: Option<String>,
    /// How the author stands to the repository by the forge's word, where it says so.
    pub association: Option<String>,
}

/// What happened to a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentAction {
    /// It was written.
    Created,
    /// It was written anew.
    Edited,
    /// It was taken away.
    Deleted,
    /// Anything else.
    Other,
}

/// What a comment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentOn {
    /// A pull request, by its number.
    PullRequest(u64),
    /// An issue, by its number.
    Issue(u64),
    /// A commit.
    Commit,
    /// A snippet, or what the forge does not say.
    Other,
}

/// A check, a suite of checks or a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The commit.
    pub head: Option<ObjectName>,
    /// The ref, where it is about one.
    pub reference: Option<String>,
    /// How far it is by the forge's word.
    pub status: Option<String>,
    /// How it ended by the forge's word.
    pub conclusion: Option<String>,
}

/// A change of an App's installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its id.
    pub id: u64,
    /// What happened.
    pub change: InstallationChange,
    /// `owner/name` of the repositories that it sees, where the delivery lists them.
    pub repositories: Vec<String>,
    /// `owner/name` of those that it sees from now on.
    pub added: Vec<String>,
    /// `owner/name` of those that it sees no more.
    pub removed: Vec<String>,
}

/// What happened to an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallationChange {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It may do nothing for now.
    Suspended,
    /// It may again.
    Unsuspended,
    /// It sees other repositories.
    Repositories,
    /// Anything else: permissions.
    Other,
}

/// An object's name, whole or abbreviated: 7 to 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectName(String);

impl ObjectName {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` for the name that stands for "no object": zeros only.
    pub(super) fn unless_zero(self) -> Option<Self> {
        self.0.bytes().any(|byte| byte != b'0').then_some(self)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if (7..=64).contains(&text.len()) && text.bytes().all(hex) {
            return Ok(ObjectName(text));
        }
        Err(serde::de::Error::custom("an object's name is 7 to 64 lower-case hexadecimal digits"))
    }
}

/// Why a delivery cannot be understood. Never repeats what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The header that names the event is missing.
    #[error("the header that names the event ({0}) is missing, or there more than once")]
    NoEvent(&'static str),
    /// The body is no JSON, or not of the shape that the event has.
    #[error("the body is not what a `{event}` event has, at line {line}, column {column}: {what}")]
    Body {
        /// The event.
        event: String,
        /// The line, from 1; 0 where that is not known.
        line: usize,
        /// The column, from 1; 0 where that is not known.
        column: usize,
        /// In which way.
        what: &'static str,
    },
    /// The body is no text.
    #[error("the body is not UTF-8 text")]
    NotText,
    /// The form that the body claims to be has not exactly one field `payload`.
    #[error("the body is a form, and has not exactly one field `payload` that can be decoded")]
    Form,
    /// A field that the event must have is missing.
    #[error("the body has no `{0}`, which its event must have")]
    Missing(&'static str),
}

/// Reads a body as JSON. The parser's own words may repeat values of the payload, so only the place is kept of them.
pub(super) fn read<'a, T: Deserialize<'a>>(event: &str, body: &'a str) -> Result<T, ParseError> {
    use serde_json::error::Category;
    serde_json::from_str(body).map_err(|error| ParseError::Body {
        event: event.chars().filter(|c| !c.is_control()).take(80).collect(),
        line: error.line(),
        column: error.column(),
        what: match error.classify() {
            Category::Eof => "it ends too early",
            Category::Syntax => "it is no JSON there",
            Category::Data => "a field is missing, doubled, or of another type",
            Category::Io => "it cannot be read",
        },
    })
}
