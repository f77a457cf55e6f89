//! Errors as `application/problem+json` (RFC 9457), each from its own constructor.
//!
//! A 500 says nothing internal: the cause goes to the log, once, where the problem is made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::declared::Diagnostic;
use crate::plan::Plan;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which kind it is: `about:blank`, where the status says it all, or `urn:trueup:problem:WORD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
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
