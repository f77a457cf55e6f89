//! `trueup plan`: what a sync would change, field by field, and why.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use reqwest::Method;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::offline::{self, Offline};
use crate::cli::terminal::Terminal;
use crate::cli::{Outcome, missing};
use crate::http::dto::{EnvironmentView, PlanRequest, PullRequestBody};
use crate::ids::{EnvironmentRef, ServiceName};
use crate::plan::Plan;
use crate::report::pull::{PullOutcome, PullReport};
use crate::report::pull_text;

/// What would a sync change, field by field, and why?
///
/// Looks at Git and at what runs now, compares, and changes nothing. The plan's digest is what `trueup sync --plan`
/// takes: it then carries out exactly this plan, or refuses and says what moved.
///
/// With --file, a file that is in no repository yet is planned against what runs, without a daemon.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup plan shop/production                      the tip of the tracked branch
  trueup plan shop/production --ref feature        any branch, tag, commit, or refs/pull/7/head
  trueup plan shop/production --service web        only this service
  trueup plan shop/production --pull 7             what merging pull request 7 and then syncing would change
  trueup plan --file .trueup.yml --provider docker --project shop --environment production

Reading it: + create, ~ change, -/+ replace, - delete. Each changed field says its cause:
  new    nothing was applied here yet      repo   the file changed
  live   what runs was changed             both   both changed
  input  the file stood still, but a tag, a secret or an operator's setting moved

Exit codes: 0 in sync, 2 drift, 1 error, or too little could be seen to say.")]
pub(super) struct PlanArgs {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT", required_unless_present = "file", conflicts_with = "file")]
    target: Option<EnvironmentRef>,
    #[command(flatten)]
    options: Options,
    /// What merging this pull request into the tracked branch would change, as it would be reported
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["reference", "services", "prune", "file"])]
    pull: Option<u64>,
    #[command(flatten)]
    offline: Offline,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

/// What a plan is asked for; `sync` takes the same.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Options {
    /// A branch, tag, commit or full ref instead of the tracked branch
    #[arg(long = "ref", value_name = "REF")]
    pub(super) reference: Option<String>,
    /// Only this service (repeatable)
    #[arg(long = "service", value_name = "NAME")]
    pub(super) services: Vec<ServiceName>,
    /// Delete services that run and are no longer declared; their volumes stay
    #[arg(long)]
    pub(super) prune: bool,
}

impl Options {
    /// The services as a set; `None` where none was named.
    pub(super) fn services(&self) -> Option<BTreeSet<ServiceName>> {
        (!self.services.is_empty()).then(|| self.services.iter().cloned().collect())
    }

    /// The request for a plan with these options.
    pub(super) fn request(&self) -> PlanRequest {
        PlanRequest {
            reference: self.reference.clone(),
            services: self.services(),
            prune: self.prune,
            ..PlanRequest::default()
        }
    }
}

impl PlanArgs {
    /// Whether it takes no daemon.
    pub(super) fn is_offline(&self) -> bool {
        self.offline.file.is_some()
    }
}

/// Makes the plan here, from a file and what runs.
pub(super) async fn run_offline(verb: &PlanArgs, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    match offline::plan(&verb.offline, &verb.options, terminal).await? {
        Some(plan) => present(&plan, verb.json, terminal),
        None => Ok(Outcome::Unclear),
    }
}

/// Asks the daemon for the plan and shows it.
pub(super) async fn run(verb: &PlanArgs, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Some(target) = &verb.target else { bail!("name an environment, as PROJECT/ENVIRONMENT") };
    if let Some(number) = verb.pull {
        return pull(target, number, verb.json, context).await;
    }
    let plan = make(&context.client, target, &verb.options.request()).await?;
    present(&plan, verb.json, context.terminal)
}

/// Asks the daemon for a report on a pull request and shows one environment of it.
async fn pull(target: &EnvironmentRef, number: u64, json: bool, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    let view: Result<EnvironmentView, ClientError> =
        client.get(&format!("/projects/{}/environments/{}", target.project, target.environment)).await;
    if let Err(error) = view {
        return Err(missing::explain(&client, target, error).await);
    }
    let path = format!("/projects/{}/pulls/{number}/report", target.project);
    let mut report: PullReport = client.send(Method::POST, &path, &PullRequestBody::default()).await?;
    report.environments.retain(|of| of.environment == target.environment);
    let Some(found) = report.environments.first() else {
        bail!("the ref that {target} tracks does not exist, so nothing can be merged into it");
    };
    let outcome = match &found.outcome {
        PullOutcome::Planned(planned) => {
            let empty = planned.changing().next().is_none() && planned.orphans.is_empty();
            match (empty, planned.unknowns.is_empty()) {
                (false, _) => Outcome::Drift,
                (true, true) => Outcome::Done,
                (true, false) => Outcome::Unclear,
            }
        }
        PullOutcome::NoFile { .. } => Outcome::Done,
        PullOutcome::Conflict { .. } | PullOutcome::Invalid { .. } | PullOutcome::NotPlanned { .. } => Outcome::Unclear,
    };
    if json {
        terminal.json(&report)?;
    } else {
        terminal.text(&pull_text::environment(&report, found))?;
    }
    Ok(outcome)
}

/// A fresh plan from the daemon.
///
/// # Errors
/// It could not be made; an unknown environment comes with a suggestion.
pub(super) async fn make(client: &Client, target: &EnvironmentRef, request: &PlanRequest) -> anyhow::Result<Plan> {
    let path = format!("/projects/{}/environments/{}/plan", target.project, target.environment);
    let reply: Result<Plan, ClientError> = client.send(Method::POST, &path, request).await;
    match reply {
        Ok(plan) => Ok(plan),
        Err(error) => Err(missing::explain(client, target, error).await),
    }
}

/// Shows a plan as it is and says what it means for the exit code.
pub(super) fn present(plan: &Plan, json: bool, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    if json {
        terminal.json(plan)?;
    } else {
        let text = terminal.plan(plan);
        terminal.text(&text)?;
    }
    Ok(verdict(plan))
}

/// What a plan means: drift where something differs, unclear where nothing is known to differ but not all was seen.
pub(super) fn verdict(plan: &Plan) -> Outcome {
    if !plan.actions.is_empty() || !plan.orphans.is_empty() {
        Outcome::Drift
    } else if plan.unknowns.is_empty() {
        Outcome::Done
    } else {
        Outcome::Unclear
    }
}
