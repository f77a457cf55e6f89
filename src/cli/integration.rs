//! `trueup integration`: outside services, how they are reached, and how they are doing.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::env::Pair;
use crate::cli::forge_user::{self, User};
use crate::cli::project::set_or_unset;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::when::Viewpoint;
use crate::cli::{Outcome, findings, missing};
use crate::http::dto::{IntegrationPatch, IntegrationStanding, IntegrationView, NewIntegration};
use crate::ids::IntegrationName;
use crate::integration::{IntegrationProvider, IntegrationType, TestReport};
use crate::secret::AuthRef;
use crate::store::records::IntegrationHealth;

/// Outside services: forges, container registries, CI, runtime hosts
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Integration {
    Add(Add),
    List(List),
    Show(Show),
    Set(Set),
    Remove(Remove),
    Test(Test),
    #[command(subcommand)]
    User(User),
}

/// Register an outside service
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup integration add github --provider github --auth file:///etc/trueup/app.pem \\
      --set app_id=123456 --set webhook_secret=env://GITHUB_WEBHOOK
  trueup integration add git --provider gitea --endpoint https://git.acme.dev --auth env://GITEA_TOKEN
  trueup integration add registry --provider harbor --endpoint https://harbor.acme.dev \\
      --set username='robot$trueup' --auth env://HARBOR_PASSWORD
  trueup integration add web1 --provider docker_host --endpoint ssh://deploy@web1.acme.dev

Secrets themselves are never given to Trueup: env:// and file:// name where the daemon finds them.")]
pub(super) struct Add {
    /// Its name
    name: IntegrationName,
    /// github, gitlab, gitea, forgejo, bitbucket, bitbucket-server, harbor, oci, docker_host or memory
    #[arg(long)]
    provider: IntegrationProvider,
    /// scm, registry, ci or runtime_host; without it, what that provider usually is
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<IntegrationType>,
    #[command(flatten)]
    given: Given,
}

/// What `add` and `set` both take.
#[derive(Debug, Args)]
struct Given {
    /// Where it is; not needed for github.com, gitlab.com, bitbucket.org and the local Docker Engine
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Where the daemon finds the token, password or key: env://NAME or file:///PATH
    #[arg(long, value_name = "REFERENCE")]
    auth: Option<AuthRef>,
    /// One of the provider's settings (repeatable); docs/integrations.md lists them
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Pair>,
    /// Whom to ask about it
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

/// All integrations, with how they are doing
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One integration with its settings and how it is doing
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its name
    name: IntegrationName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Change an integration; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup integration set registry --auth env://NEW_PASSWORD
  trueup integration set registry --set test_repository=shop/web
  trueup integration set registry --unset test_repository")]
pub(super) struct Set {
    /// Its name
    name: IntegrationName,
    #[command(flatten)]
    given: Given,
    /// Use no credentials
    #[arg(long, conflicts_with = "auth")]
    no_auth: bool,
    /// Remove one of the provider's settings (repeatable)
    #[arg(long = "unset", value_name = "KEY")]
    no_settings: Vec<String>,
}

/// Forget an integration that no project uses
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its name
    name: IntegrationName,
}

/// Try the connection, and say what was found and which permission is missing
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Its name
    name: IntegrationName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out an `integration` verb.
pub(super) async fn run(verb: &Integration, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Integration::Add(verb) => add(verb, &client, terminal).await,
        Integration::List(verb) => list(verb, &client, terminal).await,
        Integration::Show(verb) => show(verb, &client, terminal).await,
        Integration::Set(verb) => set(verb, &client, terminal).await,
        Integration::Remove(verb) => {
            let reply = client.tell(Method::DELETE, &path_of(&verb.name)).await;
            if let Err(error) = reply {
                return Err(missing::explain_integration(&client, &verb.name, error).await);
            }
            terminal.line(&format!("Integration {} is forgotten. Nothing was changed there.", verb.name))?;
            Ok(Outcome::Done)
        }
        Integration::Test(verb) => test(verb, &client, terminal).await,
        Integration::User(verb) => forge_user::run(verb, Context { client, terminal }).await,
    }
}

fn path_of(name: &IntegrationName) -> String {
    format!("/integrations/{name}")
}

