//! What a forge tells.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::forge::RepositoryPath;
use crate::ids::CommitSha;

/// What an upsert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// There was none.
    Created,
    /// There was one, and it was changed.
    Edited,
    /// There was one that said the same.
    Unchanged,
}

/// What stands on the forge after an upsert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upserted {
    /// The forge's id.
    pub id: String,
    /// Where people see it.
    pub url: Option<String>,
    /// What was done.
    pub change: Change,
}

/// What became of notes on lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNotes {
    /// New ones.
    pub created: usize,
    /// Changed ones.
    pub edited: usize,
    /// Those that said the same.
    pub unchanged: usize,
    /// Those that are no longer asked for.
    pub resolved: usize,
    /// Those whose line is not part of the request's diff, so that they stand nowhere.
    pub outside: usize,
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    /// It may be merged.
    Open,
    /// It was.
    Merged,
    /// It was not, and is closed.
    Closed,
}

/// One side of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The branch's name.
    pub branch: String,
    /// Where it stands; `None` where the forge does not say.
    pub commit: Option<CommitSha>,
    /// The repository; `None` where it was deleted or is not visible.
    pub repository: Option<RepositoryPath>,
}

/// A pull or merge request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// How it stands.
    pub state: PullState,
    /// What would be merged.
    pub head: Side,
    /// What into.
    pub base: Side,
    /// Whether the head is in another repository than the base; also where the head's repository is gone.
    pub is_fork: bool,
    /// The commit on the base's branch that holds what was merged.
    pub merge_commit: Option<CommitSha>,
    /// Who opened it, by the name that permissions are read with.
    pub author: String,
    /// Where people see it.
    pub url: Option<String>,
}

/// An account on a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgeUser {
    /// The forge's own id, which stays with the account whatever it is called, and is never given to another.
    pub id: String,
    /// What the account is called now. Names change, and may then be taken by someone else.
    pub name: String,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Who wrote it.
    pub author: ForgeUser,
    /// Whether the author is a machine by the forge's word.
    pub is_bot: bool,
    /// What it says.
    pub body: String,
    /// When it was written; `None` where the forge does not say.
    pub created_at: Option<Timestamp>,
    /// Whether it was written anew since, by whomever; `None` where the forge does not say.
    pub edited: Option<bool>,
}

/// Whether a text was written anew, by its two times. Some forges note both a moment apart when it is new.
pub(crate) fn was_edited(created: Option<Timestamp>, updated: Option<Timestamp>) -> Option<bool> {
    let moment = jiff::SignedDuration::from_secs(1);
    Some(updated?.duration_since(created?) > moment)
}

/// What a user may do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Push to it.
    Write,
    /// Rule it.
    Admin,
}

/// A delivery of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When.
    pub at: Option<Timestamp>,
    /// Whether it was accepted.
    pub accepted: bool,
    /// What came of it, in the forge's words.
    pub detail: String,
}

/// A webhook as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The forge's id.
    pub id: String,
    /// Whether the forge delivers to it.
    pub active: bool,
    /// Events that are needed and not sent, in the forge's words.
    pub missing_events: Vec<String>,
    /// The last delivery; `None` where there was none or the forge does not tell.
    pub last_delivery: Option<Delivery>,
}

/// What a credential is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// As whom it signs in.
    pub account: String,
    /// Scopes that are needed and missing, in the forge's words.
    pub missing: Vec<String>,
    /// Scopes that are missing for what is optional (webhooks, issues), in the forge's words.
    pub missing_optional: Vec<String>,
}

/// Of the events that are wanted those that `is_sent` denies.
pub(crate) fn missing_events(wanted: &[&str], is_sent: impl Fn(&str) -> bool) -> Vec<String> {
    wanted.iter().filter(|event| !is_sent(event)).map(ToString::to_string).collect()
}
