//! What became of a report, as the outbox keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::forge::ForgeError;

/// What became of one attempt to report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<T> {
    /// Whether it stands on the forge.
    pub success: bool,
    /// What the forge made of it.
    pub result: Option<T>,
    /// Why it does not stand there.
    pub error: Option<String>,
    /// Whether another attempt may help.
    pub is_transient: bool,
    /// Whether it was not attempted, as the daemon is offline.
    pub skipped_offline: bool,
    /// How long to wait at least before the next attempt, where the forge said so.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl<T> Report<T> {
    /// A report that was not attempted, as the daemon is offline.
    pub fn skipped_offline() -> Self {
        let error = Some("not sent: the daemon is offline by its settings".to_owned());
        Report { success: false, result: None, error, is_transient: false, skipped_offline: true, retry_after: None }
    }
}

impl<T> From<Result<T, ForgeError>> for Report<T> {
    fn from(result: Result<T, ForgeError>) -> Self {
        let none = Report {
            success: false,
            result: None,
            error: None,
            is_transient: false,
            skipped_offline: false,
            retry_after: None,
        };
        match result {
            Ok(result) => Report { success: true, result: Some(result), ..none },
            Err(error) => Report {
                is_transient: error.is_transient(),
                retry_after: error.retry_after(),
                error: Some(error.to_string()),
                ..none
            },
        }
    }
}
