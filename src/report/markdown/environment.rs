//! One environment of a comment: its line, and its section.

use crate::declared::Diagnostic;
use crate::report::markdown::budget::Budget;
use crate::report::markdown::fence::{code, fenced};
use crate::report::pull::{
    AfterMerge, EnvironmentReport, NotPlanned, PlannedPull, PublicService, PullOutcome, PullReport, PullState,
};
use crate::report::pull_rows::{self, Tense};
use crate::report::status::things;
use crate::report::words;

/// What an environment's line says, in fixed words and numbers.
pub(in crate::report) fn summary(report: &PullReport, of: &EnvironmentReport) -> String {
    match &of.outcome {
        PullOutcome::Planned(planned) => match &planned.merged {
            Some(AfterMerge::Ran { run, succeeded, rest, .. }) => {
                let ended = if *succeeded { "applied and verified" } else { "failed" };
                match rest {
                    Some(_) => format!("run {run} {ended}; {}", changes(planned)),
                    None => format!("run {run} {ended}"),
                }
            }
            Some(AfterMerge::InSync) => "in sync".to_owned(),
            Some(AfterMerge::Awaits { .. }) => format!("{}, awaiting a sync", changes(planned)),
            None => changes(planned),
        },
        PullOutcome::Conflict { paths, more } => {
            format!("not planned, as merging conflicts in {}", things(paths.len() + more, "file"))
        }
        PullOutcome::Invalid { problems } => format!("the file is not valid ({})", things(problems.len(), "problem")),
        PullOutcome::NoFile { path: _ } => "no file, so nothing is declared and nothing is withdrawn".to_owned(),
        PullOutcome::NotPlanned { why } => match why {
            NotPlanned::ReportsOff => "not reported".to_owned(),
            NotPlanned::ForkNotAllowed => "not planned, as the head is a fork's".to_owned(),
            NotPlanned::Unrelated { .. } if report.state == PullState::Open => {
                "not planned, as head and target have no history in common".to_owned()
            }
            NotPlanned::Unrelated { .. } => "not planned".to_owned(),
            NotPlanned::Failed { .. } => "could not be planned".to_owned(),
        },
    }
}

fn changes(planned: &PlannedPull) -> String {
    let counts = planned.counts();
    let mut words = match (counts.changes, planned.is_unseen()) {
        (0, true) => "what runs could not be seen".to_owned(),
        (0, false) => "nothing to change".to_owned(),
        (changes, _) => things(changes, "change"),
    };
    if counts.blocked > 0 {
        words.push_str(&format!(", {} blocked", counts.blocked));
    }
    if !planned.orphans.is_empty() {
        words.push_str(&format!(", {}", things(planned.orphans.len(), "orphan")));
    }
    let unknown = planned.unknowns.iter().filter(|unknown| unknown.service.is_some()).count();
    if unknown > 0 {
        words.push_str(&format!(", {unknown} unknown"));
    }
    words
}

/// What there is to read about an environment; empty where its line says it all.
pub(super) fn section(report: &PullReport, of: &EnvironmentReport, budget: &mut Budget) -> String {
    match &of.outcome {
        PullOutcome::Planned(planned) => of_planned(planned, budget),
        PullOutcome::Conflict { paths, more } => {
            let mut lines = budget.lines(paths.iter().map(|path| format!("! {path}")));
            if *more > 0 {
                lines.push(format!("  +{more} more"));
            }
            let target = report.target.as_deref().map_or("the target".to_owned(), code);
            format!("Merge {target} into the branch and resolve these first:\n\n{}", fenced("", &lines))
        }
        PullOutcome::Invalid { problems } => {
            format!("Nothing is changed by a file that is not valid.\n\n{}", fenced("", &of_problems(problems, budget)))
        }
        PullOutcome::NoFile { path } => format!("There is no {}.\n", code(path)),
        PullOutcome::NotPlanned { why } => match why {
            NotPlanned::ReportsOff => String::new(),
            NotPlanned::ForkNotAllowed => {
                "An operator can allow heads of forks to be planned, per environment.\n".to_owned()
            }
            NotPlanned::Unrelated { shallow: true } => {
                "The repository that is read holds only the newest part of its history.\n".to_owned()
            }
            NotPlanned::Unrelated { shallow: false } | NotPlanned::Failed { why: None } => String::new(),
            NotPlanned::Failed { why: Some(why) } => {
                fenced("", &budget.lines(why.lines().map(|line| format!("! {line}"))))
            }
        },
    }
}

fn of_problems(problems: &[Diagnostic], budget: &mut Budget) -> Vec<String> {
    let words = |problem: &Diagnostic| {
        let place = problem.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("! {place}{}{help}", problem.message)
    };
    budget.lines(problems.iter().map(words))
}

