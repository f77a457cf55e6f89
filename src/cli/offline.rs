//! `trueup plan --file`: plans a file that is in no repository yet against what runs, without a daemon.
//!
//! Nothing was ever applied as far as anyone knows here, so there is no base and every difference is `new`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use clap::Args;
use jiff::Timestamp;

use crate::cli::env::Pair;
use crate::cli::failure::Advice;
use crate::cli::plan::Options;
use crate::cli::suggest::nearest;
use crate::cli::terminal::Terminal;
use crate::cli::validate;
use crate::declared::Declared;
use crate::declared::file::{self, Context, File};
use crate::git::{Git, GitSettings};
use crate::ids::{EnvironmentName, EnvironmentRef, ProjectName};
use crate::pass::plan_file;
use crate::plan::build::PlanContext;
use crate::plan::{Plan, PlanOptions};
use crate::provider::Connect;
use crate::provider::registry::Registry;
use crate::secret::{AuthRef, Fingerprinter, Secrets, Witness};
use crate::settings::Settings;
use crate::store::records::{Environment, Project};

/// A file to plan without a daemon, and where.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Without a daemon")]
pub(super) struct Offline {
    /// Plan this file (`-` for standard input) against what runs
    #[arg(long, value_name = "FILE", requires = "provider", conflicts_with = "reference")]
    pub(super) file: Option<String>,
    /// Where its services run: docker
    #[arg(long, value_name = "PROVIDER", requires = "file")]
    provider: Option<String>,
    /// Which of the file's environments; without it, the only one
    #[arg(long, value_name = "NAME", requires = "file")]
    environment: Option<EnvironmentName>,
    /// Under which project its services run; without it, the name of the file's folder
    #[arg(long, value_name = "NAME", requires = "file")]
    project: Option<ProjectName>,
    /// One of the provider's settings (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "file")]
    settings: Vec<Pair>,
    /// A template value, {{ .Env.KEY }} in the file (repeatable)
    #[arg(long = "value", value_name = "KEY=VALUE", requires = "file")]
    values: Vec<Pair>,
    /// A host path that services may mount, with what is beneath (repeatable)
    #[arg(long = "allow-host-path", value_name = "PATH", requires = "file")]
    allow_host_paths: Vec<String>,
}

/// Without a daemon there is no audit log, and without that no reference is resolved.
struct NoAudit;

#[async_trait]
impl Witness for NoAudit {
    async fn resolved(&self, _: &AuthRef, _: &str, _: &str, _: Option<&str>) -> Result<(), String> {
        Err("secrets are resolved by the daemon only, which writes each use down; plan this through the daemon".into())
    }
}

/// The plan; `None` where the file is not valid, which was shown then.
pub(super) async fn plan(
    offline: &Offline,
    options: &Options,
    terminal: &mut Terminal,
) -> anyhow::Result<Option<Plan>> {
    let (Some(path), Some(word)) = (&offline.file, &offline.provider) else { bail!("name a --file and a --provider") };
    let bytes = validate::read(path)?;
    let file = match file::parse(path, &bytes) {
        Ok(file) => file,
        Err(invalid) => {
            validate::show_invalid(terminal, path, &bytes, &invalid)?;
            return Ok(None);
        }
    };
    let id = EnvironmentRef { project: project(offline, path)?, environment: environment(offline, &file)? };
    let declared = match resolve(offline, &file, &id)? {
        Ok(declared) => declared,
        Err(invalid) => {
            validate::show_invalid(terminal, path, &bytes, &invalid)?;
            return Ok(None);
        }
    };
    let made_at = Timestamp::now();
    let (project, environment) = records(offline, &id, word, made_at);
    let provider = registry()?.connect(&project, &environment).map_err(anyhow::Error::msg)?;
    let context = PlanContext {
        environment: id,
        reference: path.clone(),
        commit: None,
        commits: Default::default(),
        options: PlanOptions { services: options.services(), prune: options.prune, rollback_to: None },
        unprobeable: BTreeMap::new(),
        notes: vec!["planned without a daemon: what was applied before is not known, so every cause is `new`".into()],
        made_at,
    };
    Ok(Some(plan_file(declared, provider.as_ref(), context).await))
}

