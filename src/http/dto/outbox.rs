//! Reports on their way to forges.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{CommitSha, EnvironmentName, ProjectName};
use crate::store::records::{ReportRow, ReportState};

/// A report, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    /// Its number.
    pub id: u64,
    /// The project that it is about.
    pub project: ProjectName,
    /// The environment, where it is about one.
    pub environment: Option<EnvironmentName>,
    /// The pull request, where it is about one.
    pub pull: Option<u64>,
    /// The commit, where it is about one.
    pub commit: Option<CommitSha>,
    /// What is written: `comment`, `status`, `check_run`, `line_notes`, `issue`, `close_issue`.
    pub kind: String,
    /// How it stands.
    pub state: ReportState,
    /// How often it was tried.
    pub attempts: u64,
    /// When it is tried next, where it is.
    pub due_at: Option<Timestamp>,
    /// Whether it stands on the forge.
    pub success: bool,
    /// Why the last attempt failed, where it did.
    pub error: Option<String>,
    /// Whether it is tried again by itself.
    pub is_transient: bool,
    /// Whether it was not sent, as the daemon is offline by its settings.
    pub skipped_offline: bool,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was done with.
    pub ended_at: Option<Timestamp>,
    /// What the forge is asked to write; in lists it is left out.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<serde_json::Value>,
}

impl ReportView {
    /// The view of a row, with what is to be written where that is asked for.
    pub(in crate::http) fn of(row: ReportRow, with_payload: bool) -> Self {
        let waits = matches!(row.state, ReportState::Waiting | ReportState::Posting);
        ReportView {
            id: row.id,
            project: row.project,
            environment: row.environment,
            pull: row.pull,
            commit: row.commit,
            kind: row.kind,
            state: row.state,
            attempts: row.attempts,
            due_at: waits.then_some(row.due_at),
            success: row.state == ReportState::Posted,
            error: row.error,
            is_transient: waits,
            skipped_offline: row.state == ReportState::Skipped,
            created_at: row.created_at,
            ended_at: row.ended_at,
            payload: with_payload
                .then(|| serde_json::from_str(&row.payload).unwrap_or(serde_json::Value::String(row.payload))),
        }
    }
}
