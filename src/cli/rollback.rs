//! `trueup rollback`: back to a recorded release, through the same door as `sync`.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::plan::{self, Options};
use crate::cli::sync::{self, Consent};
use crate::http::dto::{PlanRequest, RollbackBody};
use crate::ids::{EnvironmentRef, RunId, ServiceName};

/// Go back to a recorded release, after showing the plan and asking
///
/// A release is what a run applied and verified: the same image digests and the same leaves, with the secrets of today.
/// Without --to it is the release before the one that runs. The tip of the branch then shows as drift with cause
/// `repo`: nothing is forgotten, and nothing is forced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup rollback shop/production                 the release before this one
  trueup rollback shop/production --to 12         the release of run 12 (see `trueup history`)
  trueup rollback shop/production --to 12 --service web

Exit codes: 0 done or nothing to do, 1 error, refused, declined or failed.")]
pub(super) struct Rollback {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// The run whose release is to come back
    #[arg(long, value_name = "RUN")]
    to: Option<RunId>,
    /// Only this service (repeatable)
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<ServiceName>,
    #[command(flatten)]
    consent: Consent,
}

/// Shows the way back, asks, starts and follows.
pub(super) async fn run(verb: &Rollback, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    let options = Options { services: verb.services.clone(), ..Options::default() };
    let plan = match &verb.consent.plan {
        Some(digest) => sync::recorded(&client, digest, &verb.target).await?,
        None => {
            // Which release is the one before the present is the daemon's to say; the plan's first line shows it.
            let request = PlanRequest { rollback: true, rollback_to: verb.to, ..options.request() };
            plan::make(&client, &verb.target, &request).await?
        }
    };
    if !sync::agreed(&plan, &verb.consent, "Go back to this release?", terminal)? {
        return Ok(Outcome::Unclear);
    }
    // What was typed goes along: where the plan was made with other options, the daemon refuses it.
    let to = verb.to.or(plan.options.rollback_to);
    let body = RollbackBody { plan: plan.digest.to_string(), to, services: options.services() };
    sync::carry_out(&client, &plan, ("rollback", body), verb.consent.detach, terminal).await
}
