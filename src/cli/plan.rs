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
use crate::http::dto::PlanRequest;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::plan::Plan;

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
    let plan = make(&context.client, target, &verb.options.request()).await?;
    present(&plan, verb.json, context.terminal)
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
