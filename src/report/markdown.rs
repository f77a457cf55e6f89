//! A pull request's report as a forge's comment, the summary of a check run, and what both are made of.
//!
//! Only fixed words, names that are DNS labels and numbers stand in the open. Everything that a repository, a person or a
//! runtime wrote stands in code, whose fence is longer than any run of backticks in it and whose lines all begin with
//! something of ours: so it can neither format, nor mention, nor command, nor close the fence.

mod body;
mod budget;
mod environment;
mod fence;

use crate::ids::ProjectName;
use crate::report::pull::PullReport;

pub use crate::report::markdown::budget::LengthUnit;
pub(super) use crate::report::markdown::budget::fit;
pub(super) use crate::report::markdown::environment::summary as environment_summary;
pub use crate::report::markdown::fence::fenced;
pub(super) use crate::report::markdown::fence::link;

/// What a forge's comments can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommentStyle {
    /// The most that a comment may be long.
    pub limit: usize,
    /// In which unit that is counted.
    pub unit: LengthUnit,
    /// Whether HTML is rendered: sections that fold, and comments that are not seen. Without, sections are headings and the
    /// marker is a link's definition.
    pub html: bool,
}

/// Where a comment comes from and leads to.
#[derive(Clone, Copy, Debug)]
pub struct CommentContext<'a> {
    /// The installation's id, so that two daemons on one repository tell their comments apart.
    pub installation: &'a str,
    /// Where the whole report can be read; `None` where the daemon is not reachable by browser.
    pub link: Option<&'a str>,
    /// What the forge's comments can hold.
    pub style: CommentStyle,
}

/// The first line of every comment that is this project's and this installation's: not seen by who reads the comment.
pub fn marker(installation: &str, project: &ProjectName, style: CommentStyle) -> String {
    let installation: String = installation.chars().filter(char::is_ascii_alphanumeric).collect();
    match style.html {
        true => format!("<!-- trueup:{installation}:{project} -->"),
        false => format!("[trueup]: # (trueup:{installation}:{project})"),
    }
}

/// Whether a comment's text is this project's and this installation's: its first line is the marker and nothing else.
/// Whose comment it is, is another question, which the forge answers.
pub fn has_marker(body: &str, installation: &str, project: &ProjectName, style: CommentStyle) -> bool {
    body.lines().next().is_some_and(|first| first.trim_end() == marker(installation, project, style))
}

/// The comment. The same report always reads the same; it is never longer than the style's limit.
pub fn comment(report: &PullReport, context: &CommentContext<'_>) -> String {
    budget::fit(context.style.limit, context.style.unit, |budget| body::comment(report, context, budget))
}

/// One environment's part, for a check run's summary. The same rules hold for it.
pub fn summary(
    report: &PullReport,
    environment: &crate::ids::EnvironmentName,
    context: &CommentContext<'_>,
) -> Option<String> {
    let found = report.environments.iter().find(|of| of.environment == *environment)?;
    let text =
        budget::fit(context.style.limit, context.style.unit, |budget| body::summary(report, found, context, budget));
    Some(text)
}
