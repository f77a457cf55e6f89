//! How much of an environment a report shows that leaves the house. The operator says so, per environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much a report shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportDetail {
    /// Fields with their values, as far as the rules on values allow.
    #[default]
    Full,
    /// Which fields of which services, and why they differ; no value and no reason in prose.
    NamesOnly,
    /// Nothing: the environment stands in no report.
    Off,
}

impl ReportDetail {
    /// Every word with its value.
    pub const ALL: [(&'static str, ReportDetail); 3] =
        [("full", ReportDetail::Full), ("names-only", ReportDetail::NamesOnly), ("off", ReportDetail::Off)];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            ReportDetail::Full => "full",
            ReportDetail::NamesOnly => "names-only",
            ReportDetail::Off => "off",
        }
    }
}

impl fmt::Display for ReportDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The text is no word for how much a report shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not how much a report shows: write full, names-only or off")]
pub struct UnknownDetail(pub String);

impl FromStr for ReportDetail {
    type Err = UnknownDetail;

    fn from_str(text: &str) -> Result<Self, UnknownDetail> {
        let found = ReportDetail::ALL.iter().find(|(word, _)| *word == text);
        found.map(|(_, detail)| *detail).ok_or_else(|| UnknownDetail(text.chars().take(40).collect()))
    }
}
