//! The repo's file → [`Declared`]: what one commit says an environment should be, leaf by leaf.
//!
//! Pure. Must not know what runs, what was applied, or where anything is deployed.

mod credential;
mod document;
mod env;
pub mod file;
mod health;
mod leaves;
mod mapping;
mod ports;
mod problem;
mod reader;
mod resolve;
mod rules;
mod scalar;
pub mod schema;
mod service;
mod shape;
pub mod snippet;
pub mod source;
pub(crate) mod suggest;
mod syntax;
mod template;
mod text;
mod tree;
mod volumes;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ServiceName;
use crate::live::field::FieldPath;
use crate::live::shared::SharedText;
use crate::live::value::Value;

/// What the file declares for one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The services; `None` where the file, the environment or its `services` key is missing, which withdraws and
    /// orphans nothing. An empty map was written and orphans all.
    pub services: Option<BTreeMap<ServiceName, DeclaredService>>,
}

impl Declared {
    /// Whether a leaf is declared as a secret.
    pub fn holds_secret(&self, service: &ServiceName, field: &FieldPath) -> bool {
        let service = self.services.as_ref().and_then(|services| services.get(service));
        let leaf = service.and_then(|service| service.leaves.get(field));
        leaf.is_some_and(|leaf| matches!(leaf.value, Value::Secret(_)))
    }
}

/// One declared service: only the leaves that are written (and [`FieldPath::Stopped`], which every service implies).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredService {
    /// The leaves, templates substituted, in normal form.
    pub leaves: BTreeMap<FieldPath, DeclaredLeaf>,
    /// Where the service begins.
    pub at: Position,
}

/// One written leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredLeaf {
    /// The value in normal form. A secret's fingerprint and an image's content are filled in by the pass; here they
    /// are empty.
    pub value: Value,
    /// What the repo wrote, for telling `repo` from `input`: templates that the repo decides (Source, Commit, Branch,
    /// Tag, Version …) substituted, those that the operator decides (`Env.X`) left as written; `(operator)` for a
    /// leaf that the operator registered, with the repo's inputs to it after that.
    pub written: SharedText,
    /// Whether it uses `{{ .Commit }}`, `{{ .ShortCommit }}` or a `{{ .Version }}` that is the commit: it then changes
    /// with every commit, and the plan says so.
    pub uses_commit: bool,
    /// Where it is written.
    pub at: Position,
}

/// A place in a file. Line and column count from 1; the column counts characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Position {
    /// The file's path within the repository.
    pub file: SharedText,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong with a file. Holds no content of the file beyond names and short scalars that are no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diagnostic {
    /// What is wrong and what was expected.
    pub message: String,
    /// Where.
    pub at: Option<Position>,
    /// How many characters of that line it is about, at least 1.
    pub width: u32,
    /// What to do about it.
    pub help: Option<String>,
}

/// The file is not valid: everything that was found wrong, in order of place; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidFile {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for InvalidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            if let Some(at) = &diagnostic.at {
                write!(f, "{at}: ")?;
            }
            f.write_str(&diagnostic.message)?;
            if let Some(help) = &diagnostic.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}
