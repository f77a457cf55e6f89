//! `trueup sync`: shows a plan, asks, and has exactly that plan carried out.

use clap::Args;
use reqwest::Method;
use serde::Serialize;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::plan::{self, Options};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::{Outcome, confirm, follow, missing};
use crate::http::dto::{NothingToDo, RunStarted, SyncBody};
use crate::ids::{DIGEST_PREFIX_MIN, EnvironmentRef};
use crate::plan::Plan;

/// Carry out a plan, after showing it and asking
///
/// The plan is shown first. What is confirmed is its digest: the daemon makes the plan again and carries it out only if
/// it is still the same, and otherwise refuses and says what moved. A failed change leaves what ran before running.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup sync shop/production                        show, ask, carry out
  trueup sync shop/production --yes                  show, carry out (for scripts)
  trueup sync shop/production --plan 3f9a1c0b7e21    exactly this plan, as `trueup plan` showed it
  trueup sync shop/production --service web          only this service
  trueup sync shop/production --prune                also delete what is no longer declared
  trueup sync shop/production --yes --detach         do not wait; `trueup show RUN` follows up

Ctrl-C while it runs detaches: the run goes on.

Exit codes: 0 done or nothing to do, 1 error, refused, declined or failed.")]
pub(super) struct SyncArgs {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    consent: Consent,
}

/// How a plan is confirmed; `rollback` takes the same.
#[derive(Clone, Debug, Args)]
pub(super) struct Consent {
    /// Carry out exactly the plan with this digest (or a prefix of 8 or more digits), without asking
    #[arg(long, value_name = "DIGEST", value_parser = digest_prefix)]
    pub(super) plan: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Do not wait for the run to end
    #[arg(long)]
    pub(super) detach: bool,
}

fn digest_prefix(text: &str) -> Result<String, String> {
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex && (DIGEST_PREFIX_MIN..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a plan's digest is {DIGEST_PREFIX_MIN} to 64 lower-case hexadecimal digits, as `trueup plan` prints it"
        ))
    }
}

/// Shows, asks, starts and follows.
pub(super) async fn run(verb: &SyncArgs, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    let plan = match &verb.consent.plan {
        Some(digest) => recorded(&client, digest, &verb.target).await?,
        None => plan::make(&client, &verb.target, &verb.options.request()).await?,
    };
    if !agreed(&plan, &verb.consent, "Carry out this plan?", terminal)? {
        return Ok(Outcome::Unclear);
    }
    // What was typed goes along: where the plan was made with other options, the daemon refuses it.
    let Options { reference, services: _, prune } = verb.options.clone();
    let services = verb.options.services();
    let body = SyncBody { plan: plan.digest.to_string(), reference, services, prune: prune.then_some(true) };
    carry_out(&client, &plan, ("sync", body), verb.consent.detach, terminal).await
}

/// The recorded plan of a digest.
///
/// # Errors
/// There is none, or it is another environment's.
pub(super) async fn recorded(client: &Client, digest: &str, target: &EnvironmentRef) -> anyhow::Result<Plan> {
    let plan: Plan = client.get(&format!("/plans/{digest}")).await?;
    if plan.environment != *target {
        return Err(Advice::new(
            format!("plan {} is for {}, not for {target}", plan.digest.short(), plan.environment),
            format!("`trueup sync {} --plan {}` carries it out there", plan.environment, plan.digest.short()),
        )
        .into());
    }
    Ok(plan)
}

/// Shows the plan and finds out whether it may be carried out: `--plan` and `--yes` say so, or someone is asked.
///
/// # Errors
/// Nobody can be asked.
pub(super) fn agreed(plan: &Plan, consent: &Consent, question: &str, terminal: &mut Terminal) -> anyhow::Result<bool> {
    let text = terminal.plan(plan);
    terminal.text(&text)?;
    if plan.actions.is_empty() || consent.plan.is_some() || consent.yes {
        return Ok(true);
    }
    if !terminal.interactive() {
        return Err(Advice::new(
            "nobody can be asked here, and nothing was changed",
            format!(
                "confirm exactly this plan with `--plan {}`, or whatever the plan is with `--yes`",
                plan.digest.short()
            ),
        )
        .into());
    }
    if confirm::ask(question)? {
        return Ok(true);
    }
    terminal.note(Tone::Plain, "Nothing was changed.")?;
    Ok(false)
}

/// What the daemon answers to a confirmed plan.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Started {
    /// A run was begun.
    Run(RunStarted),
    /// Everything is in sync; base was recorded anew for these.
    Nothing(NothingToDo),
}

/// Sends the confirmed plan's digest and follows what comes of it.
pub(super) async fn carry_out<B: Serialize>(
    client: &Client,
    plan: &Plan,
    (verb, body): (&str, B),
    detach: bool,
    terminal: &mut Terminal,
) -> anyhow::Result<Outcome> {
    let target = &plan.environment;
    let path = format!("/projects/{}/environments/{}/{verb}", target.project, target.environment);
    match client.send::<B, Started>(Method::POST, &path, &body).await {
        Ok(Started::Run(started)) => follow::run(client, started.run, detach, terminal).await,
        Ok(Started::Nothing(nothing)) => {
            for service in nothing.recorded {
                terminal.line(&format!("{service}: found as declared, and recorded so."))?;
            }
            // Nothing had to be done, but what could not be seen is not in sync for that.
            Ok(if plan.unknowns.is_empty() { Outcome::Done } else { Outcome::Unclear })
        }
        Err(error) => refused(client, target, error, terminal).await,
    }
}

/// Tells why a sync was refused; where the plan moved, what moved and what the plan is now.
async fn refused(
    client: &Client,
    target: &EnvironmentRef,
    error: ClientError,
    terminal: &mut Terminal,
) -> anyhow::Result<Outcome> {
    let ClientError::Problem(problem) = &error else { return Err(error.into()) };
    let current = problem.extra.get("current").map(|plan| serde_json::from_value::<Plan>(plan.clone()));
    let Some(Ok(current)) = current else { return Err(missing::explain(client, target, error).await) };
    terminal.note(Tone::Bad, &format!("error: {error}"))?;
    let moved = problem.extra.get("moved").and_then(|moved| moved.as_array()).into_iter().flatten();
    for line in moved.filter_map(|line| line.as_str()) {
        terminal.note(Tone::Plain, &format!("  moved: {line}"))?;
    }
    terminal.line("")?;
    let text = terminal.plan(&current);
    terminal.text(&text)?;
    terminal.note(
        Tone::Plain,
        &format!(
            "Nothing was changed. To carry out the plan of now: trueup sync {target} --plan {}",
            current.digest.short()
        ),
    )?;
    Ok(Outcome::Unclear)
}
