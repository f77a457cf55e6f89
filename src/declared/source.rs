//! A service's code as one value: the hash of what its `source` globs match in the repository's tree.

use globset::{Glob, GlobBuilder, GlobMatcher};
use ring::digest;

use crate::declared::problem::{Wrong, shown};
use crate::ids::SourceHash;

/// One file of the repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the repository's root, with forward slashes.
    pub path: String,
    /// Git's file mode (`0o100644`, `0o100755`, `0o120000`, `0o160000`).
    pub mode: u32,
    /// The blob's object id (of a submodule: the commit's).
    pub blob: String,
}

/// A service's code: its hash, and the globs that the hash is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) hash: SourceHash,
    pub(crate) globs: Vec<String>,
}

impl Code {
    /// What a tree holds of these globs, `None` where they match nothing.
    pub(crate) fn of(tree: &[TreeEntry], globs: Vec<String>) -> Result<Option<Self>, Wrong> {
        Ok(hash(tree, &globs)?.map(|hash| Code { hash, globs }))
    }

    /// As base keeps it with the leaf, so that it can be told later whether a commit still holds this code.
    pub(crate) fn written(&self) -> String {
        format!("{}{OF}{}", self.hash, serde_json::to_string(&self.globs).expect("texts are JSON"))
    }
}

/// What stands between the hash and its globs in [`Code::written`].
const OF: &str = " of ";

/// The hash that a commit's tree has by the globs that were written with a source leaf; `None` where none were.
pub fn hash_again(written: &str, tree: &[TreeEntry]) -> Option<SourceHash> {
    let (_, globs) = written.split_once(OF)?;
    let globs: Vec<String> = serde_json::from_str(globs).ok()?;
    Some(hash(tree, &globs).ok()?.unwrap_or_else(empty))
}

/// One pattern: whether it takes in or out, and what it matches (itself, and all beneath it).
struct Rule {
    takes_in: bool,
    itself: GlobMatcher,
    beneath: GlobMatcher,
}

/// Whether a text is a glob that [`hash`] accepts.
pub(crate) fn check_glob(text: &str) -> Result<(), Wrong> {
    // Compiling a matcher is what costs; a file may hold many globs, and most are never used.
    patterns(text).map(|_| ())
}

fn rule(text: &str) -> Result<Rule, Wrong> {
    let (takes_in, [itself, beneath]) = patterns(text)?;
    Ok(Rule { takes_in, itself: itself.compile_matcher(), beneath: beneath.compile_matcher() })
}

/// Whether the pattern takes in or out, what it names and what is beneath that.
fn patterns(text: &str) -> Result<(bool, [Glob; 2]), Wrong> {
    let (takes_in, pattern) = match text.strip_prefix('!') {
        Some(pattern) => (false, pattern),
        None => (true, text),
    };
    if pattern.starts_with('/') {
        return Err(Wrong::new(format!("{} begins with `/`", shown(text)))
            .help("write it from the repository's root without `/`, such as src/**"));
    }
    if pattern.split('/').any(|part| part == "..") {
        return Err(Wrong::new(format!("{} leaves the repository", shown(text))).help("remove `..`"));
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern).trim_end_matches('/');
    if pattern.is_empty() || pattern.len() > 512 {
        return Err(Wrong::new("a glob is 1 to 512 bytes long").help("write `**` for the whole repository"));
    }
    // A bare dot is the whole repository, as everywhere else.
    let pattern = if pattern == "." { "**" } else { pattern };
    let build = |pattern: &str| {
        GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
            Wrong::new(format!("{} is not a glob: {}", shown(text), error.kind()))
                .help("write a path, or a pattern such as `src/**`; `\\[` is a bracket itself")
        })
    };
    Ok((takes_in, [build(pattern)?, build(&format!("{pattern}/**"))?]))
}

