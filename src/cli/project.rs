//! `trueup project`: which repositories are watched.

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::{Outcome, findings, missing, status};
use crate::http::dto::{CONFIG_PATH, Change, NewProject, ProjectCheck, ProjectPatch, ProjectView, WebhookSetUp};
use crate::ids::{IntegrationName, ProjectName};
use crate::integration::repository;
use crate::secret::AuthRef;

/// Repositories that are watched
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Project {
    Add(Add),
    List(List),
    Show(Show),
    Set(Set),
    Check(Check),
    Remove(Remove),
}

/// Watch a repository
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup project add shop https://git.acme.dev/shop.git
  trueup project add shop https://git.acme.dev/shop.git --auth env://SHOP_TOKEN --branch main
  trueup project add shop https://git.acme.dev/shop.git --webhook-secret file:///etc/trueup/shop-webhook
  trueup project add shop https://github.com/acme/shop --auth env://TOKEN --integration github
  trueup project add shop https://github.com/acme/shop --auth env://TOKEN --integration github --webhook
  trueup project add shop https://git.acme.dev/shop.git --auth file:///etc/trueup/token --user deploy
  trueup project add shop .                        a repository on this machine

The token itself is never given to Trueup: env:// and file:// name where the daemon finds it.")]
pub(super) struct Add {
    /// The project's name
    name: ProjectName,
    /// The repository: https://, ssh://, file://, or a path on the daemon's machine
    url: String,
    /// Where the daemon finds the token, password or key: env://NAME or file:///PATH
    #[arg(long, value_name = "REFERENCE")]
    auth: Option<AuthRef>,
    /// The user name that goes with it over https://; without it, one that forges take with a token
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The tracked branch; without it, the remote's HEAD
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// The file's path within the repository
    #[arg(long, value_name = "PATH", default_value = CONFIG_PATH)]
    config_path: String,
    /// Where the daemon finds the secret of the repository's webhook; without one, no delivery is taken
    #[arg(long, value_name = "REFERENCE")]
    webhook_secret: Option<AuthRef>,
    /// The forge that its pull requests are reported to, as it is registered
    #[arg(long, value_name = "NAME")]
    integration: Option<IntegrationName>,
    /// The repository's name on that forge, where the URL does not say it
    #[arg(long = "repository", value_name = "OWNER/NAME", value_parser = name_on_forge)]
    on_forge: Option<String>,
    /// Make the repository's webhook on that forge; without --webhook-secret its secret is made, too
    #[arg(long, requires = "integration")]
    webhook: bool,
}

/// All projects, with how their last read went
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One project with its environments
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The project's name
    name: ProjectName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Change a project; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup project set shop --branch release
  trueup project set shop --no-auth
  trueup project set shop --integration github      report on its pull requests there
  trueup project set shop --webhook                make its webhook on the forge, or put it right
  trueup project set shop --disable                stop reading it; what runs goes on")]
pub(super) struct Set {
    /// The project's name
    name: ProjectName,
    /// Where the repository is
    // `--url` is the daemon's.
    #[arg(long = "remote", value_name = "URL")]
    url: Option<String>,
    /// Where the daemon finds the token, password or key
    #[arg(long, value_name = "REFERENCE")]
    auth: Option<AuthRef>,
    /// Read without credentials
    #[arg(long, conflicts_with = "auth")]
    no_auth: bool,
    /// The user name that goes with it over https://
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user name that forges take with a token
    #[arg(long, conflicts_with = "user")]
    no_user: bool,
    /// The tracked branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Track the remote's HEAD
    #[arg(long, conflicts_with = "branch")]
    no_branch: bool,
    /// The file's path within the repository
    #[arg(long, value_name = "PATH")]
    config_path: Option<String>,
    /// Where the daemon finds the secret of the repository's webhook
    #[arg(long, value_name = "REFERENCE")]
    webhook_secret: Option<AuthRef>,
    /// Take no deliveries of a webhook
    #[arg(long, conflicts_with = "webhook_secret")]
    no_webhook_secret: bool,
    /// The forge that its pull requests are reported to, as it is registered
    #[arg(long, value_name = "NAME")]
    integration: Option<IntegrationName>,
    /// Report its pull requests nowhere
    #[arg(long, conflicts_with = "integration")]
    no_integration: bool,
    /// The repository's name on that forge
    #[arg(long = "repository", value_name = "OWNER/NAME", value_parser = name_on_forge)]
    on_forge: Option<String>,
    /// Read the repository's name on its forge off its URL
    #[arg(long = "no-repository", conflicts_with = "on_forge")]
    no_on_forge: bool,
    /// Make the repository's webhook on its forge, or put it right
    #[arg(long, conflicts_with_all = ["no_webhook_secret", "no_integration"])]
    webhook: bool,
    /// Stop reading it
    #[arg(long)]
    disable: bool,
    /// Read it again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
}

