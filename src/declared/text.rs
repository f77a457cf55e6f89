//! Text with rules of its own: users, directories, health paths, globs, variables and labels.

use schemars::{Schema, json_schema};

use crate::declared::problem::{Wrong, shown};
use crate::declared::reader::Templates;
use crate::declared::shape::{Key, Scalar};

/// The value of a variable or label: any text.
#[derive(Clone, Debug)]
pub(crate) struct FreeText(pub(crate) String);

impl Scalar for FreeText {
    const EXPECTED: &'static str = "text";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        Ok(FreeText(text.to_owned()))
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// The user that a process runs as.
#[derive(Clone, Debug)]
pub(crate) struct UserName(pub(crate) String);

impl Scalar for UserName {
    const EXPECTED: &'static str = "a user: `name`, `1000` or `1000:1000`";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        let part = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'))
        };
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        if part(user) && group.is_none_or(part) && text.len() <= 128 {
            Ok(UserName(text.to_owned()))
        } else {
            Err(Wrong::new(format!("{} is not {}", shown(text), Self::EXPECTED))
                .help("write a name or a number, with or without a group"))
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// A directory: absolute in a container, relative to the repository where the provider runs its code itself.
#[derive(Clone, Debug)]
pub(crate) struct WorkingDir(pub(crate) String);

impl Scalar for WorkingDir {
    const TEMPLATES: Templates = Templates::NotSource;
    const EXPECTED: &'static str = "a directory, such as /app";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        clean_path(text).map(WorkingDir)
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A path without `.`, doubled or trailing slashes. `..` is refused rather than followed.
pub(crate) fn clean_path(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > 4096 || text.chars().any(char::is_control) {
        return Err(Wrong::new("a path cannot be empty, longer than 4096 bytes or hold control characters")
            .help("write a path such as /app"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Wrong::new(format!("{} holds `..`", shown(text))).help("write the path that it leads to"));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let joined = parts.join("/");
    Ok(match (text.starts_with('/'), joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    })
}

/// The path of an HTTP health check.
#[derive(Clone, Debug)]
pub(crate) struct HealthPath(pub(crate) String);

impl Scalar for HealthPath {
    const EXPECTED: &'static str = "the path of an HTTP GET, such as /healthz";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.contains("://") {
            return Err(Wrong::new("a health check has a path, not a URL").help(
                "write the path alone, such as /healthz, and `port` beside it where it is not the service's own",
            ));
        }
        if text == "none" || text == "NONE" {
            return Err(Wrong::new("a health check cannot be switched off")
                .help("remove `healthcheck` to leave it to the image"));
        }
        if !text.starts_with('/') {
            return Err(Wrong::new(format!("{} is not {}", shown(text), Self::EXPECTED)).help("begin it with `/`"));
        }
        let valid = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if valid {
            Ok(HealthPath(text.to_owned()))
        } else {
            Err(Wrong::new("a health check's path holds no spaces, `#` or characters beyond ASCII")
                .help("percent-encode them"))
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

/// A glob over the repository's files; `!` before it takes out what it matches.
#[derive(Clone, Debug)]
pub(crate) struct GlobText(pub(crate) String);

impl Scalar for GlobText {
    const TEMPLATES: Templates = Templates::NotSource;
    const EXPECTED: &'static str = "a glob such as src/** or Dockerfile";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        crate::declared::source::check_glob(text)?;
        Ok(GlobText(text.to_owned()))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvKey(pub(crate) String);

impl Key for EnvKey {
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";
    const MAP: &'static str = "a map of variables, one `NAME: value` a line";
    fn from_key(text: &str) -> Result<Self, Wrong> {
        let valid = text.len() <= 256
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid {
            return Ok(EnvKey(text.to_owned()));
        }
        let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let wrong = Wrong::new(format!(
            "{} is not a variable's name: letters, digits and underscores, not beginning with a digit",
            shown(text)
        ));
        let usable = !text.is_empty() && text.len() <= 256 && !name.starts_with(|c: char| c.is_ascii_digit());
        Err(wrong.help(if usable { format!("write `{name}`") } else { "name it such as `LOG_LEVEL`".to_owned() }))
    }
}

/// A label's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelKey(pub(crate) String);

impl Key for LabelKey {
    const PATTERN: &'static str = "^(?!dev\\.trueup($|\\.))[^\\s=]+$";
    const MAP: &'static str = "a map of labels, one `key: value` a line";
    fn from_key(text: &str) -> Result<Self, Wrong> {
        if text == "dev.trueup" || text.starts_with("dev.trueup.") {
            return Err(Wrong::new(
                "labels that begin with `dev.trueup` are Trueup's own: by them it tells what it owns",
            )
            .help("use a prefix of your own, such as dev.acme."));
        }
        let valid =
            (1..=256).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '=');
        if valid {
            Ok(LabelKey(text.to_owned()))
        } else {
            Err(Wrong::new("a label's key is 1 to 256 bytes without spaces or `=`")
                .help("name it such as `team` or `dev.acme.team`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clean_path;

    #[test]
    fn paths_have_one_spelling() {
        for (text, clean) in [("/app/", "/app"), ("//a//./b", "/a/b"), ("/", "/"), ("./web/", "web"), ("./", ".")] {
            assert_eq!(clean_path(text).as_deref(), Ok(clean), "{text}");
        }
        for text in ["", "/a/../b", "..", "a\nb"] {
            assert!(clean_path(text).is_err(), "{text}");
        }
    }
}
