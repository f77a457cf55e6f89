//! Why a forge did not do what it was asked. Never holds a credential, and of an answer only its message, shortened.

use std::time::Duration;

use crate::forge::ForgeKind;
use crate::guarded::GuardedError;
use crate::secret::SecretError;

/// Why a forge did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForgeError {
    /// It may work later: no answer, an answer of a proxy, a limit that is used up.
    #[error("{operation}: {reason}")]
    Transient {
        /// What was asked.
        operation: String,
        /// What came of it.
        reason: String,
        /// How long to wait at least, where the forge said so.
        retry_after: Option<Duration>,
    },
    /// The credential has no value now; whoever provides it makes this work.
    #[error("{operation}: {source}")]
    Credential {
        /// What was asked.
        operation: String,
        /// Why there is none.
        source: SecretError,
    },
    /// The credential is not accepted.
    #[error(
        "{operation}: the forge does not accept the credential ({reason}): renew it where its auth reference points"
    )]
    Unauthorized {
        /// What was asked.
        operation: String,
        /// What the forge says.
        reason: String,
    },
    /// The credential may not do this.
    #[error("{operation}: the forge forbids it ({reason}): see which scopes are missing with the integration's test")]
    Forbidden {
        /// What was asked.
        operation: String,
        /// What the forge says.
        reason: String,
    },
    /// What is asked about is not there, or the credential does not see it.
    #[error("{operation}: not found, or not visible to this credential ({reason})")]
    NotFound {
        /// What was asked.
        operation: String,
        /// What the forge says.
        reason: String,
    },
    /// The forge understands and refuses.
    #[error("{operation}: the forge refuses it ({reason})")]
    Rejected {
        /// What was asked.
        operation: String,
        /// What the forge says.
        reason: String,
    },
    /// The request was not sent, or its redirect not followed.
    #[error("{operation}: {source}")]
    Guarded {
        /// What was asked.
        operation: String,
        /// The rule that forbids it.
        source: GuardedError,
    },
    /// The forge, or this way to sign in to it, has no such thing.
    #[error("{forge} cannot {what}: {instead}")]
    Unsupported {
        /// The forge.
        forge: ForgeKind,
        /// What it cannot do.
        what: &'static str,
        /// What is done or needed instead.
        instead: &'static str,
    },
}

impl ForgeError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            ForgeError::Transient { .. } | ForgeError::Credential { .. } => true,
            ForgeError::Unauthorized { .. }
            | ForgeError::Forbidden { .. }
            | ForgeError::NotFound { .. }
            | ForgeError::Rejected { .. }
            | ForgeError::Guarded { .. }
            | ForgeError::Unsupported { .. } => false,
        }
    }

    /// How long to wait at least before asking again, where the forge said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ForgeError::Transient { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn rejected(operation: &str, reason: impl Into<String>) -> Self {
        ForgeError::Rejected { operation: operation.to_owned(), reason: reason.into() }
    }

    pub(crate) fn guarded(operation: &str, error: GuardedError) -> Self {
        if error.is_transient() {
            let (operation, reason) = (operation.to_owned(), error.to_string());
            return ForgeError::Transient { operation, reason, retry_after: None };
        }
        ForgeError::Guarded { operation: operation.to_owned(), source: error }
    }
}
