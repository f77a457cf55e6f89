//! What the store keeps of commands in comments, and of who may write them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::authority::Role;
use crate::ids::{EnvironmentName, IntegrationName, PlanDigest, ProjectName, RunId};

/// An account on a forge that has a role here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeUserRow {
    /// The forge, as an integration.
    pub integration: IntegrationName,
    /// The forge's own id of the account, which stays with it.
    pub user_id: String,
    /// What the account was called when it was registered.
    pub login: String,
    /// What they may do.
    pub role: Role,
    /// When it was registered, or changed last.
    pub created_at: Timestamp,
}

/// A comment that may be a command, as it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// The project.
    pub project: ProjectName,
    /// The forge, as an integration.
    pub integration: IntegrationName,
    /// The repository's name there.
    pub repository: String,
    /// The pull request's number.
    pub pull: u64,
    /// The comment's id.
    pub comment_id: u64,
    /// When.
    pub at: Timestamp,
}

/// What became of a comment that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is to be read.
    New,
    /// It was heard of before, and is never taken up a second time.
    Known,
    /// No environment of the project takes commands.
    Off,
    /// Too many came within the hour: it is left alone.
    TooMany,
}

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// It is to be read, at `due_at`.
    Waiting,
    /// It was read and allowed, and is being carried out; from here on it is never begun again.
    Taken,
    /// Its run was begun.
    Running,
    /// It is over.
    Done,
}

/// A comment that may be a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// Its number here.
    pub id: u64,
    /// The project.
    pub project: ProjectName,
    /// The forge, as an integration.
    pub integration: IntegrationName,
    /// The repository's name there.
    pub repository: String,
    /// The pull request's number.
    pub pull: u64,
    /// The comment's id.
    pub comment_id: u64,
    /// How far it has come.
    pub state: CommandState,
    /// In whose name, since it was taken up.
    pub actor: Option<String>,
    /// Where, since it was taken up.
    pub environment: Option<EnvironmentName>,
    /// Which plan, since it was taken up.
    pub plan: Option<PlanDigest>,
    /// Its run, since it was begun.
    pub run: Option<RunId>,
    /// What came of it.
    pub outcome: Option<String>,
    /// When it was heard of.
    pub heard_at: Timestamp,
}