fn of_planned(planned: &PlannedPull, budget: &mut Budget) -> String {
    let mut text = String::new();
    if let Some(after) = &planned.merged {
        text.push_str(&of_merged(after, budget));
    }
    if !planned.notes.is_empty() {
        let notes = budget.lines(planned.notes.iter().map(|note| format!("note: {note}")));
        text.push_str(&format!("{}\n", fenced("", &notes)));
    }
    let own = if planned.merged.is_some() { "By this pull request" } else { "This pull request" };
    let parts = [
        (own, &planned.pull_request, Tense::Would),
        ("No longer, with this pull request", &planned.undone, Tense::Undone),
        ("Already waiting (merged, not synced)", &planned.waiting, Tense::Would),
        ("Changed live, and put back by a sync", &planned.live, Tense::Would),
    ];
    for (title, services, tense) in parts {
        if !services.is_empty() {
            let lines = of_services(services, tense, budget);
            text.push_str(&format!("**{title}**\n\n{}\n", fenced("diff", &lines)));
        }
    }
    let blocked = planned.blocked.iter().map(|blocked| format!("! {}: {}", blocked.service, blocked.why));
    text.push_str(&titled("Blocked", budget.lines(blocked)));
    let unknown = planned.unknowns.iter().map(|unknown| {
        let place = match (&unknown.service, &unknown.field) {
            (Some(service), Some(field)) => format!("{service} {field}"),
            (Some(service), None) => service.to_string(),
            (None, _) => "what runs".to_owned(),
        };
        let why = unknown.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("? {place}{why}")
    });
    text.push_str(&titled("Could not be seen", budget.lines(unknown)));
    let orphans = planned.orphans.iter().map(|orphan| {
        let by = if orphan.by_pull_request { " (by this pull request)" } else { "" };
        format!("! {} runs and is not declared{by}; it stays unless a sync prunes", orphan.service)
    });
    text.push_str(&titled("Orphans", budget.lines(orphans)));
    if planned.changing().next().is_some() {
        text.push_str(&match planned.pipelines.as_slice() {
            [] => "A sync would run no pipeline.\n".to_owned(),
            some => {
                titled("Pipelines that a sync would run", budget.lines(some.iter().map(|name| format!("- {name}"))))
            }
        });
    }
    text
}

fn titled(title: &str, lines: Vec<String>) -> String {
    if lines.is_empty() { String::new() } else { format!("**{title}**\n\n{}\n", fenced("", &lines)) }
}

fn of_services(services: &[PublicService], tense: Tense, budget: &mut Budget) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left_out = 0_usize;
    for service in services {
        let width = pull_rows::width(service);
        // A heading without any of its fields would say too much.
        let mut headed = false;
        let mut head = |lines: &mut Vec<String>| {
            if !headed {
                lines.push(pull_rows::heading(service, tense));
                headed = true;
            }
        };
        let mut hidden = 0_usize;
        for change in pull_rows::shown(service) {
            if budget.take() {
                head(&mut lines);
                lines.extend(pull_rows::lines(change, service.kind, width, tense));
            } else {
                hidden += 1;
            }
        }
        if service.changes.is_empty() && budget.take() {
            head(&mut lines);
        }
        for note in service.notes.iter().filter(|_| tense == Tense::Would) {
            if budget.take() {
                head(&mut lines);
                lines.push(format!("  note: {}", words::printable(note)));
            } else {
                hidden += 1;
            }
        }
        left_out += hidden;
    }
    if left_out > 0 {
        lines.push(format!("  +{left_out} more"));
    }
    lines
}

fn of_merged(after: &AfterMerge, budget: &mut Budget) -> String {
    match after {
        AfterMerge::InSync => String::new(),
        AfterMerge::Awaits { digest, command } => {
            format!(
                "Plan `{}`. To carry out exactly this:\n\n{}\n",
                digest.short(),
                fenced("", std::slice::from_ref(command))
            )
        }
        AfterMerge::Ran { run, succeeded, services, rest, command } => {
            let ended = if *succeeded { "ended well" } else { "failed" };
            let words = services.iter().map(|of| match of.verified {
                true => format!("+ {} applied and verified", of.service),
                false => format!("- {} not applied", of.service),
            });
            let mut text = format!("Run {run} {ended}.\n\n");
            let lines = budget.lines(words);
            if !lines.is_empty() {
                text.push_str(&format!("{}\n", fenced("diff", &lines)));
            }
            if let (Some(digest), Some(command)) = (rest, command) {
                text.push_str(&format!(
                    "Something is left to do, plan `{}`:\n\n{}\n",
                    digest.short(),
                    fenced("", std::slice::from_ref(command))
                ));
            }
            text
        }
    }
}
