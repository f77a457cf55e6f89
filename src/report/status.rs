//! Commit statuses: one line per environment, beside the commit.

use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentName, ProjectName};
use crate::plan::{ActionKind, Plan};
use crate::report::detail::ReportDetail;
use crate::report::pull::{AfterMerge, Counts, NotPlanned, PlannedPull, PullOutcome, PullReport, PullState};

/// The longest description that every forge takes, in characters.
pub const DESCRIPTION_MAX: usize = 140;

/// How many digits of the installation's id tell daemons apart.
const INSTALLATION_DIGITS: usize = 8;

/// A status as forges know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// All is well, or nothing forbids merging.
    Success,
    /// Something awaits a sync.
    Pending,
    /// The file is not valid, or a run failed.
    Failure,
    /// It could not be told.
    Error,
}

/// A commit status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// What it is called.
    pub context: String,
    /// The state.
    pub state: StatusState,
    /// What it says, at most [`DESCRIPTION_MAX`] characters.
    pub description: String,
}

/// What tells statuses apart.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The project, where the repository has several.
    pub project: Option<&'a ProjectName>,
    /// The installation's id, where several daemons report on the repository.
    pub installation: Option<&'a str>,
}

impl Naming<'_> {
    /// `trueup/production`, `trueup/shop/production`, `trueup/production (1a2b3c4d)`.
    pub fn context(&self) -> String {
        let project = self.project.map(|project| format!("{project}/")).unwrap_or_default();
        let installation = self.installation.map(|id| {
            let digits: String = id.chars().filter(char::is_ascii_alphanumeric).take(INSTALLATION_DIGITS).collect();
            format!(" ({digits})")
        });
        format!("trueup/{project}{}{}", self.environment, installation.unwrap_or_default())
    }
}

/// What a branch's commit means for an environment that tracks it.
#[derive(Clone, Copy, Debug)]
pub enum Branch<'a> {
    /// The latest plan.
    Planned(&'a Plan),
    /// The file is not valid, in so many ways.
    Invalid(usize),
    /// There is no file.
    NoFile,
    /// It could not be planned.
    Failed,
}

/// An environment's status on a pull request's head; `None` where there is nothing to say.
pub fn of_pull(report: &PullReport, naming: Naming<'_>) -> Option<CommitStatus> {
    let found = report.environments.iter().find(|of| of.environment == *naming.environment)?;
    if report.state == PullState::Closed {
        return None;
    }
    let (state, words) = match &found.outcome {
        PullOutcome::Planned(planned) => of_planned(planned),
        PullOutcome::Conflict { .. } => {
            let target = report.target.as_deref().unwrap_or("its target");
            (StatusState::Error, format!("not planned: conflicts with {target}"))
        }
        PullOutcome::Invalid { problems } => (StatusState::Failure, invalid(problems.len())),
        PullOutcome::NoFile { path: _ } => (StatusState::Success, "no file: nothing is declared".to_owned()),
        PullOutcome::NotPlanned { why } => match why {
            NotPlanned::ReportsOff => return None,
            NotPlanned::ForkNotAllowed => (StatusState::Success, "not planned: the head is a fork's".to_owned()),
            NotPlanned::Unrelated { .. } => (StatusState::Error, "not planned: no common history".to_owned()),
            NotPlanned::Failed { .. } => (StatusState::Error, "could not be planned".to_owned()),
        },
    };
    Some(status(naming, state, &words))
}

/// An environment's status on its branch; `None` where its reports are off.
pub fn of_branch(branch: Branch<'_>, detail: ReportDetail, naming: Naming<'_>) -> Option<CommitStatus> {
    if detail == ReportDetail::Off {
        return None;
    }
    let (state, words) = match branch {
        Branch::Planned(plan) => of_plan(plan),
        Branch::Invalid(problems) => (StatusState::Failure, invalid(problems)),
        Branch::NoFile => (StatusState::Success, "no file: nothing is declared".to_owned()),
        Branch::Failed => (StatusState::Error, "could not be planned".to_owned()),
    };
    Some(status(naming, state, &words))
}

