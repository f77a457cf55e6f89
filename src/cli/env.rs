//! `trueup env`: where a project's services run, with which settings and secrets' references.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::authority::CommentCommands;
use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::project::set_or_unset;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::{Outcome, findings, missing};
use crate::http::dto::{EnvironmentPatch, EnvironmentView, NewEnvironment};
use crate::ids::{EnvironmentRef, ProjectName, SecretName};
use crate::provider::ConnectionReport;
use crate::report::detail::ReportDetail;
use crate::secret::AuthRef;

/// Where services run, and with which secrets
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Env {
    Add(Add),
    List(List),
    Show(Show),
    Set(Set),
    Remove(Remove),
    Test(Test),
}

/// Create an environment
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup env add shop/production --provider docker
  trueup env add shop/production --provider docker --set host=ssh://deploy@web1.acme.dev
  trueup env add shop/production --provider docker --secret database-url=file:///etc/trueup/shop-db
  trueup env add shop/dev --provider local --run-as shop

The repository cannot create an environment or point it elsewhere; only this can.")]
pub(super) struct Add {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// Where its services run: docker or local
    #[arg(long)]
    provider: String,
    #[command(flatten)]
    given: Given,
}

/// What `add` and `set` both take.
#[derive(Debug, Args)]
struct Given {
    /// One of the provider's settings (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Pair>,
    /// A secret: the name that the file uses, and where the daemon finds the value (repeatable)
    #[arg(long = "secret", value_name = "NAME=REFERENCE")]
    secrets: Vec<SecretPair>,
    /// A template value, {{ .Env.KEY }} in the file (repeatable)
    #[arg(long = "value", value_name = "KEY=VALUE")]
    values: Vec<Pair>,
    /// A branch, tag pattern or full ref, instead of the project's tracked branch
    #[arg(long, value_name = "REF")]
    branch: Option<String>,
    /// A host path that services may mount, with what is beneath (repeatable; replaces the list)
    #[arg(long = "allow-host-path", value_name = "PATH")]
    allow_host_paths: Vec<String>,
    /// Allow commits to be synced that are not reachable from the tracked ref
    #[arg(long)]
    allow_untracked: bool,
    /// How much reports on the forge show: full, names-only (no values), or off
    #[arg(long, value_name = "HOW")]
    report_detail: Option<ReportDetail>,
    /// Plan pull requests of forks too: what they declare against what was last applied, without a look at what runs
    #[arg(long)]
    plan_forks: bool,
    /// Tell of what was changed outside Trueup in an issue on the forge, one for the environment
    #[arg(long)]
    drift_issue: bool,
    /// Which commands in comments on pull requests are taken: off, plan (/trueup plan), or sync (/trueup sync too)
    #[arg(long, value_name = "WHICH")]
    comment_commands: Option<CommentCommands>,
    /// The system user that `local` processes run as
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,
}

/// All environments of a project
#[derive(Debug, Args)]
pub(super) struct List {
    /// The project; without it, all
    project: Option<ProjectName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One environment as it is registered
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Change an environment; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup env set shop/production --secret api-key=env://SHOP_API_KEY
  trueup env set shop/production --no-secret api-key
  trueup env set shop/production --branch 'v*'")]
pub(super) struct Set {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    #[command(flatten)]
    given: Given,
    /// Remove one of the provider's settings (repeatable)
    #[arg(long = "unset", value_name = "KEY")]
    no_settings: Vec<String>,
    /// Remove a secret (repeatable)
    #[arg(long = "no-secret", value_name = "NAME")]
    no_secrets: Vec<SecretName>,
    /// Remove a template value (repeatable)
    #[arg(long = "no-value", value_name = "KEY")]
    no_values: Vec<String>,
    /// Track what the project tracks
    #[arg(long, conflicts_with = "branch")]
    no_branch: bool,
    /// Allow no host paths
    #[arg(long, conflicts_with = "allow_host_paths")]
    no_host_paths: bool,
    /// Refuse commits that are not reachable from the tracked ref
    #[arg(long, conflicts_with = "allow_untracked")]
    refuse_untracked: bool,
    /// Plan no pull requests of forks
    #[arg(long, conflicts_with = "plan_forks")]
    refuse_forks: bool,
    /// Write no issue of what was changed outside Trueup; one that is open is closed
    #[arg(long, conflicts_with = "drift_issue")]
    no_drift_issue: bool,
}

/// Forget an environment; what runs goes on running
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
}

