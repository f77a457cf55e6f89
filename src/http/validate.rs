//! What an operator registers is checked before it is stored: names parse by themselves, the rest is here.

use std::collections::BTreeMap;

use super::problem::Problem;
use crate::git::RemoteUrl;

/// The most entries of a map of an environment (settings, secrets, values), and of its host paths.
const ENTRIES_MAX: usize = 256;
/// The longest value of an entry.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// The longest path or ref.
const NAME_BYTES_MAX: usize = 1024;

/// A repository's URL in normal form.
pub(super) fn url(text: &str) -> Result<String, Problem> {
    let parsed = RemoteUrl::parse(text).map_err(|error| Problem::unprocessable(format!("url: {error}")))?;
    Ok(parsed.as_str().to_owned())
}

/// The path of the declaring file within the repository.
pub(super) fn config_path(path: &str) -> Result<(), Problem> {
    if path.ends_with('/') {
        return Err(Problem::unprocessable(
            "config_path: folders of files are not supported yet; name one file, such as .trueup.yml or deploy/trueup.yml",
        ));
    }
    let parts = path.split('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && part != ".git";
    if path.len() > NAME_BYTES_MAX || path.chars().any(char::is_control) || !parts.clone().all(plain) {
        return Err(Problem::unprocessable(
            "config_path: write the file's path from the repository's root, such as .trueup.yml or deploy/trueup.yml",
        ));
    }
    Ok(())
}

/// The user name that a repository takes with a credential.
pub(super) fn repository_user(url: &str, user: &str) -> Result<(), Problem> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Problem::unprocessable(
            "user: only repositories over https:// take one; of others it stands in the URL (ssh://USER@HOST/PATH)",
        ));
    }
    if user.is_empty() || user.len() > NAME_BYTES_MAX || user.contains(':') || user.chars().any(char::is_control) {
        return Err(Problem::unprocessable(
            "user: write a user name, without a colon; the password is the auth reference's",
        ));
    }
    Ok(())
}

/// A ref: a branch, a tag glob or a full name. The rules of git-check-ref-format(1), but that globs may stand for names.
pub(super) fn reference(key: &str, text: &str) -> Result<(), Problem> {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '~' | '^' | ':' | '\\');
    let odd = text.is_empty()
        || text.len() > NAME_BYTES_MAX
        || text.chars().any(forbidden)
        || text.contains("..")
        || text.contains("@{")
        || text.contains("//")
        || text.starts_with(['-', '/'])
        || text.ends_with(['/', '.']);
    if odd {
        return Err(Problem::unprocessable(format!(
            "{key}: write a branch, a tag pattern or a full ref, such as main, v* or refs/heads/main"
        )));
    }
    Ok(())
}

/// A provider's settings, as far as their size goes; the provider checks the rest.
pub(super) fn settings(settings: &BTreeMap<String, String>) -> Result<(), Problem> {
    entries("settings", settings.len())?;
    for (key, value) in settings {
        if key.is_empty() || key.len() > 64 {
            return Err(Problem::unprocessable("settings: a key has 1 to 64 characters"));
        }
        short("settings", key, value)?;
    }
    Ok(())
}

/// Template values: `{{ .Env.NAME }}`.
pub(super) fn values(values: &BTreeMap<String, String>) -> Result<(), Problem> {
    entries("values", values.len())?;
    for (key, value) in values {
        let letters = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if key.is_empty() || key.len() > 64 || !letters || key.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Problem::unprocessable(format!(
                "values: `{}` is no name: letters, digits and underscores, no digit first",
                key.chars().take(64).collect::<String>()
            )));
        }
        short("values", key, value)?;
    }
    Ok(())
}

/// How many entries a map has.
pub(super) fn entries(key: &str, count: usize) -> Result<(), Problem> {
    if count > ENTRIES_MAX {
        return Err(Problem::unprocessable(format!("{key}: at most {ENTRIES_MAX} entries")));
    }
    Ok(())
}

fn short(map: &str, key: &str, value: &str) -> Result<(), Problem> {
    if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
        return Err(Problem::unprocessable(format!(
            "{map}: the value of `{key}` is longer than 16 KiB or holds a NUL"
        )));
    }
    Ok(())
}

/// Host paths that services may mount.
pub(super) fn host_paths(paths: &[String]) -> Result<(), Problem> {
    entries("allow_host_paths", paths.len())?;
    for path in paths {
        let odd = !path.starts_with('/')
            || path.len() > NAME_BYTES_MAX
            || path.chars().any(char::is_control)
            || path.split('/').any(|part| matches!(part, "." | ".."));
        if odd {
            let shown: String = path.chars().take(80).collect();
            return Err(Problem::unprocessable(format!(
                "allow_host_paths: `{shown}` is not an absolute path without `..`"
            )));
        }
    }
    Ok(())
}

/// A system user's name (useradd(8)).
pub(super) fn user(name: &str) -> Result<(), Problem> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if name.is_empty() || name.len() > 32 || !letters || name.starts_with(['-', '.']) {
        return Err(Problem::unprocessable("run_as: write the name of a user of this machine"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{config_path, host_paths, reference, url, user, values};

    #[test]
    fn what_is_plain_passes() {
        assert_eq!(
            url("https://Git.Acme.Dev/shop.git").map_err(|problem| problem.detail),
            Ok("https://git.acme.dev/shop.git".into())
        );
        for path in [".trueup.yml", "deploy/trueup.yml"] {
            assert!(config_path(path).is_ok(), "{path}");
        }
        for text in ["main", "release/1.x", "v*", "refs/heads/main", "refs/pull/7/head"] {
            assert!(reference("tracked", text).is_ok(), "{text}");
        }
        assert!(host_paths(&["/srv/shop".into(), "/".into()]).is_ok());
        assert!(user("shop-1").is_ok());
    }

    #[test]
    fn what_is_odd_is_refused() {
        let secret = url("https://alice:s3cret@acme.dev/x.git").expect_err("credentials");
        assert!(!secret.detail.contains("s3cret"), "{}", secret.detail);
        for path in ["", ".trueup/", "/etc/passwd", "../x", "a//b", "a/./b", ".git/config", "a\nb"] {
            assert!(config_path(path).is_err(), "{path}");
        }
        for text in ["", "-x", "a b", "a..b", "a~1", "x@{1}", "/a", "a/", "a\n"] {
            assert!(reference("tracked", text).is_err(), "{text}");
        }
        for key in ["", "1A", "A-B", "Ä"] {
            assert!(values(&BTreeMap::from([(key.into(), "x".into())])).is_err(), "{key}");
        }
        assert!(values(&BTreeMap::from([("A".into(), "x".repeat(17 << 10))])).is_err());
        for path in ["srv", "/srv/../etc", "/a\0"] {
            assert!(host_paths(&[path.into()]).is_err(), "{path}");
        }
        for name in ["", "-root", "a b", "a/b"] {
            assert!(user(name).is_err(), "{name}");
        }
    }
}
