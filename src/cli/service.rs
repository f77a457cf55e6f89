//! `trueup service`: services that the operator registers, for repositories whose file has the short form.

use std::str::FromStr;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::cli::args::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::env::Pair;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Terminal, Tone};
use crate::cli::{Outcome, missing, validate};
use crate::http::dto::{RegisteredService, ServiceSpec};
use crate::ids::{EnvironmentName, EnvironmentRef, InvalidId, ProjectName, ServiceName};

/// Services for files in the short form
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Service {
    Set(Set),
    List(List),
    Remove(Remove),
}

/// Register a service, or replace what is registered
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup service set shop/production/web --image registry.acme.dev/shop/web:1.4
  trueup service set shop/production/web --image nginx:1.27 --set 'env={LOG_LEVEL: info}'
  trueup service set shop/production/web --file web.yml    the fields of services.NAME, as in .trueup.yml

The repository's file then needs only the short form:
  version: 1
  deploy: { port: 8080, healthcheck: /healthz }")]
pub(super) struct Set {
    /// The service, as PROJECT/ENVIRONMENT/SERVICE
    #[arg(value_name = "PROJECT/ENVIRONMENT/SERVICE")]
    target: Target,
    /// The image that it runs
    #[arg(long)]
    image: Option<String>,
    /// One field of the service, its value in YAML (repeatable)
    #[arg(long = "set", value_name = "FIELD=YAML")]
    fields: Vec<Pair>,
    /// A YAML or JSON file with the service's fields; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

/// What is registered
#[derive(Debug, Args)]
pub(super) struct List {
    /// The environment, as PROJECT/ENVIRONMENT
    #[arg(value_name = "PROJECT/ENVIRONMENT")]
    target: EnvironmentRef,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Forget a registered service; what runs goes on running
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The service, as PROJECT/ENVIRONMENT/SERVICE
    #[arg(value_name = "PROJECT/ENVIRONMENT/SERVICE")]
    target: Target,
}

/// `PROJECT/ENVIRONMENT/SERVICE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its environment.
    pub(super) environment: EnvironmentRef,
    /// Its name.
    pub(super) service: ServiceName,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |error: InvalidId| error.to_string();
        let parts: Vec<&str> = text.split('/').collect();
        let [project, environment, service] = parts.as_slice() else {
            return Err("write PROJECT/ENVIRONMENT/SERVICE, such as shop/production/web".into());
        };
        let project: ProjectName = project.parse().map_err(invalid)?;
        let environment: EnvironmentName = environment.parse().map_err(invalid)?;
        let service = service.parse().map_err(invalid)?;
        Ok(Target { environment: EnvironmentRef { project, environment }, service })
    }
}

fn path_of(target: &Target) -> String {
    let Target { environment, service } = target;
    format!("/projects/{}/environments/{}/services/{service}", environment.project, environment.environment)
}

/// Carries out a `service` verb.
pub(super) async fn run(verb: &Service, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Service::Set(verb) => set(verb, &client, terminal).await,
        Service::List(verb) => list(verb, &client, terminal).await,
        Service::Remove(verb) => {
            let Target { environment, service } = &verb.target;
            if let Err(error) = client.tell(Method::DELETE, &path_of(&verb.target)).await {
                return Err(missing::explain(&client, environment, error).await);
            }
            terminal
                .line(&format!("{service} is no longer registered with {environment}. What runs goes on running."))?;
            Ok(Outcome::Done)
        }
    }
}

async fn set(verb: &Set, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let spec = spec(verb)?;
    anyhow::ensure!(!spec.is_empty(), "a service needs at least an image: --image, --set or --file");
    let Target { environment, service } = &verb.target;
    let reply: Result<RegisteredService, ClientError> =
        client.send(Method::PUT, &path_of(&verb.target), &ServiceSpec { spec: spec.into() }).await;
    match reply {
        Ok(_) => {
            terminal.line(&format!("{service} is registered with {environment}. Nothing was deployed."))?;
            Ok(Outcome::Done)
        }
        Err(error) => Err(missing::explain(client, environment, error).await),
    }
}

/// The file's fields, then the single ones over them.
fn spec(verb: &Set) -> anyhow::Result<Map<String, Value>> {
    let mut spec = match &verb.file {
        Some(path) => {
            let bytes = validate::read(path)?;
            serde_saphyr::from_slice::<Map<String, Value>>(&bytes)
                .with_context(|| format!("{path} does not hold a service's fields"))?
        }
        None => Map::new(),
    };
    if let Some(image) = &verb.image {
        spec.insert("image".into(), image.clone().into());
    }
    for Pair(field, yaml) in &verb.fields {
        let value =
            serde_saphyr::from_str::<Value>(yaml).with_context(|| format!("the value of {field} is not YAML"))?;
        spec.insert(field.clone(), value);
    }
    Ok(spec)
}

async fn list(verb: &List, client: &Client, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let path = format!("/projects/{}/environments/{}/services", verb.target.project, verb.target.environment);
    let reply: Result<Vec<RegisteredService>, ClientError> = client.get(&path).await;
    let services = match reply {
        Ok(services) => services,
        Err(error) => return Err(missing::explain(client, &verb.target, error).await),
    };
    if verb.json {
        terminal.json(&services)?;
    } else if services.is_empty() {
        terminal.line(&format!("No service is registered with {}; its file says it all.", verb.target))?;
    } else {
        let mut table = Table::new(&["SERVICE", "FIELDS"]);
        for service in &services {
            table.row(vec![Cell::new(Tone::Strong, service.name.as_str()), Cell::plain(service.spec.to_string())]);
        }
        terminal.text(&table.render(terminal.colour()))?;
    }
    Ok(Outcome::Done)
}
