//! What moved between two plans of one environment, as lines.

use similar::{ChangeTag, TextDiff};

use crate::plan::Plan;
use crate::report::text::{Style, body};

/// What is said where nothing of the report differs: the digest also covers what was last applied.
const ONLY_BASE: &str =
    "the same would be done, but something it rests on (what is declared, or what was last applied) is another";

/// The lines of the report that differ, `-` as it was confirmed, `+` as it is now; never empty for two digests. The
/// heading and the closing line, which name the commit and the digest, are left out.
pub fn moved(confirmed: &Plan, current: &Plan) -> Vec<String> {
    let (before, after) = (body(confirmed, Style::Plain), body(current, Style::Plain));
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let after: Vec<&str> = after.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&before, &after);
    let line = |change: similar::Change<&str>| match change.tag() {
        ChangeTag::Equal => None,
        ChangeTag::Delete => Some(format!("- {}", change.value().trim_end())),
        ChangeTag::Insert => Some(format!("+ {}", change.value().trim_end())),
    };
    let lines: Vec<String> = diff.iter_all_changes().filter_map(line).filter(|line| line.len() > 2).collect();
    if lines.is_empty() { vec![ONLY_BASE.to_owned()] } else { lines }
}