/// Say whether its webhook is there, active, and what the last delivery met with
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The project's name
    name: ProjectName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Forget a project; what runs goes on running
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The project's name
    name: ProjectName,
    /// Also forget its environments, with their secrets' references, bases and history
    #[arg(long)]
    force: bool,
}

/// Carries out a `project` verb.
pub(super) async fn run(verb: &Project, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Project::Add(verb) => add(verb, &client, terminal).await,
        Project::List(verb) => list(verb, &client, terminal).await,
        Project::Show(verb) => show(verb, &client, terminal).await,
        Project::Set(verb) => set(verb, &client, terminal).await,
        Project::Check(verb) => check(verb, &client, terminal).await,
        Project::Remove(verb) => {
            let path = format!("/projects/{}?force={}", verb.name, verb.force);
            let reply = client.tell(Method::DELETE, &path).await;
            if let Err(error) = reply {
                return Err(missing::explain_project(&client, &verb.name, error).await);
            }
            terminal.line(&format!("Project {} is forgotten. What it ran goes on running.", verb.name))?;
            Ok(Outcome::Done)
        }
    }
}

async fn add(verb: &Add, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let body = NewProject {
        name: verb.name.clone(),
        url: absolute(&verb.url, client)?,
        auth: verb.auth.clone(),
        user: verb.user.clone(),
        tracked: verb.branch.clone(),
        config_path: verb.config_path.clone(),
        webhook_secret: verb.webhook_secret.clone(),
        integration: verb.integration.clone(),
        repository: verb.on_forge.clone(),
    };
    let project: ProjectView = client.send(Method::POST, "/projects", &body).await?;
    terminal.line(&format!("Project {} is watched: {}", project.name, project.url))?;
    if verb.webhook {
        set_up_webhook(&project.name, client, terminal).await?;
    }
    terminal.note(Tone::Dim, &format!("next: trueup env add {}/production --provider docker", project.name))?;
    Ok(Outcome::Done)
}

/// Has the webhook made or put right, and shows what was done.
async fn set_up_webhook(project: &ProjectName, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
    let reply: Result<WebhookSetUp, ClientError> =
        client.ask(Method::POST, &format!("/projects/{project}/webhook")).await;
    let done = match reply {
        Ok(done) => done,
        Err(error) => return Err(missing::explain_project(client, project, error).await),
    };
    let verb = match done.change {
        Change::Created => "created",
        Change::Edited | Change::Unchanged => "put right",
    };
    terminal.line(&format!("The webhook of {} is {verb}: it delivers to {}", done.repository, done.url))?;
    terminal.line(&format!("Its secret is {}", done.secret))?;
    terminal.note(Tone::Dim, &format!("next: trueup project check {project}"))?;
    Ok(())
}

async fn check(verb: &Check, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<ProjectCheck, ClientError> =
        client.ask(Method::POST, &format!("/projects/{}/check", verb.name)).await;
    let check = match reply {
        Ok(check) => check,
        Err(error) => return Err(missing::explain_project(client, &verb.name, error).await),
    };
    match verb.json {
        true => terminal.json(&check)?,
        false => findings::show(&check.findings, terminal)?,
    }
    Ok(if check.is_good() { Outcome::Done } else { Outcome::Unclear })
}

/// A repository's name on its forge.
fn name_on_forge(text: &str) -> Result<String, String> {
    match repository::is_name(text) {
        true => Ok(text.to_owned()),
        false if text.contains("://") || text.starts_with(['/', '.']) => {
            Err("that is where the repository is: give it to --remote; this is its name on the forge, OWNER/NAME"
                .into())
        }
        false => Err(format!("write {}", repository::EXPECTED)),
    }
}

/// A relative path means the caller's folder, and the daemon has another one.
fn absolute(url: &str, client: &Client) -> anyhow::Result<String> {
    let is_path = !url.contains("://") && !url.split('/').next().is_some_and(|first| first.contains(':'));
    if !is_path || !client.is_local() {
        return Ok(url.to_owned());
    }
    Ok(std::path::absolute(url)?.display().to_string())
}

