//! A comment's text → the command that it is, if it is one. Pure.
//!
//! Only the first line counts, and only where it begins with `/trueup` at its very first character: quotes (`> …`), code
//! (fenced or indented) and what stands further below are talk, not commands. What begins so and is not exactly one of
//! the commands is refused with the reason; nothing is guessed.

use std::fmt;

use crate::ids::{DIGEST_PREFIX_MIN, EnvironmentName, ProjectName};

/// What a command begins with.
const WORD: &str = "/trueup";
/// What only comments of Trueup's own begin with, or hold.
const MARKERS: [&str; 2] = ["<!-- trueup:", "[trueup]: #"];
/// How commands are written, for whoever wrote one otherwise.
pub const USAGE: [&str; 2] = ["/trueup plan", "/trueup sync ENVIRONMENT --plan DIGEST"];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Have the report on the request made again.
    Plan,
    /// Carry out a plan that the writer has seen.
    Sync {
        /// Where.
        target: Target,
        /// Which plan.
        plan: PlanPrefix,
    },
}

/// The environment that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The project, where it is named.
    pub project: Option<ProjectName>,
    /// The environment.
    pub environment: EnvironmentName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(project) => write!(f, "{project}/{}", self.environment),
            None => write!(f, "{}", self.environment),
        }
    }
}

/// A plan's digest, or as much of its beginning as names it: 8 to 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPrefix(String);

impl PlanPrefix {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (digits && (DIGEST_PREFIX_MIN..=64).contains(&text.len())).then(|| PlanPrefix(text.to_owned()))
    }
}

/// Why what begins as a command is none. Never repeats what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// Nothing follows.
    #[error("it does not say what to do")]
    NoVerb,
    /// There is no such command.
    #[error("there is no such command")]
    UnknownVerb,
    /// A sync without an environment.
    #[error("a sync names its environment")]
    NoEnvironment,
    /// What stands for an environment cannot be one.
    #[error("an environment is named by ENVIRONMENT or PROJECT/ENVIRONMENT, in lower-case letters, digits and hyphens")]
    BadEnvironment,
    /// A sync without a plan.
    #[error("a sync names the plan that it carries out: --plan and its digest, as the comment on this request has it")]
    NoDigest,
    /// What stands for a digest cannot be one.
    #[error("a plan is named by 8 to 64 of its digest's lower-case hexadecimal digits")]
    BadDigest,
    /// Something is there that does not belong there.
    #[error("there is more in the line than the command takes")]
    TooMuch,
}

/// Whether a comment is addressed to Trueup: its first line begins with the word.
pub fn is_addressed(body: &str) -> bool {
    words(body).is_some()
}

/// The words of the first line behind the word that addresses Trueup.
fn words(body: &str) -> Option<impl Iterator<Item = &str>> {
    if MARKERS.iter().any(|marker| body.contains(marker)) {
        return None;
    }
    let line = body.split(['\n', '\r']).next().unwrap_or_default();
    let rest = line.strip_prefix(WORD).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))?;
    Some(rest.split([' ', '\t']).filter(|word| !word.is_empty()))
}

/// The command that a comment is; `None` where it is none, and so is nobody's business here.
pub fn parse(body: &str) -> Option<Result<Command, Misread>> {
    words(body).map(command)
}

fn command<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Command, Misread> {
    match words.next() {
        None => Err(Misread::NoVerb),
        Some("plan") => match words.next() {
            None => Ok(Command::Plan),
            Some(_) => Err(Misread::TooMuch),
        },
        Some("sync") => sync(words),
        Some(_) => Err(Misread::UnknownVerb),
    }
}

