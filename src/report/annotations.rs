//! Annotations on the very lines of the file, and the check run that carries them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declared::Position;
use crate::ids::EnvironmentName;
use crate::live::capability::Effect;
use crate::plan::ActionKind;
use crate::report::pull::{EnvironmentReport, PublicChange, PublicService, PullOutcome, PullReport};
use crate::report::pull_rows::{self, Tense};

/// How serious an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    /// What a sync would do.
    Notice,
    /// What interrupts, is blocked, or was changed outside.
    Warning,
    /// What is not valid.
    Failure,
}

/// A remark on lines of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// The file's path within the repository.
    pub path: String,
    /// The first line, from 1.
    pub start_line: u32,
    /// The last line.
    pub end_line: u32,
    /// How serious it is.
    pub level: AnnotationLevel,
    /// What it is about, on one line.
    pub title: String,
    /// Plain text, one or more lines. Where a forge reads it as Markdown it has to be fenced (see `markdown::fenced`).
    pub message: String,
}

/// The most lines that one annotation holds.
const LINES_MAX: usize = 30;

/// The annotations of one environment, in order of place; of an environment that is not reported, none.
pub fn of_environment(report: &PullReport, environment: &EnvironmentName) -> Vec<Annotation> {
    let Some(found) = report.environments.iter().find(|of| of.environment == *environment) else { return Vec::new() };
    match &found.outcome {
        PullOutcome::Invalid { problems } => {
            let problem = |problem: &crate::declared::Diagnostic| {
                let at = problem.at.as_ref().filter(|at| at.line > 0)?;
                let help = problem.help.iter().map(|help| one_line(help));
                Some(Annotation {
                    path: at.file.to_string(),
                    start_line: at.line,
                    end_line: at.line,
                    level: AnnotationLevel::Failure,
                    title: "the file is not valid".to_owned(),
                    message: std::iter::once(one_line(&problem.message)).chain(help).collect::<Vec<_>>().join("\n"),
                })
            };
            problems.iter().filter_map(problem).collect()
        }
        PullOutcome::Planned(_) => of_planned(found),
        PullOutcome::Conflict { .. } | PullOutcome::NoFile { .. } | PullOutcome::NotPlanned { .. } => Vec::new(),
    }
}

/// A text on one line. Where forges take annotations as comments, a line that begins with a slash or an at sign does
/// something; quoted it only says something.
fn one_line(text: &str) -> String {
    let line = super::words::printable(text);
    if line.trim_start().starts_with(['/', '@']) { format!("\"{line}\"") } else { line }
}

/// What stands on one line of a file.
#[derive(Default)]
struct OnLine {
    level: Option<AnnotationLevel>,
    title: String,
    lines: Vec<String>,
}

fn of_planned(report: &EnvironmentReport) -> Vec<Annotation> {
    let PullOutcome::Planned(planned) = &report.outcome else { return Vec::new() };
    let mut lines: BTreeMap<(String, u32), OnLine> = BTreeMap::new();
    let parts = [(&planned.pull_request, false), (&planned.waiting, false), (&planned.live, true)];
    for (services, outside) in parts {
        for service in services {
            let blocked = planned.blocked.iter().any(|blocked| blocked.service == service.service);
            for change in pull_rows::shown(service) {
                let level = level(change, service.kind, outside || blocked);
                let text = pull_rows::lines(change, service.kind, 0, Tense::Would).join("\n");
                note(&mut lines, place(change, service), &title(report, service), level, text);
            }
        }
    }
    for blocked in &planned.blocked {
        let service = planned.changing().find(|service| service.service == blocked.service);
        let Some(service) = service else { continue };
        let text = format!("blocked: {}", blocked.why);
        note(&mut lines, service.at.as_ref(), &title(report, service), AnnotationLevel::Warning, text);
    }
    let annotation = |((path, line), found): ((String, u32), OnLine)| {
        let more = found.lines.len().saturating_sub(LINES_MAX);
        let mut shown: Vec<String> = found.lines.into_iter().take(LINES_MAX).collect();
        if more > 0 {
            shown.push(format!("+{more} more"));
        }
        Annotation {
            path,
            start_line: line,
            end_line: line,
            level: found.level.unwrap_or(AnnotationLevel::Notice),
            title: found.title,
            message: shown.join("\n"),
        }
    };
    lines.into_iter().map(annotation).collect()
}

fn note(
    lines: &mut BTreeMap<(String, u32), OnLine>,
    at: Option<&Position>,
    title: &str,
    level: AnnotationLevel,
    text: String,
) {
    let Some(at) = at.filter(|at| at.line > 0) else { return };
    let on = lines.entry((at.file.to_string(), at.line)).or_default();
    if on.lines.is_empty() {
        on.title = title.to_owned();
    }
    on.level = on.level.max(Some(level));
    on.lines.push(text);
}

/// Where a change stands: a withdrawn field at its service's line.
fn place<'a>(change: &'a PublicChange, service: &'a PublicService) -> Option<&'a Position> {
    change.at.as_ref().or(service.at.as_ref())
}

fn title(report: &EnvironmentReport, service: &PublicService) -> String {
    let words = pull_rows::heading(service, Tense::Would);
    let words = words.split_once(' ').map_or(words.as_str(), |(_, words)| words);
    format!("{}: {words}", report.environment)
}

fn level(change: &PublicChange, kind: ActionKind, warn: bool) -> AnnotationLevel {
    let interrupts = change.effect == Effect::Replace && kind == ActionKind::Replace;
    if warn || interrupts { AnnotationLevel::Warning } else { AnnotationLevel::Notice }
}
