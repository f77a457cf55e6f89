//! Errors as `application/problem+json` (RFC 9457), each from its own constructor.
//!
//! A 500 says nothing internal: the cause goes to the log, once, where the problem is made.

use std::error::Error;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::authority::Denied;
use crate::declared::{Diagnostic, InvalidFile};
use crate::pass::PassError;
use crate::plan::Plan;
use crate::store::StoreError;
use crate::sync::gate::Refusal;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// Which kind it is: `about:blank`, where the status says it all, or `urn:trueup:problem:WORD`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The kind in words.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// The plan of now, where a confirmed one has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<Plan>>,
    /// What moved, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
    /// What is wrong with a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            current: None,
            moved: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    fn of_kind(self, word: &str, title: &str) -> Self {
        Problem { kind: format!("urn:trueup:problem:{word}").into(), title: title.into(), ..self }
    }

    /// The request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Nobody said who asks, or the token is none.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// Who asks may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The path knows no such method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not know that method; docs/api.md lists those it does",
        )
    }

    /// What is there forbids it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The body is too large.
    pub fn too_large(most: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} KiB", most >> 10))
    }

    /// The body is no JSON by its own account.
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as JSON, with `content-type: application/json`")
    }

    /// The body reads well and says what cannot be.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// A file, or a service's fields, that are not valid.
    pub fn invalid_file(invalid: &InvalidFile) -> Self {
        let problem = Self::unprocessable(invalid.to_string()).of_kind("invalid-file", "The file is not valid");
        Problem { diagnostics: invalid.diagnostics.clone(), ..problem }
    }

    /// A confirmed plan that is no longer the plan of now.
    pub fn moved(detail: impl Into<String>, current: Plan, moved: Vec<String>) -> Self {
        let problem = Self::conflict(detail).of_kind("plan-moved", "The plan has moved");
        Problem { current: Some(Box::new(current)), moved, ..problem }
    }

    /// Something outside (a repository) gave no answer.
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, detail)
    }

    /// It took too long.
    pub fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long and was given up; what was begun goes on")
    }

    /// Not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// The database has no room.
    pub fn no_room(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, detail)
    }

    /// Something is wrong inside. `cause` goes to the log and nowhere else.
    pub fn internal(cause: &dyn Error) -> Self {
        tracing::error!(error = chain(cause), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the daemon could not do this; its log says why")
    }
}

/// An error with what caused it, outermost first.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Problem::not_found(error.to_string()),
            StoreError::Conflict(why) => Problem::conflict(why),
            StoreError::Full(_) => Problem::no_room(error.to_string()),
            StoreError::Database(_)
            | StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::InUse { .. } => Problem::internal(&error),
        }
    }
}

impl From<PassError> for Problem {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Store(error) => error.into(),
            PassError::Invalid(invalid, _) => Problem::invalid_file(&invalid),
            PassError::NoProject(_)
            | PassError::NoEnvironment(_)
            | PassError::NoRef { .. }
            | PassError::NoRelease(_)
            | PassError::NoLeaf(_) => Problem::not_found(chain(&error)),
            PassError::Disabled(_)
            | PassError::Provider { .. }
            | PassError::OtherCode(_)
            | PassError::Remote(_)
            | PassError::Secret(_) => Problem::conflict(chain(&error)),
            PassError::Git(_) => Problem::bad_gateway(chain(&error)),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(denied) => denied.into(),
            Refusal::Store(error) => error.into(),
            Refusal::Busy(_) | Refusal::Replan(_) | Refusal::NotAllowed(_) => Problem::conflict(chain(&refusal)),
            Refusal::Moved { ref current, .. } => Problem::moved(refusal.to_string(), (**current).clone(), Vec::new()),
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Problem::forbidden(denied.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"trueup\""));
        }
        response
    }
}
