//! Why a guarded request has no answer. URLs are shown without query, user or fragment: those may hold what is secret.

use std::time::Duration;

use reqwest::Url;

use super::resolver::Closed;

/// Why a guarded request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GuardedError {
    /// The request would have gone where none may go.
    #[error("{url} is not asked: {rule}")]
    Refused {
        /// The URL, without query.
        url: String,
        /// The rule, and what opens it.
        rule: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to}, which is not followed: {rule}")]
    Redirect {
        /// The URL that redirects, without query.
        url: String,
        /// Where to: scheme, host and port.
        to: String,
        /// The rule.
        rule: &'static str,
    },
    /// No connection, or one that broke.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The URL, without query.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {after:?}")]
    Timeout {
        /// The URL, without query.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// More answer than wanted.
    #[error("{url} answers with more than {limit} bytes")]
    TooLarge {
        /// The URL, without query.
        url: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// No client can be made.
    #[error("the HTTP client cannot start: {0}")]
    Client(String),
}

impl GuardedError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            GuardedError::Unreachable { .. } | GuardedError::Timeout { .. } => true,
            GuardedError::Refused { .. }
            | GuardedError::Redirect { .. }
            | GuardedError::TooLarge { .. }
            | GuardedError::Client(_) => false,
        }
    }

    pub(super) fn of(url: &Url, error: &reqwest::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
        let mut reason = String::new();
        while let Some(cause) = source {
            if let Some(closed) = cause.downcast_ref::<Closed>() {
                return GuardedError::Refused {
                    url: shown(url),
                    rule: format!("{closed}; if that is meant, add the host to the allowed hosts"),
                };
            }
            reason = cause.to_string();
            source = cause.source();
        }
        if reason.is_empty() {
            reason = "the connection broke".to_owned();
        }
        GuardedError::Unreachable { url: shown(url), reason }
    }
}

/// A URL without what may be secret.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that have no host, which have no user either.
    shown.set_username("").ok();
    shown.set_password(None).ok();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}