/// Try the connection to where services run, and say what was found
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `KEY=VALUE`.
#[derive(Clone, Debug)]
pub(super) struct Pair(pub(super) String, pub(super) String);

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Pair(key.to_owned(), value.to_owned())),
            _ => Err("write KEY=VALUE"),
        }
    }
}

/// `NAME=REFERENCE`. Its errors never repeat the text: someone may have written the secret itself.
#[derive(Clone, Debug)]
pub(super) struct SecretPair(pub(super) SecretName, pub(super) AuthRef);

impl FromStr for SecretPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, reference) = text.split_once('=').ok_or("write NAME=env://VARIABLE or NAME=file:///PATH")?;
        let name = name.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?;
        let reference = reference.parse().map_err(|error: crate::secret::InvalidAuthRef| error.to_string())?;
        Ok(SecretPair(name, reference))
    }
}

fn path_of(target: &EnvironmentRef) -> String {
    format!("/projects/{}/environments/{}", target.project, target.environment)
}

/// Carries out an `env` verb.
pub(super) async fn run(verb: &Env, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Env::Add(verb) => add(verb, &client, terminal).await,
        Env::List(verb) => list(verb, &client, terminal).await,
        Env::Show(verb) => show(verb, &client, terminal).await,
        Env::Set(verb) => set(verb, &client, terminal).await,
        Env::Remove(verb) => {
            let reply = client.tell(Method::DELETE, &path_of(&verb.target)).await;
            if let Err(error) = reply {
                return Err(missing::explain(&client, &verb.target, error).await);
            }
            terminal.line(&format!("Environment {} is forgotten. What it ran goes on running.", verb.target))?;
            Ok(Outcome::Done)
        }
        Env::Test(verb) => test(verb, &client, terminal).await,
    }
}

impl Add {
    fn body(&self) -> NewEnvironment {
        let given = &self.given;
        NewEnvironment {
            name: self.target.environment.clone(),
            provider: self.provider.clone(),
            settings: given.settings.iter().map(|Pair(key, value)| (key.clone(), value.clone())).collect(),
            tracked: given.branch.clone(),
            secrets: given.secrets.iter().map(|SecretPair(name, at)| (name.clone(), at.clone())).collect(),
            values: given.values.iter().map(|Pair(key, value)| (key.clone(), value.clone())).collect(),
            allow_host_paths: given.allow_host_paths.clone(),
            allow_untracked: given.allow_untracked,
            report_detail: given.report_detail.unwrap_or_default(),
            plan_forks: given.plan_forks,
            drift_issue: given.drift_issue,
            comment_commands: given.comment_commands.unwrap_or_default(),
            run_as: given.run_as.clone(),
        }
    }
}

impl Set {
    fn body(&self) -> EnvironmentPatch {
        let given = &self.given;
        let host_paths =
            (self.no_host_paths || !given.allow_host_paths.is_empty()).then(|| given.allow_host_paths.clone());
        EnvironmentPatch {
            settings: merged(&given.settings, &self.no_settings),
            tracked: set_or_unset(given.branch.as_ref(), self.no_branch),
            secrets: given
                .secrets
                .iter()
                .map(|SecretPair(name, at)| (name.clone(), Some(at.clone())))
                .chain(self.no_secrets.iter().map(|name| (name.clone(), None)))
                .collect(),
            values: merged(&given.values, &self.no_values),
            allow_host_paths: host_paths,
            allow_untracked: (given.allow_untracked || self.refuse_untracked).then_some(given.allow_untracked),
            report_detail: given.report_detail,
            plan_forks: (given.plan_forks || self.refuse_forks).then_some(given.plan_forks),
            drift_issue: (given.drift_issue || self.no_drift_issue).then_some(given.drift_issue),
            comment_commands: given.comment_commands,
            run_as: given.run_as.clone().map(Some),
        }
    }
}

/// Entries to set, and entries to remove (`None`).
fn merged(set: &[Pair], removed: &[String]) -> BTreeMap<String, Option<String>> {
    let set = set.iter().map(|Pair(key, value)| (key.clone(), Some(value.clone())));
    set.chain(removed.iter().map(|key| (key.clone(), None))).collect()
}

