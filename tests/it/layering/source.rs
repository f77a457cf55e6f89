//! The source files as the rules of the house look at them: without comments and tests.

use std::path::{Path, PathBuf};

/// One file of `src/` as the rules look at it.
pub struct Source {
    /// Below `src/`, such as `live/value.rs`.
    pub path: String,
    /// The top module, such as `live`.
    pub module: String,
    /// The lines that are neither comments nor tests, with their numbers.
    pub lines: Vec<(usize, String)>,
    /// How many lines the file has.
    pub length: usize,
}

impl Source {
    pub fn of(path: &str, text: &str) -> Self {
        let module = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        Source { path: path.to_owned(), module, lines: code_of(text), length: text.lines().count() }
    }

    pub fn is_in(&self, place: &str) -> bool {
        self.path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }

    pub fn hits<'a>(&'a self, token: &'a str) -> impl Iterator<Item = String> + 'a {
        self.lines
            .iter()
            .filter(move |(_, line)| contains_word(line, token))
            .map(move |(number, line)| format!("src/{}:{number}: `{token}` in: {}", self.path, line.trim()))
    }
}

/// Whether `line` holds `token` not as the end of a longer word.
pub fn contains_word(line: &str, token: &str) -> bool {
    line.match_indices(token).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !token.starts_with(word) || !line[..at].ends_with(word)
    })
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let source =
            Source::of(file.strip_prefix(&root).unwrap().to_str().unwrap(), &std::fs::read_to_string(&file).unwrap());
        if !matches!(source.module.as_str(), "lib" | "main") {
            sources.push(source);
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// The lines that run in production: no comments, no test modules (which end a file, by convention).
pub fn code_of(text: &str) -> Vec<(usize, String)> {
    let mut code = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            if lines.peek().is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{')) {
                break;
            }
            lines.next();
            continue;
        }
        let bare = match line.find("// ") {
            Some(at) if line[..at].trim().is_empty() || line[..at].ends_with(' ') => &line[..at],
            _ => line,
        };
        if !bare.trim().is_empty() && !bare.trim().starts_with("//") {
            code.push((index + 1, bare.to_owned()));
        }
    }
    code
}