/// What a service's globs match in a tree, as one hash; `None` where they match nothing. The last pattern that matches a
/// file decides; where all take out, the first takes from everything.
///
/// The hash is SHA-256 over each matched file's mode, blob id and path in order of path, so that it depends on neither
/// the repository's history nor the order of the globs.
///
/// # Errors
/// A text that is no glob.
pub(crate) fn hash(tree: &[TreeEntry], globs: &[String]) -> Result<Option<SourceHash>, Wrong> {
    let rules: Vec<Rule> = globs.iter().map(|glob| rule(glob)).collect::<Result<_, _>>()?;
    let from_everything = rules.iter().all(|rule| !rule.takes_in);
    let mut matched: Vec<&TreeEntry> = tree
        .iter()
        .filter(|entry| {
            let last =
                rules.iter().rev().find(|rule| rule.itself.is_match(&entry.path) || rule.beneath.is_match(&entry.path));
            last.map_or(from_everything, |rule| rule.takes_in)
        })
        .collect();
    if matched.is_empty() {
        return Ok(None);
    }
    matched.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(digest_of(&matched)))
}

/// The hash of no files at all: a repository with nothing but the declaring file.
pub(crate) fn empty() -> SourceHash {
    digest_of(&[])
}

fn digest_of(matched: &[&TreeEntry]) -> SourceHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"trueup source 1\0");
    for entry in matched {
        // Paths hold no NUL, so no two trees run together to the same bytes.
        context.update(format!("{:o} {} {}\0", entry.mode, entry.blob, entry.path).as_bytes());
    }
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().expect("SHA-256 is 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::{Code, TreeEntry, check_glob, hash, hash_again};

    fn tree(paths: &[&str]) -> Vec<TreeEntry> {
        paths
            .iter()
            .map(|path| TreeEntry { path: (*path).to_owned(), mode: 0o100_644, blob: format!("blob of {path}") })
            .collect()
    }

    fn same(globs: &[&str], paths: &[&str]) {
        let all =
            ["Dockerfile", "README.md", "docs/a.md", "src/main.rs", "src/net/tcp.rs", "src/net/tcp.md", "srcs/x.rs"];
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let everything = ["**".to_owned()];
        assert_eq!(hash(&tree(&all), &globs), hash(&tree(paths), &everything), "{globs:?}");
    }

    #[test]
    fn globs_pick_files() {
        same(&["Dockerfile"], &["Dockerfile"]);
        same(&["src"], &["src/main.rs", "src/net/tcp.rs", "src/net/tcp.md"]);
        same(&["./src/"], &["src/main.rs", "src/net/tcp.rs", "src/net/tcp.md"]);
        same(&["src/*.rs"], &["src/main.rs"]);
        same(&["src/**/*.rs"], &["src/main.rs", "src/net/tcp.rs"]);
        same(&["src/**", "!**/*.md"], &["src/main.rs", "src/net/tcp.rs"]);
        same(&["src/**", "!**/*.md", "src/net/tcp.md"], &["src/main.rs", "src/net/tcp.rs", "src/net/tcp.md"]);
        same(&["!docs", "!src", "!srcs"], &["Dockerfile", "README.md"]);
        same(&["*.{md,rs}"], &["README.md"]);
        same(&["nothing"], &[]);
    }

    #[test]
    fn the_hash_tells_content_mode_and_path_apart_and_nothing_else() {
        let globs = ["**".to_owned()];
        let base = tree(&["a", "b"]);
        let mut reversed = base.clone();
        reversed.reverse();
        assert_eq!(hash(&base, &globs), hash(&reversed, &globs));
        for change in [
            |entry: &mut TreeEntry| entry.blob.push('x'),
            |entry: &mut TreeEntry| entry.mode = 0o100_755,
            |entry: &mut TreeEntry| entry.path.push('x'),
        ] {
            let mut changed = base.clone();
            change(&mut changed[0]);
            assert_ne!(hash(&base, &globs), hash(&changed, &globs));
        }
    }

    #[test]
    fn a_hash_can_be_taken_again_from_what_was_written() {
        let code = Code::of(&tree(&["src/a", "b c"]), vec!["src/**".into(), "!\"x\" of y".into()]).expect("globs");
        let code = code.expect("it matches");
        assert_eq!(hash_again(&code.written(), &tree(&["b c", "other", "src/a"])), Some(code.hash.clone()));
        assert_ne!(hash_again(&code.written(), &tree(&["src/a", "src/b"])), Some(code.hash.clone()));
        assert_eq!(hash_again(&code.hash.to_string(), &tree(&["src/a"])), None);
    }

    #[test]
    fn what_is_no_glob_of_this_repository() {
        for text in ["", "!", "/etc", "../x", "a/../b", "[a", "{a"] {
            assert!(check_glob(text).is_err(), "{text}");
        }
    }
}
