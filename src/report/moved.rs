//! What moved between two plans of one environment, as lines.

use similar::{ChangeTag, TextDiff};

use crate::plan::Plan;
use crate::report::text::{Style, plan as text};

/// The lines of the report that differ, `-` as it was confirmed, `+` as it is now; never empty for two digests.
pub fn moved(confirmed: &Plan, current: &Plan) -> Vec<String> {
    let (before, after) = (text(confirmed, Style::Plain), text(current, Style::Plain));
    let diff = TextDiff::from_lines(&before, &after);
    let line = |change: similar::Change<&str>| match change.tag() {
        ChangeTag::Equal => None,
        ChangeTag::Delete => Some(format!("- {}", change.value().trim_end())),
        ChangeTag::Insert => Some(format!("+ {}", change.value().trim_end())),
    };
    let lines: Vec<String> = diff.iter_all_changes().filter_map(line).filter(|line| line.len() > 2).collect();
    if lines.is_empty() { vec!["what was last applied (base) is another".to_owned()] } else { lines }
}
