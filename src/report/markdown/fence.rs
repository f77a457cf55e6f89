//! Code that stays code, whatever is in it.

use std::borrow::Cow;

use crate::report::words;

/// The longest line that is shown, in characters.
const LINE_MAX: usize = 1_000;

/// The lines as a fenced block that nothing in them can close.
pub fn fenced(language: &str, lines: &[String]) -> String {
    let clean: Vec<String> = lines.iter().map(|line| harmless(line)).collect();
    let longest = clean.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let mut text = format!("{fence}{language}\n");
    for line in clean {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&fence);
    text.push('\n');
    text
}

/// A short text as code within a line.
pub(super) fn code(text: &str) -> String {
    let text = harmless(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    // A space at either end, which is not shown, keeps backticks at the ends apart from the fence.
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A link, where the address can stand in one as it is.
pub(in crate::report) fn link(words: &str, address: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !"()<>[]\\\"'`".contains(c);
    let sound = (address.starts_with("https://") || address.starts_with("http://")) && address.chars().all(plain);
    sound.then(|| format!("[{words}]({address})"))
}

/// One line that neither steers a terminal nor looks like a hidden marker to whoever searches comments for one.
fn harmless(line: &str) -> String {
    let line: Cow<'_, str> = match line.char_indices().nth(LINE_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]).into(),
        None => line.into(),
    };
    words::printable(&line).replace("<!--", "<! --").replace("]: #", "] : #")
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::{code, fenced};

    #[test]
    fn nothing_closes_a_fence_from_within() {
        let lines = ["+ a ``` b".to_owned(), "````".to_owned(), "x\n```\n# heading".to_owned()];
        let text = fenced("diff", &lines);
        assert!(text.starts_with("`````diff\n") && text.ends_with("\n`````\n"), "{text}");
        assert_eq!(text.lines().count(), 5, "one line a line: {text}");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("plain"), "`plain`");
    }
}
