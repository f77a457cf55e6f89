//! One environment of a pull request's report for a terminal.

use crate::report::markdown::environment_summary;
use crate::report::pull::{
    AfterMerge, EnvironmentReport, NotPlanned, PlannedPull, PublicService, PullOutcome, PullReport,
};
use crate::report::pull_rows::{self, Tense};
use crate::report::words::printable;

/// The report on one environment, ending in a newline.
pub fn environment(report: &PullReport, of: &EnvironmentReport) -> String {
    let target = report.target.as_deref().unwrap_or("what it tracks");
    let mut lines = vec![format!(
        "{}/{}, pull request {} ({}) merged into {}",
        report.project,
        of.environment,
        report.number,
        report.head.short(),
        printable(target)
    )];
    match &of.outcome {
        PullOutcome::Planned(planned) => lines.extend(of_planned(planned)),
        PullOutcome::Conflict { paths, more } => {
            lines.extend(paths.iter().map(|path| format!("  ! {}", printable(path))));
            lines.extend((*more > 0).then(|| format!("    +{more} more")));
        }
        PullOutcome::Invalid { problems } => lines.extend(problems.iter().map(|problem| {
            let place = problem.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
            let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("  ! {}", printable(&format!("{place}{}{help}", problem.message)))
        })),
        PullOutcome::NotPlanned { why: NotPlanned::Failed { why: Some(why) } } => {
            lines.push(format!("  ! {}", printable(why)));
        }
        PullOutcome::NotPlanned { why: NotPlanned::ForkNotAllowed } => {
            lines.push(format!("  trueup env set {}/{} --plan-forks allows it", report.project, of.environment));
        }
        PullOutcome::NoFile { .. } | PullOutcome::NotPlanned { .. } => {}
    }
    lines.push(String::new());
    lines.push(format!("{}.", environment_summary(report, of)));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn of_planned(planned: &PlannedPull) -> Vec<String> {
    let mut lines: Vec<String> = planned.notes.iter().map(|note| format!("  note: {note}")).collect();
    if !planned.observed {
        lines.push(
            "  note: the head is a fork's: compared with what was last applied; nothing was looked at".to_owned(),
        );
    }
    if let Some(AfterMerge::Awaits { command, .. }) = &planned.merged {
        lines.push(format!("  To carry it out: {command}"));
    }
    let parts = [
        ("This pull request:", &planned.pull_request, Tense::Would),
        ("No longer, with this pull request:", &planned.undone, Tense::Undone),
        ("Already waiting (merged, not synced):", &planned.waiting, Tense::Would),
        ("Changed live, and put back by a sync:", &planned.live, Tense::Would),
    ];
    for (title, services, tense) in parts.into_iter().filter(|(_, services, _)| !services.is_empty()) {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(services.iter().flat_map(|service| of_service(service, tense)));
    }
    lines.extend(planned.blocked.iter().map(|blocked| format!("  blocked: {}: {}", blocked.service, blocked.why)));
    lines.extend(planned.unknowns.iter().map(|unknown| {
        let service = unknown.service.as_ref().map_or("what runs".to_owned(), ToString::to_string);
        let field = unknown.field.as_ref().map(|field| format!(" {field}")).unwrap_or_default();
        format!("  ? {service}{field} (unknown: {})", unknown.why.as_deref().unwrap_or("it could not be seen"))
    }));
    lines.extend(planned.orphans.iter().map(|orphan| {
        let by = if orphan.by_pull_request { ", by this pull request" } else { "" };
        format!("  ! {} would run and not be declared (orphan{by}); it stays", orphan.service)
    }));
    lines
}

fn of_service(service: &PublicService, tense: Tense) -> Vec<String> {
    let width = pull_rows::width(service);
    let rows = pull_rows::shown(service).flat_map(|change| pull_rows::lines(change, service.kind, width, tense));
    let notes = service.notes.iter().filter(|_| tense == Tense::Would).map(|note| format!("    note: {note}"));
    std::iter::once(pull_rows::heading(service, tense))
        .chain(rows)
        .map(|line| format!("  {line}"))
        .chain(notes)
        .collect()
}
