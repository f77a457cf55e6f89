//! The frame of a comment: marker, heading, a line per environment, a section each, where to read on.

use crate::report::markdown::budget::Budget;
use crate::report::markdown::fence::{code, link};
use crate::report::markdown::{CommentContext, environment, marker};
use crate::report::pull::{EnvironmentReport, NotPlanned, PullOutcome, PullReport, PullState};

/// The whole comment with as many items as the budget has.
pub(super) fn comment(report: &PullReport, context: &CommentContext<'_>, budget: &mut Budget) -> String {
    // A link's definition ends with an empty line; after an HTML comment one does no harm.
    let mut text = format!("{}\n\n", marker(context.installation, &report.project, context.style));
    text.push_str(&format!("### Trueup: {}\n\n{}\n\n", report.project, introduction(report)));
    let reported: Vec<&EnvironmentReport> = report.environments.iter().filter(|of| is_reported(of)).collect();
    if reported.is_empty() && report.state != PullState::Closed {
        text.push_str("No environment that is reported on tracks its target.\n");
    }
    let mut shown: Vec<&EnvironmentReport> = Vec::new();
    for of in &reported {
        if budget.take() {
            text.push_str(&format!("- **{}**: {}\n", of.environment, environment::summary(report, of)));
            shown.push(of);
        }
    }
    let left_out = reported.len() - shown.len();
    if left_out > 0 {
        text.push_str(&format!("- +{left_out} more\n"));
    }
    if report.state != PullState::Closed {
        for of in shown {
            let section = environment::section(report, of, budget);
            let section = section.trim_end();
            if section.is_empty() {
                continue;
            }
            let title = format!("{}: {}", of.environment, environment::summary(report, of));
            text.push_str(&match context.style.html {
                true => format!("\n<details>\n<summary><b>{title}</b></summary>\n\n{section}\n\n</details>\n"),
                false => format!("\n#### {title}\n\n{section}\n"),
            });
        }
    }
    text.push_str(&footer(report, context, budget));
    text
}

/// One environment alone.
pub(super) fn summary(
    report: &PullReport,
    of: &EnvironmentReport,
    context: &CommentContext<'_>,
    budget: &mut Budget,
) -> String {
    let mut text = format!("{}\n\n", introduction(report));
    text.push_str(&format!("**{}**: {}\n\n", of.environment, environment::summary(report, of)));
    text.push_str(environment::section(report, of, budget).trim_end());
    text.push('\n');
    text.push_str(&footer(report, context, budget));
    text
}

/// Whether an environment stands in a report at all.
fn is_reported(of: &EnvironmentReport) -> bool {
    !matches!(&of.outcome, PullOutcome::NotPlanned { why: NotPlanned::ReportsOff })
}

fn introduction(report: &PullReport) -> String {
    let target = report.target.as_deref().map_or("its target".to_owned(), code);
    let head = report.head.short();
    match &report.state {
        PullState::Open => {
            let fork = match report.fork {
                true => {
                    " The head is a fork's, so it is compared with what was last applied; what runs was not looked at."
                }
                false => "",
            };
            format!(
                "What merging `{head}` into {target} *and then syncing* would change. Merging alone changes nothing.{fork}"
            )
        }
        PullState::Merged { commit: Some(commit) } => {
            format!("`{head}` was merged into {target} as `{}`. Nothing changes until someone syncs.", commit.short())
        }
        PullState::Merged { commit: None } => {
            format!("`{head}` was merged into {target}. Nothing changes until someone syncs.")
        }
        PullState::Closed => format!("`{head}` was closed without being merged: nothing of it awaits a sync."),
    }
}

fn footer(report: &PullReport, context: &CommentContext<'_>, budget: &Budget) -> String {
    let rest = match budget.hidden {
        0 => String::new(),
        hidden => format!("+{hidden} more, left out for this comment's limit. "),
    };
    match (context.link.and_then(|address| link("The full plan", address)), rest.is_empty()) {
        (Some(link), _) => format!("\n{rest}{link}\n"),
        (None, false) => {
            format!("\n{rest}The full plan: `trueup plan {}/ENVIRONMENT --pull {}`\n", report.project, report.number)
        }
        (None, true) => String::new(),
    }
}
