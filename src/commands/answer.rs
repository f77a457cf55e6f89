//! What is answered to a command, as the text of the one comment that answers it. Pure.
//!
//! Answers hold fixed words, names that are labels, numbers and digests; which fields moved stands in code. No value of
//! anything, no error's own text, and nothing that the writer wrote.

use std::collections::BTreeSet;
use std::fmt;

use crate::authority::Denied;
use crate::commands::grammar::{Misread, USAGE};
use crate::forge::api::CommentForm;
use crate::ids::{EnvironmentRef, PlanDigest, RunId};
use crate::plan::Plan;
use crate::report::markdown::fenced;

/// The most fields that are named.
const FIELDS_MAX: usize = 30;

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The report is made again.
    Planned,
    /// A run was begun.
    Began { run: RunId, at: EnvironmentRef, plan: PlanDigest },
    /// The run is over.
    Ended { run: RunId, at: EnvironmentRef, plan: PlanDigest, succeeded: bool },
    /// There was nothing to do.
    InSync { at: EnvironmentRef },
    /// The daemon ended in between, and no run was begun.
    Interrupted { at: EnvironmentRef },
    /// It is not done.
    Refused(Why),
}

/// Why a command is not carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Why {
    /// It is no command.
    #[error(transparent)]
    Misread(#[from] Misread),
    /// It was written anew.
    #[error("the comment was edited, and an edited comment is no command: write a new one")]
    Edited,
    /// The forge does not say whether, or when.
    #[error("this forge does not say when the comment was written or whether it was edited since")]
    Undated,
    /// It is too old.
    #[error("the comment is older than an hour: write a new one if it is still meant")]
    Old,
    /// The role does not allow it.
    #[error("it needs the role {}; the role here of whoever wrote it is {}", .0.operation.needs().word(), .0.actor.role.word())]
    Denied(Denied),
    /// The environment does not take such commands.
    #[error("comments may not do this for {0}: an admin allows it with `trueup env set {0} --comment-commands {1}`")]
    Off(EnvironmentRef, &'static str),
    /// There is no such environment.
    #[error("the project {0} has no environment of that name")]
    NoEnvironment(crate::ids::ProjectName),
    /// Several projects are in the repository.
    #[error("several projects are reported on in this repository: name the environment as PROJECT/ENVIRONMENT")]
    Ambiguous,
    /// The request is open.
    #[error("this request is not merged: there is nothing to sync before the merge")]
    Open,
    /// The request was closed.
    #[error("this request was closed without being merged: nothing of it can be synced")]
    Closed,
    /// The request is a fork's.
    #[error("this request comes from a fork, and requests of forks take no sync: use the command line")]
    Fork,
    /// The writer may not write to the repository.
    #[error("it needs the permission to {0} this repository, which the forge does not grant to who wrote it")]
    Permission(&'static str),
    /// The forge does not tell what the writer may do.
    #[error("the forge does not tell this daemon what users may do in this repository; see the integration's test")]
    PermissionUntold,
    /// The forge could not be asked.
    #[error("the forge could not be asked what is needed to allow it, and it was not asked any longer: write it again")]
    Unasked,
    /// There is no such plan.
    #[error("no plan of {at} that is known here begins so{}", current(.latest.as_ref()))]
    NoPlan { at: EnvironmentRef, latest: Option<PlanDigest> },
    /// The plan is no plain one.
    #[error(
        "this plan was made with options (a rollback, a choice of services, or pruning): carry it out on the command line"
    )]
    Options,
    /// Something moved.
    #[error("what the plan rests on has moved since; the plan is now `{}`", .0.short())]
    Moved(PlanDigest, Vec<String>),
    /// Another run is at work.
    #[error("another sync of {0} is being carried out: write it again when that is over")]
    Busy(EnvironmentRef),
    /// The commit may not be deployed, or all is blocked.
    #[error("nothing of this plan may be carried out now: `trueup plan {0}` says why")]
    NotAllowed(EnvironmentRef),
    /// The plan could not be made again.
    #[error("the plan could not be made again, so it was not carried out: `trueup plan {0}` says why")]
    NotPlanned(EnvironmentRef),
}

impl Why {
    /// A few words for the audit log.
    pub(super) fn outcome(&self) -> String {
        format!("refused: {self}")
    }
}

fn current(plan: Option<&PlanDigest>) -> String {
    plan.map(|plan| format!("; the plan is now `{}`", plan.short())).unwrap_or_default()
}

