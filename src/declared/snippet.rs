//! Diagnostics with the lines they are about, for a terminal only: snippets print the file's content.
//!
//! What looks like a secret is masked all the same: terminals are recorded too.

use std::collections::BTreeMap;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::declared::credential;
use crate::declared::{Diagnostic, InvalidFile, Position};

/// Renders diagnostics over their source lines. `sources` holds the text of each file by path; what is not there is
/// printed without its line. Values that look like secrets are masked.
pub fn render(diagnostics: &InvalidFile, sources: &BTreeMap<String, String>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let masked: BTreeMap<&str, String> = sources.iter().map(|(path, text)| (path.as_str(), mask(text))).collect();
    let rendered = diagnostics.diagnostics.iter().map(|diagnostic| one(&renderer, diagnostic, &masked));
    rendered.collect::<Vec<_>>().join("\n\n")
}

fn one(renderer: &Renderer, diagnostic: &Diagnostic, sources: &BTreeMap<&str, String>) -> String {
    let Diagnostic { message, at, width, help } = diagnostic;
    let source = at.as_ref().and_then(|at| {
        let (text, span) = span(sources.get(at.file.as_str())?, at, *width)?;
        Some((at, text, span))
    });
    let title = match (&source, at) {
        (None, Some(at)) => Level::ERROR.primary_title(format!("{message} ({at})")),
        (Some(_), _) | (None, None) => Level::ERROR.primary_title(message.clone()),
    };
    let mut group = annotate_snippets::Group::with_title(title);
    if let Some((at, text, span)) = source {
        let snippet = Snippet::source(text).line_start(at.line as usize).path(String::from(at.file.clone()));
        group = group.element(snippet.annotation(AnnotationKind::Primary.span(span)));
    }
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    renderer.render(&[group])
}

/// The line of a stretch and the stretch's bytes in it; `None` where the text has no such line.
fn span<'t>(text: &'t str, at: &Position, width: u32) -> Option<(&'t str, Range<usize>)> {
    let line = at.line.checked_sub(1)? as usize;
    let content = text.split('\n').nth(line)?.trim_end_matches('\r');
    let column = at.column.saturating_sub(1) as usize;
    let byte = |column: usize| content.char_indices().nth(column).map_or(content.len(), |(at, _)| at);
    Some((content, byte(column)..byte(column.saturating_add(width as usize))))
}

/// The text with the values of what looks like a credential, and whole words that look like secrets, replaced by `*`
/// character for character, so that columns stay.
fn mask(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut masked = String::with_capacity(text.len());
    // The least indentation of lines that go on with what a masked line began.
    let mut goes_on: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if goes_on.is_some_and(|least| indent >= least || line.trim().is_empty()) {
            masked.push_str(&stars(line));
            continue;
        }
        goes_on = None;
        let from = secret_from(line);
        match from {
            None => masked.push_str(line),
            Some(from) => {
                masked.push_str(&line[..from]);
                masked.push_str(&stars(&line[from..]));
                goes_on = Some(if from == 0 { indent } else { indent + 1 });
            }
        }
    }
    masked
}

/// The byte of a line from which it may hold a secret.
fn secret_from(line: &str) -> Option<usize> {
    let named = line.match_indices([':', '=']).find_map(|(colon, _)| {
        let key = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let name = key.rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).next()?;
        let value = line[colon + 1..].trim();
        // What is no variable's name before `=` is an argument like `--token=…`, and holds one just the same.
        let safe = value.is_empty() || value.starts_with("{ secret:") || value.starts_with("{secret:");
        // `{ secret: name }` holds a name.
        (credential::is_credential_name(name) && name != "secret" && !safe).then_some(colon + 1)
    });
    let looks = || {
        credential::is_secret(line)?;
        // From the first word that is part of it; a line with a secret in it keeps its key and no more.
        Some(line.find(':').map_or(0, |colon| colon + 1))
    };
    named.or_else(looks)
}

fn stars(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn secrets_are_masked_and_columns_stay() {
        for (text, masked) in [
            ("image: nginx\n", "image: nginx\n"),
            ("  DB_PASSWORD: hunter2 # x\n  A: b\n", "  DB_PASSWORD: ******* * *\n  A: b\n"),
            ("env: {DB_PASSWORD: hunter2}", "env: {DB_PASSWORD: ********"),
            ("\"DB_PASSWORD\": \"ä b\"", "\"DB_PASSWORD\": ** **"),
            ("TOKEN: { secret: token }", "TOKEN: { secret: token }"),
            ("  - DB_PASSWORD=hunter2\n", "  - DB_PASSWORD=*******\n"),
            ("command: [run, --api-token=abc, -v]", "command: [run, --api-token=**** ***"),
            ("URL: postgres://a:b@c/d", "URL: ******************"),
            (
                "KEY: |\n  -----BEGIN RSA PRIVATE KEY-----\n  MIIE\nB: c",
                "KEY: |\n  ********** *** ******* ********\n  ****\nB: c",
            ),
            ("PRIVATE_KEY: |\n  MIIE\n\n  MIIF\nB: c", "PRIVATE_KEY: *\n  ****\n\n  ****\nB: c"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }
}
