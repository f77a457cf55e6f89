//! Which ref of a remote a person's words mean. Pure.

use crate::git::advertisement::RemoteRef;
use crate::git::version::Version;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A commit's id: nothing needs to be asked.
    Commit(String),
    /// One of these full names, the first that exists.
    Names(Vec<String>),
    /// The highest version among the refs that match a glob.
    Glob {
        /// What all of them begin with.
        prefix: String,
        /// The glob over full names.
        glob: globset::GlobMatcher,
    },
    /// Nothing that a ref can be called.
    Nothing,
}

impl Asked {
    /// A branch, tag, full ref, `HEAD`, commit id, or a glob over tags (`v1.*`) or full names (`refs/heads/release-*`).
    pub(crate) fn parse(reference: &str) -> Self {
        let reference = reference.trim();
        let valid = !reference.is_empty()
            && reference.len() <= 1024
            && !reference.contains("..")
            && !reference.contains(|c: char| c.is_control() || " ~^:\\".contains(c));
        if !valid {
            return Asked::Nothing;
        }
        if reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Asked::Commit(reference.to_ascii_lowercase());
        }
        if let Some(wild) = reference.find(['*', '?', '[']) {
            return Asked::glob(reference, wild);
        }
        if reference == "HEAD" || reference.starts_with("refs/") {
            return Asked::Names(vec![reference.to_owned()]);
        }
        Asked::Names(vec![format!("refs/heads/{reference}"), format!("refs/tags/{reference}")])
    }

    fn glob(reference: &str, wild: usize) -> Self {
        let (full, prefix) = if reference.starts_with("refs/") {
            (reference.to_owned(), reference[..wild].to_owned())
        } else {
            (format!("refs/tags/{reference}"), format!("refs/tags/{}", &reference[..wild]))
        };
        match globset::GlobBuilder::new(&full).literal_separator(true).build() {
            Ok(glob) => Asked::Glob { prefix, glob: glob.compile_matcher() },
            Err(_) => Asked::Nothing,
        }
    }

    /// What to ask a server for; it may answer with more.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        match self {
            Asked::Commit(_) | Asked::Nothing => Vec::new(),
            Asked::Names(names) => names.clone(),
            Asked::Glob { prefix, .. } => vec![prefix.clone()],
        }
    }

    /// Whether a ref may be what was asked for.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        match self {
            Asked::Commit(_) | Asked::Nothing => false,
            Asked::Names(names) => names.iter().any(|asked| asked == name),
            Asked::Glob { glob, .. } => glob.is_match(name),
        }
    }

    /// The ref that is meant, among those that a remote has.
    pub(crate) fn choose<'a>(&self, refs: &'a [RemoteRef]) -> Option<&'a RemoteRef> {
        match self {
            Asked::Commit(_) | Asked::Nothing => None,
            Asked::Names(names) => names.iter().find_map(|name| refs.iter().find(|entry| entry.name == *name)),
            // Versions order before other names; names break ties, so the choice never depends on the server's order.
            Asked::Glob { .. } => refs
                .iter()
                .filter(|entry| self.accepts(&entry.name))
                .max_by_key(|entry| (Version::of_ref(&entry.name), entry.name.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::git::advertisement::RemoteRef;

    fn refs(names: &[&str]) -> Vec<RemoteRef> {
        names
            .iter()
            .map(|name| RemoteRef { name: (*name).into(), object: String::new(), peeled: None, symref: None })
            .collect()
    }

    fn chosen(asked: &str, names: &[&str]) -> Option<String> {
        Asked::parse(asked).choose(&refs(names)).map(|entry| entry.name.clone())
    }

    #[test]
    fn branches_win_over_tags_and_names_are_exact() {
        let all = ["refs/tags/main", "refs/heads/main2", "refs/heads/main", "HEAD", "refs/pull/7/head"];
        assert_eq!(chosen("main", &all).as_deref(), Some("refs/heads/main"));
        assert_eq!(chosen("refs/tags/main", &all).as_deref(), Some("refs/tags/main"));
        assert_eq!(chosen("refs/pull/7/head", &all).as_deref(), Some("refs/pull/7/head"));
        assert_eq!(chosen("HEAD", &all).as_deref(), Some("HEAD"));
        assert_eq!(chosen("mai", &all), None);
    }

    #[test]
    fn a_glob_means_the_highest_version() {
        let all =
            ["refs/tags/v1.9.0", "refs/tags/v1.10.0", "refs/tags/v1.10.0-rc.1", "refs/tags/vnext", "refs/heads/v9"];
        assert_eq!(chosen("v*", &all).as_deref(), Some("refs/tags/v1.10.0"));
        assert_eq!(chosen("v1.9.*", &all).as_deref(), Some("refs/tags/v1.9.0"));
        assert_eq!(chosen("refs/heads/*", &all).as_deref(), Some("refs/heads/v9"));
        assert_eq!(chosen("w*", &all), None);
    }

    #[test]
    fn what_cannot_be_a_ref_is_nothing() {
        for text in ["", "a b", "a..b", "a\nb", "main~1", "a:b", &"x".repeat(2000)] {
            assert!(matches!(Asked::parse(text), Asked::Nothing), "{text}");
        }
        assert!(matches!(Asked::parse(&"A".repeat(40)), Asked::Commit(id) if id == "a".repeat(40)));
    }
}