/// What tells the one answer to a comment from all other comments.
pub(super) fn marker(installation: &str, comment_id: u64, form: CommentForm) -> String {
    let installation: String = installation.chars().filter(char::is_ascii_alphanumeric).collect();
    match form {
        CommentForm::Html => format!("<!-- trueup:{installation}:answer:{comment_id} -->"),
        CommentForm::Plain => format!("[trueup]: # (trueup:{installation}:answer:{comment_id})"),
    }
}

/// The text of the comment that answers.
pub(super) fn text(answer: &Answer, marker: &str) -> String {
    format!("{marker}\n\n{answer}\n")
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Planned => f.write_str(
                "Trueup makes its report on this request again; its comment is edited where anything moved.",
            ),
            Answer::Began { run, at, plan } => {
                write!(f, "Run {run} of **{at}** carries out plan `{}`. Its result will stand here.", plan.short())
            }
            Answer::Ended { run, at, plan, succeeded } => {
                let word = if *succeeded { "succeeded" } else { "failed" };
                let plan = plan.short();
                write!(
                    f,
                    "Run {run} of **{at}**, which carried out plan `{plan}`, **{word}**. `trueup show run {run}` tells it step by step."
                )
            }
            Answer::InSync { at } => write!(f, "Nothing was to be done: **{at}** is in sync."),
            Answer::Interrupted { at } => write!(
                f,
                "The daemon ended while it was at this command, before a run of **{at}** began. It is not begun again by itself: write a new comment if it is still meant."
            ),
            Answer::Refused(why) => {
                write!(f, "Not done: {why}.")?;
                match why {
                    Why::Misread(_) => write!(f, "\n\n{}", fenced("", &USAGE.map(str::to_owned))),
                    Why::Moved(_, fields) => write!(f, "\n\n{}", fenced("", fields)),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// What moved between two plans, by the names of services and fields alone: what they hold may not leave the house.
pub(super) fn moved(confirmed: &Plan, current: &Plan) -> Vec<String> {
    let mut names = BTreeSet::new();
    let of = |plan: &Plan, service: &crate::ids::ServiceName| {
        plan.actions.iter().find(|action| action.service == *service).cloned()
    };
    let services: BTreeSet<_> =
        confirmed.actions.iter().chain(&current.actions).map(|action| action.service.clone()).collect();
    for service in services {
        let (before, after) = match (of(confirmed, &service), of(current, &service)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) => (before, after),
            (Some(_), None) => {
                names.insert(format!("{service}: nothing is to be done any more"));
                continue;
            }
            (None, _) => {
                names.insert(format!("{service}: something is to be done now"));
                continue;
            }
        };
        let other = |change: &&crate::plan::Change, among: &[crate::plan::Change]| !among.contains(change);
        let fields: Vec<_> = before
            .changes
            .iter()
            .filter(|change| other(change, &after.changes))
            .chain(after.changes.iter().filter(|change| other(change, &before.changes)))
            .map(|change| format!("{service}.{}", change.field))
            .collect();
        if fields.is_empty() {
            names.insert(format!("{service}: it would be done in another way"));
        }
        names.extend(fields);
    }
    let mut lines: Vec<String> = names.into_iter().collect();
    if lines.is_empty() {
        lines.push("something that the plan does not change, such as the commit or what was last applied".to_owned());
    }
    if lines.len() > FIELDS_MAX {
        let more = lines.len() - FIELDS_MAX;
        lines.truncate(FIELDS_MAX);
        lines.push(format!("+{more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Answer, Why, marker, text};
    use crate::commands::grammar::{Misread, is_addressed};
    use crate::forge::api::CommentForm;

    #[test]
    fn no_answer_is_a_command_and_each_begins_with_its_marker() {
        for form in [CommentForm::Html, CommentForm::Plain] {
            let marker = marker("0011", 1001, form);
            for answer in
                [Answer::Planned, Answer::Refused(Why::Misread(Misread::NoVerb)), Answer::Refused(Why::Edited)]
            {
                let text = text(&answer, &marker);
                assert!(text.starts_with(&marker) && !is_addressed(&text), "{text}");
            }
        }
        assert_ne!(marker("0011", 1, CommentForm::Html), marker("0011", 11, CommentForm::Html));
        assert!(!marker("0011", 11, CommentForm::Html).contains(&marker("0011", 1, CommentForm::Html)));
    }
}
