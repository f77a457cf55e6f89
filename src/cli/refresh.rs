//! `trueup refresh`: looks at Git and at what runs now; changes nothing.

use clap::Args;
use reqwest::Method;

use crate::cli::args::Context;
use crate::cli::client::ClientError;
use crate::cli::{Outcome, missing, status};
use crate::http::dto::{RefreshStarted, StatusView};
use crate::ids::EnvironmentRef;

/// Look at Git and at what runs now, instead of in a minute
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup refresh shop/production    look, and show the status
  trueup refresh                    have everything looked at soon

Exit codes: as `trueup status`.")]
pub(super) struct Refresh {
    /// The environment, as PROJECT/ENVIRONMENT; without it, all
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: Option<EnvironmentRef>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Has it looked at, and shows what was seen.
pub(super) async fn run(verb: &Refresh, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Some(target) = &verb.target else {
        let started: RefreshStarted = context.client.ask(Method::POST, "/refresh").await?;
        if verb.json {
            context.terminal.json(&started)?;
        } else {
            let many = match started.environments {
                1 => "1 environment is".to_owned(),
                many => format!("{many} environments are"),
            };
            context.terminal.line(&format!("{many} being looked at; `trueup status` shows what was seen."))?;
        }
        return Ok(Outcome::Done);
    };
    let path = format!("/projects/{}/environments/{}/refresh", target.project, target.environment);
    let reply: Result<StatusView, ClientError> = context.client.ask(Method::POST, &path).await;
    match reply {
        Ok(view) => status::show(&[view], verb.json, context.terminal),
        Err(error) => Err(missing::explain(&context.client, target, error).await),
    }
}