fn of_planned(planned: &PlannedPull) -> (StatusState, String) {
    let told = Told {
        counts: planned.counts(),
        orphans: planned.orphans.len(),
        unknowns: planned.unknowns.len(),
        unseen: planned.is_unseen(),
    };
    match &planned.merged {
        None => told.open(),
        Some(AfterMerge::InSync | AfterMerge::Awaits { .. }) => told.merged(),
        Some(AfterMerge::Ran { run, succeeded: true, rest: None, .. }) => {
            (StatusState::Success, format!("run {run}: applied and verified"))
        }
        Some(AfterMerge::Ran { run, succeeded: true, rest: Some(_), .. }) => {
            let (state, words) = told.merged();
            (state, format!("run {run} done; {words}"))
        }
        Some(AfterMerge::Ran { run, succeeded: false, .. }) => (StatusState::Failure, format!("run {run} failed")),
    }
}

fn of_plan(plan: &Plan) -> (StatusState, String) {
    let mut counts = Counts::default();
    for action in &plan.actions {
        let number = if action.kind == ActionKind::Create { 1 } else { action.changes.len().max(1) };
        counts.changes += number;
        counts.blocked += if action.blocked.is_empty() { 0 } else { number };
    }
    let unseen = plan.unknowns.iter().any(|unknown| unknown.service.is_none());
    Told { counts, orphans: plan.orphans.len(), unknowns: plan.unknowns.len(), unseen }.merged()
}

/// What a status is told from.
struct Told {
    counts: Counts,
    orphans: usize,
    unknowns: usize,
    unseen: bool,
}

impl Told {
    /// Before a merge: a success, as nothing forbids merging.
    fn open(&self) -> (StatusState, String) {
        if let Some(error) = self.unknown() {
            return error;
        }
        match self.counts.changes {
            0 => (StatusState::Success, self.with_rest("nothing would change".to_owned())),
            1 => (StatusState::Success, self.with_rest("1 change on sync".to_owned())),
            many => (StatusState::Success, self.with_rest(format!("{many} changes on sync"))),
        }
    }

    /// On the branch: what awaits a sync is pending.
    fn merged(&self) -> (StatusState, String) {
        if let Some(error) = self.unknown() {
            return error;
        }
        match (self.counts.changes, self.orphans) {
            (0, 0) => (StatusState::Success, "in sync".to_owned()),
            (0, _) => (StatusState::Pending, self.with_rest("in sync".to_owned())),
            (1, _) => (StatusState::Pending, self.with_rest("1 change awaits sync".to_owned())),
            (many, _) => (StatusState::Pending, self.with_rest(format!("{many} changes await sync"))),
        }
    }

    fn unknown(&self) -> Option<(StatusState, String)> {
        if self.unseen {
            return Some((StatusState::Error, "what runs could not be seen".to_owned()));
        }
        let nothing_else = self.counts.changes == 0 && self.orphans == 0 && self.unknowns > 0;
        nothing_else.then(|| (StatusState::Error, format!("{} could not be compared", things(self.unknowns, "field"))))
    }

    fn with_rest(&self, mut words: String) -> String {
        if self.counts.blocked > 0 {
            words.push_str(&format!(", {} blocked", self.counts.blocked));
        }
        if self.orphans > 0 {
            words.push_str(&format!(", {}", things(self.orphans, "orphan")));
        }
        if self.unknowns > 0 {
            words.push_str(&format!(", {} unknown", self.unknowns));
        }
        words
    }
}

fn invalid(problems: usize) -> String {
    format!("the file is not valid: {}", things(problems, "problem"))
}

pub(super) fn things(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn status(naming: Naming<'_>, state: StatusState, words: &str) -> CommitStatus {
    let words = super::words::printable(words);
    let description = match words.char_indices().nth(DESCRIPTION_MAX) {
        // One character less, for the mark.
        Some(_) => words.chars().take(DESCRIPTION_MAX - 1).chain(['…']).collect(),
        None => words,
    };
    CommitStatus { context: naming.context(), state, description }
}