async fn add(verb: &Add, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let given = &verb.given;
    let body = NewIntegration {
        name: verb.name.clone(),
        provider: verb.provider,
        kind: verb.kind,
        endpoint: given.endpoint.clone(),
        auth: given.auth.clone(),
        settings: given.settings.iter().map(|Pair(key, value)| (key.clone(), value.clone())).collect(),
        owner: given.owner.clone(),
    };
    let made: IntegrationView = client.send(Method::POST, "/integrations", &body).await?;
    terminal.line(&format!("Integration {} is registered: {} at {}", made.name, made.provider, made.endpoint))?;
    terminal.note(Tone::Dim, &format!("next: trueup integration test {}", made.name))?;
    Ok(Outcome::Done)
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let integrations: Vec<IntegrationView> = client.get("/integrations").await?;
    if verb.json {
        terminal.json(&integrations)?;
    } else if integrations.is_empty() {
        terminal.line("No integration is registered yet: trueup integration add NAME --provider github")?;
    } else {
        let view = Viewpoint::of_process();
        let mut table = Table::new(&["INTEGRATION", "TYPE", "PROVIDER", "ENDPOINT", "HEALTH", "SINCE", "OWNER"]);
        for one in &integrations {
            table.row(vec![
                Cell::plain(one.name.as_str()),
                Cell::plain(one.kind.word()),
                Cell::plain(one.provider.word()),
                Cell::plain(&one.endpoint),
                Cell::new(tone(one.standing.health), one.standing.health.word()),
                Cell::plain(view.ago(one.standing.since)),
                Cell::plain(&one.owner),
            ]);
        }
        terminal.text(&table.render(terminal.colour()))?;
    }
    Ok(Outcome::Done)
}

fn tone(health: IntegrationHealth) -> Tone {
    match health {
        IntegrationHealth::Healthy => Tone::Good,
        IntegrationHealth::Degraded | IntegrationHealth::Unknown => Tone::Warn,
        IntegrationHealth::Unhealthy => Tone::Bad,
    }
}

async fn show(verb: &Show, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<IntegrationView, ClientError> = client.get(&path_of(&verb.name)).await;
    let one = match reply {
        Ok(one) => one,
        Err(error) => return Err(missing::explain_integration(client, &verb.name, error).await),
    };
    if verb.json {
        terminal.json(&one)?;
        return Ok(Outcome::Done);
    }
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, value: String| facts.row(vec![Cell::new(Tone::Dim, name), Cell::plain(value)]);
    fact("integration", one.name.to_string());
    fact("type", one.kind.to_string());
    fact("provider", one.provider.to_string());
    fact("endpoint", one.endpoint.clone());
    fact("credentials", one.auth.as_ref().map_or("none".to_owned(), ToString::to_string));
    for (key, value) in &one.settings {
        fact("setting", format!("{key} = {value}"));
    }
    fact("owner", one.owner.clone());
    let users: Vec<&str> = one.projects.iter().map(|project| project.as_str()).collect();
    fact("used by", if users.is_empty() { "no project".to_owned() } else { users.join(", ") });
    let view = Viewpoint::of_process();
    let IntegrationStanding { health, reason, since, checked_at, latency_ms } = &one.standing;
    fact("health", format!("{}, since {}", health.word(), view.both(*since)));
    if let Some(reason) = reason {
        fact("because", reason.clone());
    }
    if let (Some(at), Some(latency)) = (checked_at, latency_ms) {
        fact("looked at", format!("{}, which took {latency} ms", view.ago(*at)));
    }
    terminal.text(facts.render(terminal.colour()).trim_start_matches('\n'))?;
    Ok(Outcome::Done)
}

async fn set(verb: &Set, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let given = &verb.given;
    let set = given.settings.iter().map(|Pair(key, value)| (key.clone(), Some(value.clone())));
    let settings: BTreeMap<String, Option<String>> =
        set.chain(verb.no_settings.iter().map(|key| (key.clone(), None))).collect();
    let change = IntegrationPatch {
        endpoint: given.endpoint.clone(),
        auth: set_or_unset(given.auth.as_ref(), verb.no_auth),
        settings,
        owner: given.owner.clone(),
    };
    anyhow::ensure!(
        change != IntegrationPatch::default(),
        "nothing to change was named; `trueup integration set --help` shows what there is"
    );
    let reply: Result<IntegrationView, ClientError> = client.send(Method::PATCH, &path_of(&verb.name), &change).await;
    match reply {
        Ok(one) => {
            terminal.line(&format!("Integration {} is changed.", one.name))?;
            terminal.note(Tone::Dim, &format!("next: trueup integration test {}", one.name))?;
            Ok(Outcome::Done)
        }
        Err(error) => Err(missing::explain_integration(client, &verb.name, error).await),
    }
}

async fn test(verb: &Test, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<TestReport, ClientError> =
        client.ask(Method::POST, &format!("{}/test", path_of(&verb.name))).await;
    let report = match reply {
        Ok(report) => report,
        Err(error) => return Err(missing::explain_integration(client, &verb.name, error).await),
    };
    if verb.json {
        terminal.json(&report)?;
    } else {
        findings::show(&report.findings, terminal)?;
        for scope in &report.missing_scopes {
            terminal.line(&format!("{}  the permission {scope} is missing", terminal.paint(Tone::Warn, "look")))?;
        }
        let word = terminal.paint(tone(report.status), report.status.word());
        terminal.line(&format!("{} is {word}, which took {} ms to find out.", verb.name, report.latency_ms))?;
    }
    Ok(match report.status {
        IntegrationHealth::Healthy | IntegrationHealth::Degraded => Outcome::Done,
        IntegrationHealth::Unhealthy | IntegrationHealth::Unknown => Outcome::Unclear,
    })
}
