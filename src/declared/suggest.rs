//! "Did you mean": the nearest of a few known words; and what to write instead of a value of another kind.

use crate::declared::tree::{Content, Node};

/// The most candidates that are looked at: who has more is not helped by a guess, and a hostile file has many.
const CANDIDATES: usize = 100;

/// The candidate that `word` was most likely meant to be, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(CANDIDATES)
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or else the list of what there is.
pub(crate) fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", candidates.join(", ")),
    }
}

/// Case, hyphens and underscores make no difference to a reader.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (previous[j] + usize::from(x != y)).min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

/// How to write what was expected, for someone who wrote something of another kind.
pub(crate) fn instead(node: &Node, expected: &str) -> &'static str {
    let list = expected.starts_with("a list") || expected.starts_with("a command line");
    match &node.content {
        Content::Map(_) if expected.starts_with("a command line") => "write [\"serve\", \"--port\", \"8080\"]",
        Content::Map(_) if list => "write `- ` before each entry, and no key",
        Content::Scalar(_) if list => "put it in brackets: [one, two]",
        Content::Map(_) => "write one value after the `:`",
        Content::List(_) if expected.contains("such as") || expected.starts_with('`') => {
            "write one value after the `:`, without a list"
        }
        Content::List(_) | Content::Scalar(_) | Content::Broken => {
            "write one `key: value` a line below it, indented and without `- `"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_word() {
        let known = ["healthcheck", "replicas", "env", "ports", "port"];
        for (slip, meant) in [
            ("health_check", Some("healthcheck")),
            ("healtcheck", Some("healthcheck")),
            ("Replicas", Some("replicas")),
            ("replcias", Some("replicas")),
            ("evn", Some("env")),
            ("port", Some("port")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, known), meant, "{slip}");
        }
    }
}
