//! Declared × base × live, leaf by leaf: what differs, where, and why.
//!
//! Pure. Decides nothing about what to do; that is `plan`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CommitSha, RunId, ServiceName};
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// What was last applied and verified, per service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The services that Trueup applied and verified.
    pub services: BTreeMap<ServiceName, BaseService>,
}

/// One service as it was last applied and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseService {
    /// The declared leaves at that time, in normal form.
    pub leaves: BTreeMap<FieldPath, BaseLeaf>,
    /// The commit they were declared at.
    pub commit: Option<CommitSha>,
    /// The run that applied them; `None` where live was found to match by itself.
    pub run: Option<RunId>,
    /// When they were verified.
    pub verified_at: Timestamp,
}

/// One leaf as it was last applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseLeaf {
    /// Its value: an image with its content, a secret by fingerprint.
    pub value: Value,
    /// What the repo wrote (see `DeclaredLeaf::written`).
    pub written: String,
}

/// Why a leaf differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was applied here yet.
    New,
    /// The repo's file changed.
    Repo,
    /// What runs was changed.
    Live,
    /// Both changed.
    Both,
    /// The file stood still, but a tag, a secret's value or an operator's setting moved.
    Input,
}

impl Cause {
    /// The cause's word.
    pub fn word(self) -> &'static str {
        match self {
            Cause::New => "new",
            Cause::Repo => "repo",
            Cause::Live => "live",
            Cause::Both => "both",
            Cause::Input => "input",
        }
    }
}