/// A patch's entry: set, unset (`null`), or left alone.
pub(super) fn set_or_unset<T: Clone>(set: Option<&T>, unset: bool) -> Option<Option<T>> {
    match (set, unset) {
        (Some(value), _) => Some(Some(value.clone())),
        (None, true) => Some(None),
        (None, false) => None,
    }
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let projects: Vec<ProjectView> = client.get("/projects").await?;
    if verb.json {
        terminal.json(&projects)?;
    } else if projects.is_empty() {
        terminal.line("No project is registered yet: trueup project add NAME URL")?;
    } else {
        let mut table = Table::new(&["PROJECT", "REPOSITORY", "TRACKED", "FILE", "ENVIRONMENTS"]);
        for project in &projects {
            table.row(vec![
                Cell::plain(project.name.as_str()),
                Cell::plain(&project.url),
                Cell::plain(project.tracked.as_deref().unwrap_or("HEAD")),
                Cell::plain(&project.config_path),
                if project.disabled {
                    Cell::new(Tone::Warn, "(disabled)")
                } else {
                    let names: Vec<&str> = project.environments.iter().map(|view| view.name.as_str()).collect();
                    Cell::plain(names.join(", "))
                },
            ]);
        }
        terminal.text(&table.render(terminal.colour()))?;
    }
    Ok(Outcome::Done)
}

async fn show(verb: &Show, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let reply: Result<ProjectView, ClientError> = client.get(&format!("/projects/{}", verb.name)).await;
    let project = match reply {
        Ok(project) => project,
        Err(error) => return Err(missing::explain_project(client, &verb.name, error).await),
    };
    if verb.json {
        terminal.json(&project)?;
        return Ok(Outcome::Done);
    }
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, value: &str| facts.row(vec![Cell::new(Tone::Dim, name), Cell::plain(value)]);
    fact("project", project.name.as_str());
    fact("repository", &project.url);
    fact("credentials", &project.auth.as_ref().map_or("none".to_owned(), ToString::to_string));
    if let Some(user) = &project.user {
        fact("user", user);
    }
    fact("tracked", project.tracked.as_deref().unwrap_or("the remote's HEAD"));
    fact("file", &project.config_path);
    fact("webhook", &project.webhook_secret.as_ref().map_or("no secret".to_owned(), ToString::to_string));
    if let Some(forge) = &project.integration {
        fact("reported to", &format!("{forge}, as {}", project.repository.as_deref().unwrap_or("(unknown)")));
    }
    fact("reading", if project.disabled { "disabled" } else { "enabled" });
    terminal.text(facts.render(terminal.colour()).trim_start_matches('\n'))?;
    status::environments_of(client, &verb.name, terminal).await?;
    Ok(Outcome::Done)
}

async fn set(verb: &Set, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let change = ProjectPatch {
        url: verb.url.as_deref().map(|url| absolute(url, client)).transpose()?,
        auth: set_or_unset(verb.auth.as_ref(), verb.no_auth),
        user: set_or_unset(verb.user.as_ref(), verb.no_user),
        tracked: set_or_unset(verb.branch.as_ref(), verb.no_branch),
        config_path: verb.config_path.clone(),
        webhook_secret: set_or_unset(verb.webhook_secret.as_ref(), verb.no_webhook_secret),
        integration: set_or_unset(verb.integration.as_ref(), verb.no_integration),
        repository: set_or_unset(verb.on_forge.as_ref(), verb.no_on_forge),
        disabled: (verb.disable || verb.enable).then_some(verb.disable),
    };
    let is_changed = change != ProjectPatch::default();
    anyhow::ensure!(
        is_changed || verb.webhook,
        "nothing to change was named; `trueup project set --help` shows what there is"
    );
    if !is_changed {
        set_up_webhook(&verb.name, client, terminal).await?;
        return Ok(Outcome::Done);
    }
    let reply: Result<ProjectView, ClientError> =
        client.send(Method::PATCH, &format!("/projects/{}", verb.name), &change).await;
    match reply {
        Ok(project) => {
            terminal.line(&format!("Project {} is changed.", project.name))?;
            if verb.webhook {
                set_up_webhook(&project.name, client, terminal).await?;
            }
            Ok(Outcome::Done)
        }
        Err(error) => Err(missing::explain_project(client, &verb.name, error).await),
    }
}