async fn add(verb: &Add, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let path = format!("/projects/{}/environments", verb.target.project);
    let reply: Result<EnvironmentView, ClientError> = client.send(Method::POST, &path, &verb.body()).await;
    match reply {
        Ok(view) => {
            terminal.line(&format!(
                "Environment {} is created ({}). Nothing was deployed.",
                view.id(),
                view.provider
            ))?;
            terminal.note(Tone::Dim, &format!("next: trueup env test {0}, then trueup plan {0}", view.id()))?;
            Ok(Outcome::Done)
        }
        Err(error) => Err(missing::explain_project(client, &verb.target.project, error).await),
    }
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let projects = match &verb.project {
        Some(project) => vec![project.clone()],
        None => {
            let all: Vec<crate::http::dto::ProjectView> = client.get("/projects").await?;
            all.into_iter().map(|project| project.name).collect()
        }
    };
    let mut environments = Vec::new();
    for project in &projects {
        let reply: Result<Vec<EnvironmentView>, ClientError> =
            client.get(&format!("/projects/{project}/environments")).await;
        match reply {
            Ok(mut some) => environments.append(&mut some),
            Err(error) => return Err(missing::explain_project(client, project, error).await),
        }
    }
    if verb.json {
        terminal.json(&environments)?;
    } else if environments.is_empty() {
        terminal.line("No environment is created yet: trueup env add PROJECT/ENVIRONMENT --provider docker")?;
    } else {
        let mut table = Table::new(&["ENVIRONMENT", "PROVIDER", "TRACKED", "SECRETS", "VALUES"]);
        for view in &environments {
            table.row(vec![
                Cell::plain(view.id().to_string()),
                Cell::plain(&view.provider),
                Cell::plain(view.tracked.as_deref().unwrap_or("as the project")),
                Cell::plain(view.secrets.len().to_string()),
                Cell::plain(view.values.len().to_string()),
            ]);
        }
        terminal.text(&table.render(terminal.colour()))?;
    }
    Ok(Outcome::Done)
}

async fn show(verb: &Show, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<EnvironmentView, ClientError> = client.get(&path_of(&verb.target)).await;
    let view = match reply {
        Ok(view) => view,
        Err(error) => return Err(missing::explain(client, &verb.target, error).await),
    };
    if verb.json {
        terminal.json(&view)?;
        return Ok(Outcome::Done);
    }
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, value: String| facts.row(vec![Cell::new(Tone::Dim, name), Cell::plain(value)]);
    fact("environment", view.id().to_string());
    fact("provider", view.provider.clone());
    for (key, value) in &view.settings {
        fact("setting", format!("{key} = {value}"));
    }
    fact("tracked", view.tracked.clone().unwrap_or_else(|| "what the project tracks".into()));
    for (name, reference) in &view.secrets {
        fact("secret", format!("{name} = {reference}"));
    }
    for (key, value) in &view.values {
        fact("value", format!("{key} = {value}"));
    }
    for path in &view.allow_host_paths {
        fact("host path", format!("{path} (allowed)"));
    }
    fact("commits", if view.allow_untracked { "any may be synced" } else { "only tracked ones may be synced" }.into());
    fact("reports", view.report_detail.to_string());
    fact(
        "drift issue",
        if view.drift_issue { "one on the forge, while something was changed outside" } else { "none" }.into(),
    );
    fact("forks", if view.plan_forks { "their pull requests are planned" } else { "not planned" }.into());
    let commands = match view.comment_commands {
        CommentCommands::Off => "none are taken",
        CommentCommands::Plan => "/trueup plan",
        CommentCommands::Sync => "/trueup plan, /trueup sync",
    };
    fact("comments", commands.into());
    if let Some(user) = &view.run_as {
        fact("runs as", user.clone());
    }
    terminal.text(facts.render(terminal.colour()).trim_start_matches('\n'))?;
    Ok(Outcome::Done)
}

async fn set(verb: &Set, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let body = verb.body();
    anyhow::ensure!(
        body != EnvironmentPatch::default(),
        "nothing to change was named; `trueup env set --help` shows what there is"
    );
    let reply: Result<EnvironmentView, ClientError> = client.send(Method::PATCH, &path_of(&verb.target), &body).await;
    match reply {
        Ok(view) => {
            terminal.line(&format!("Environment {} is changed. Nothing was deployed.", view.id()))?;
            Ok(Outcome::Done)
        }
        Err(error) => Err(missing::explain(client, &verb.target, error).await),
    }
}

async fn test(verb: &Test, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<ConnectionReport, ClientError> =
        client.ask(Method::POST, &format!("{}/test", path_of(&verb.target))).await;
    let report = match reply {
        Ok(report) => report,
        Err(error) => return Err(missing::explain(client, &verb.target, error).await),
    };
    if verb.json {
        terminal.json(&report)?;
    } else {
        findings::show(&report.findings, terminal)?;
    }
    Ok(if report.ok { Outcome::Done } else { Outcome::Unclear })
}
