//! Answers that go on: those to the bearer of a token end when the token is revoked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

/// Which tokens' answers are to end. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TokenStreams {
    tokens: Arc<Mutex<BTreeMap<String, CancellationToken>>>,
}

impl TokenStreams {
    /// What is cancelled when the token of this name is revoked. There are as many as tokens were used.
    pub(super) fn of(&self, token: &str) -> CancellationToken {
        self.all().entry(token.to_owned()).or_default().clone()
    }

    /// Ends what still goes on for the token of this name.
    pub(super) fn end(&self, token: &str) {
        if let Some(ended) = self.all().remove(token) {
            ended.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same answer, ending with `ended` where it goes on by itself.
pub(super) fn until(response: Response, ended: CancellationToken) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(ended.cancelled_owned())))
}