fn resolve(
    offline: &Offline,
    file: &File,
    id: &EnvironmentRef,
) -> anyhow::Result<Result<Declared, crate::declared::InvalidFile>> {
    if offline.provider.as_deref() == Some("local") || file.needs_tree(&id.environment, false) {
        return Err(Advice::new(
            "this file speaks of the repository's code, which a file alone does not have",
            "commit it and plan it through the daemon: trueup plan PROJECT/ENVIRONMENT --ref BRANCH",
        )
        .into());
    }
    let mut context = Context::new(id.project.clone(), id.environment.clone());
    context.values = pairs(&offline.values);
    context.allow_host_paths = offline.allow_host_paths.clone();
    Ok(file.resolve(&context))
}

fn pairs(pairs: &[Pair]) -> BTreeMap<String, String> {
    pairs.iter().map(|Pair(key, value)| (key.clone(), value.clone())).collect()
}

/// The named project, or the folder's name: services are known by it.
fn project(offline: &Offline, path: &str) -> anyhow::Result<ProjectName> {
    if let Some(project) = &offline.project {
        return Ok(project.clone());
    }
    let folder = match path {
        "-" => std::env::current_dir().context("the current folder is gone")?,
        path => std::path::absolute(path)?.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    name.parse().map_err(|error| {
        Advice::new("the project's name cannot be taken from the folder's", "name it: --project shop")
            .because(error)
            .into()
    })
}

/// The named environment, or the file's only one.
fn environment(offline: &Offline, file: &File) -> anyhow::Result<EnvironmentName> {
    let known: BTreeSet<EnvironmentName> = file.environments().into_iter().collect();
    let names: Vec<&str> = known.iter().map(EnvironmentName::as_str).collect();
    match (&offline.environment, names.as_slice()) {
        (Some(wanted), _) if known.contains(wanted) => Ok(wanted.clone()),
        (Some(wanted), _) => {
            let help = match nearest(wanted.as_str(), names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("it writes: {}", if names.is_empty() { "none".into() } else { names.join(", ") }),
            };
            Err(Advice::new(format!("the file has no environment `{wanted}`"), help).into())
        }
        (None, [only]) => Ok(only.parse()?),
        (None, []) => Err(Advice::new(
            "the file writes no environments, so there is nothing to plan without a daemon",
            "the short form is laid over a service that an operator registered; only the daemon knows it",
        )
        .into()),
        (None, _) => {
            let help = format!("name one with --environment: {}", names.join(", "));
            Err(Advice::new("the file has several environments", help).into())
        }
    }
}

/// What an operator would have registered.
fn records(offline: &Offline, id: &EnvironmentRef, word: &str, at: Timestamp) -> (Project, Environment) {
    let project = Project {
        name: id.project.clone(),
        url: String::new(),
        auth: None,
        user: None,
        tracked: None,
        config_path: file::DEFAULT_PATH.into(),
        disabled: false,
        webhook_secret: None,
        integration: None,
        repository: None,
        created_at: at,
    };
    let environment = Environment {
        id: id.clone(),
        provider: word.to_owned(),
        settings: pairs(&offline.settings),
        tracked: None,
        secrets: BTreeMap::new(),
        values: pairs(&offline.values),
        allow_host_paths: offline.allow_host_paths.clone(),
        allow_untracked: false,
        report_detail: Default::default(),
        plan_forks: false,
        drift_issue: false,
        comment_commands: Default::default(),
        run_as: None,
        created_at: at,
    };
    (project, environment)
}

fn registry() -> anyhow::Result<Registry> {
    let settings = Settings::default();
    let secrets = Secrets::with_fingerprinter(Arc::new(NoAudit), Fingerprinter::ephemeral()?);
    let git = Git::new(GitSettings::new(settings.state_dir.join("mirrors")));
    Ok(Registry::new(git, secrets, settings.supervisor_socket()))
}
