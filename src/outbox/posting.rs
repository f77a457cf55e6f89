//! What a forge is asked to write, as it is kept until it was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::forge::RepositoryPath;
use crate::forge::api::{CheckRunRequest, CommentRequest, IssueRequest, LineNotesRequest, StatusRequest};
use crate::ids::{CommitSha, EnvironmentName, ProjectName};
use crate::store::StoreError;
use crate::store::records::NewReport;

/// One thing to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Posting {
    /// The one comment of a pull request.
    Comment(CommentRequest),
    /// The one answer to a command in a comment.
    Answer(CommentRequest),
    /// A commit's status.
    Status(StatusRequest),
    /// A check run with remarks on lines.
    CheckRun(CheckRunRequest),
    /// Notes on lines of a request's diff.
    LineNotes(LineNotesRequest),
    /// An issue.
    Issue(IssueRequest),
    /// The end of an issue that was written before.
    CloseIssue {
        /// The repository.
        repository: RepositoryPath,
        /// What tells the issue from all others.
        marker: String,
    },
}

impl Posting {
    /// The word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Posting::Comment(_) => "comment",
            Posting::Answer(_) => "answer",
            Posting::Status(_) => "status",
            Posting::CheckRun(_) => "check_run",
            Posting::LineNotes(_) => "line_notes",
            Posting::Issue(_) => "issue",
            Posting::CloseIssue { .. } => "close_issue",
        }
    }
}

/// What a report is about, and with it which earlier one it takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The project.
    pub project: ProjectName,
    /// The environment, where it is about one.
    pub environment: Option<EnvironmentName>,
    /// The pull request, where it is about one.
    pub pull: Option<u64>,
    /// The commit, where it is about one.
    pub commit: Option<CommitSha>,
    /// When what it tells of was heard of, where someone waits for it.
    pub heard_at: Option<Timestamp>,
}

impl About {
    /// The topic of a posting about this. An issue and its end are one topic; so are the statuses of a request's heads,
    /// one after the other.
    pub(super) fn topic(&self, posting: &Posting) -> String {
        let kind = match posting {
            // A request has many commands, and each its own answer.
            Posting::Answer(request) => return format!("answer {} {}", self.project, request.marker),
            Posting::CloseIssue { .. } => "issue",
            other => other.kind(),
        };
        let environment = self.environment.as_ref().map_or("", |name| name.as_str());
        match self.pull {
            Some(pull) => format!("{kind} {} #{pull} {environment}", self.project),
            None => format!("{kind} {} {environment}", self.project),
        }
    }
}

/// A report as the store takes it.
pub(super) fn new_report(about: About, posting: &Posting, at: Timestamp) -> Result<NewReport, StoreError> {
    let payload = serde_json::to_string(posting)
        .map_err(|error| StoreError::Database(format!("a report is no JSON: {error}")))?;
    let sha256 = ring::digest::digest(&ring::digest::SHA256, payload.as_bytes()).as_ref().to_vec();
    let (topic, kind) = (about.topic(posting), posting.kind().to_owned());
    let About { project, environment, pull, commit, heard_at } = about;
    Ok(NewReport { project, environment, pull, commit, kind, topic, payload, sha256, heard_at, at })
}
