//! The outbox: what is said on forges, and what became of it.

pub(in crate::http) mod list;
pub(in crate::http) mod post;
pub(in crate::http) mod show;

use serde::Deserialize;

/// The report of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InReport {
    pub(in crate::http) report: u64,
}
