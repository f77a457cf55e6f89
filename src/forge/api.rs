//! What every forge does for Trueup: the reports it takes, what it tells of requests and people, its webhooks.

mod limits;
mod outcome;
mod request;
mod standing;

use async_trait::async_trait;

pub(crate) use limits::cut;
pub use limits::{CommentForm, ForgeLimits};
pub use outcome::Report;
pub use request::{
    CheckConclusion, CheckRunRequest, CommentRequest, IssueRequest, LineNote, LineNotesRequest, StatusRequest,
    WebhookRequest,
};
pub use standing::{
    Change, Comment, Connection, Delivery, ForgeUser, LineNotes, Permission, PullRequest, PullState, Side, Upserted,
    Webhook,
};
pub(crate) use standing::{missing_events, was_edited};

pub use crate::report::annotations::{Annotation, AnnotationLevel};
pub use crate::report::status::StatusState;

use crate::forge::{ForgeError, ForgeKind, RepositoryPath};

/// A forge that is shared by those who report.
pub type SharedForge = std::sync::Arc<dyn Forge>;

/// A forge. Every operation may be repeated: what was done before a reply was lost is found and not done twice.
///
/// All operations fail with [`ForgeError`]; what a forge has not answers [`ForgeError::Unsupported`].
#[async_trait]
pub trait Forge: Send + Sync + std::fmt::Debug {
    /// Which forge.
    fn kind(&self) -> ForgeKind;

    /// What it takes.
    fn limits(&self) -> ForgeLimits;

    /// Writes the one comment of a request: the known one is edited; else the one with the marker, written by this
    /// very account, is looked for; else one is created.
    async fn upsert_comment(&self, request: &CommentRequest) -> Result<Upserted, ForgeError>;

    /// Sets a commit's status of one context.
    async fn set_status(&self, request: &StatusRequest) -> Result<(), ForgeError>;

    /// Writes a check run with all its annotations. A run of the same content is completed, other content gets a run of
    /// its own, which the forge shows in place of the former.
    async fn upsert_check_run(&self, _: &CheckRunRequest) -> Result<Upserted, ForgeError> {
        Err(self.unsupported("take a check run", "a status is set instead"))
    }

    /// Puts notes on lines of a request's diff, and resolves those with the marker that are no longer asked for.
    async fn note_lines(&self, _: &LineNotesRequest) -> Result<LineNotes, ForgeError> {
        Err(self.unsupported("take notes on lines", "the comment names file and line"))
    }

    /// Reads a pull or merge request.
    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError>;

    /// A comment as it stands now: what a delivery says of it is never acted upon. `None` where it is gone.
    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError>;

    /// The open requests, oldest number first.
    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError>;

    /// The account of this name (on Bitbucket Cloud: of this account id or UUID); `None` where there is none. An App asks
    /// in the name of a repository that it is installed on.
    async fn find_user(&self, repository: Option<&RepositoryPath>, name: &str)
    -> Result<Option<ForgeUser>, ForgeError>;

    /// What a user may do in a repository. Whoever is not known there may do nothing; neither may an account that has
    /// the user's name and another id.
    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError>;

    /// Makes the webhook, or puts right the one with this URL.
    async fn upsert_webhook(&self, request: &WebhookRequest) -> Result<Upserted, ForgeError>;

    /// The webhook with this URL; `None` where there is none.
    async fn check_webhook(&self, repository: &RepositoryPath, url: &str) -> Result<Option<Webhook>, ForgeError>;

    /// Writes the issue with the marker: edited (and opened again) where there is one, else created.
    async fn upsert_issue(&self, _: &IssueRequest) -> Result<Upserted, ForgeError> {
        Err(self.unsupported("take an issue", "report to a webhook instead"))
    }

    /// Closes an issue: the known one, else the open one with the marker, written by this very account. One that is closed
    /// or gone is left so.
    async fn close_issue(&self, _: &RepositoryPath, _known: Option<&str>, _marker: &str) -> Result<(), ForgeError> {
        Err(self.unsupported("close an issue", "it has none of ours"))
    }

    /// Signs in and looks what the credential may do, in a repository where one is given.
    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError>;

    /// What this forge answers where it has no such thing.
    fn unsupported(&self, what: &'static str, instead: &'static str) -> ForgeError {
        ForgeError::Unsupported { forge: self.kind(), what, instead }
    }
}