fn sync<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Command, Misread> {
    let (mut target, mut plan) = (None, None);
    while let Some(word) = words.next() {
        let digest = match word.strip_prefix("--plan") {
            Some("") => Some(words.next().ok_or(Misread::NoDigest)?),
            Some(rest) => Some(rest.strip_prefix('=').ok_or(Misread::TooMuch)?),
            None => None,
        };
        match digest {
            Some(digest) if plan.is_none() => plan = Some(PlanPrefix::parse(digest).ok_or(Misread::BadDigest)?),
            None if word.starts_with('-') => return Err(Misread::TooMuch),
            None if target.is_none() => target = Some(environment(word).ok_or(Misread::BadEnvironment)?),
            Some(_) | None => return Err(Misread::TooMuch),
        }
    }
    let target = target.ok_or(Misread::NoEnvironment)?;
    Ok(Command::Sync { target, plan: plan.ok_or(Misread::NoDigest)? })
}

fn environment(word: &str) -> Option<Target> {
    match word.split_once('/') {
        Some((project, name)) => Some(Target { project: Some(project.parse().ok()?), environment: name.parse().ok()? }),
        None => Some(Target { project: None, environment: word.parse().ok()? }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Misread, is_addressed, parse};

    fn sync(line: &str) -> (Option<String>, String, String) {
        match parse(line) {
            Some(Ok(Command::Sync { target, plan })) => {
                let project = target.project.map(|project| project.to_string());
                (project, target.environment.to_string(), plan.as_str().to_owned())
            }
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("/trueup plan"), Some(Ok(Command::Plan)));
        assert_eq!(parse("/trueup\tplan  \r\nthanks!"), Some(Ok(Command::Plan)));
        let expected = (None, "production".to_owned(), "8c1f0a52d3e4".to_owned());
        assert_eq!(sync("/trueup sync production --plan 8c1f0a52d3e4"), expected);
        assert_eq!(sync("/trueup sync --plan=8c1f0a52d3e4 production\nand more talk"), expected);
        assert_eq!(sync("/trueup sync shop/production --plan 8c1f0a52").0.as_deref(), Some("shop"));
    }

    #[test]
    fn what_is_no_command_is_nobodys_business() {
        for talk in [
            "",
            "looks good",
            "please /trueup plan",
            " /trueup plan",
            "\n/trueup plan",
            "> /trueup plan",
            "```\n/trueup plan\n```",
            "    /trueup plan",
            "/trueupx plan",
            "/Trueup plan",
            "/trueup\u{a0}plan",
            "/trueup plan\n<!-- trueup:0011:shop -->",
            "/trueup plan\n\n[trueup]: # (trueup:0011:shop)",
        ] {
            assert_eq!(parse(talk), None, "{talk:?}");
            assert!(!is_addressed(talk), "{talk:?}");
        }
    }

    #[test]
    fn what_is_almost_a_command_is_refused_with_the_reason() {
        for (line, why) in [
            ("/trueup", Misread::NoVerb),
            ("/trueup help", Misread::UnknownVerb),
            ("/trueup PLAN", Misread::UnknownVerb),
            ("/trueup plan production", Misread::TooMuch),
            ("/trueup sync", Misread::NoEnvironment),
            ("/trueup sync --plan 8c1f0a52", Misread::NoEnvironment),
            ("/trueup sync production", Misread::NoDigest),
            ("/trueup sync production --plan", Misread::NoDigest),
            ("/trueup sync production --plan 8c1f0a5", Misread::BadDigest),
            ("/trueup sync production --plan 8C1F0A52", Misread::BadDigest),
            ("/trueup sync production --plan latest", Misread::BadDigest),
            ("/trueup sync production --plan 8c1f0a52 --prune", Misread::TooMuch),
            ("/trueup sync production --plan 8c1f0a52 --plan 8c1f0a53", Misread::TooMuch),
            ("/trueup sync production staging --plan 8c1f0a52", Misread::TooMuch),
            ("/trueup sync production --planned 8c1f0a52", Misread::TooMuch),
            ("/trueup sync Production --plan 8c1f0a52", Misread::BadEnvironment),
            ("/trueup sync a/b/c --plan 8c1f0a52", Misread::BadEnvironment),
        ] {
            assert_eq!(parse(line), Some(Err(why)), "{line:?}");
        }
    }
}
