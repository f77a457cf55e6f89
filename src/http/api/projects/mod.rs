//! Projects.

pub(in crate::http) mod check;
pub(in crate::http) mod create;
pub(in crate::http) mod list;
pub(in crate::http) mod remove;
pub(in crate::http) mod show;
pub(in crate::http) mod update;
pub(in crate::http) mod webhook;

use serde::Deserialize;

use crate::http::dto::{ProjectEnvironment, ProjectView};
use crate::http::problem::Problem;
use crate::ids::ProjectName;
use crate::integration::{IntegrationType, repository};
use crate::store::Store;
use crate::store::records::Project;

/// The project of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InProject {
    pub(in crate::http) project: ProjectName,
}

/// The project of a name, or a 404.
pub(in crate::http) async fn find(store: &Store, name: &ProjectName) -> Result<Project, Problem> {
    store.project(name).await?.ok_or_else(|| Problem::not_found(format!("project {name} does not exist")))
}

/// A project as it is shown, with how its environments were last read.
async fn view(store: &Store, project: Project) -> Result<ProjectView, Problem> {
    let mut environments = Vec::new();
    for environment in store.environments(Some(&project.name)).await? {
        let read = store.read(&environment.id).await?;
        environments.push(ProjectEnvironment {
            name: environment.id.environment,
            provider: environment.provider,
            read,
        });
    }
    let repository = on_forge(store, &project).await?.or(project.repository);
    let Project {
        name,
        url,
        auth,
        user,
        tracked,
        config_path,
        disabled,
        webhook_secret,
        integration,
        repository: _,
        created_at,
    } = project;
    Ok(ProjectView {
        name,
        url,
        auth,
        user,
        tracked,
        config_path,
        disabled,
        webhook_secret,
        integration,
        repository,
        created_at,
        environments,
    })
}

/// The project's name on its forge, as it was written or as its URL says it; `None` where it has no forge.
async fn on_forge(store: &Store, project: &Project) -> Result<Option<String>, Problem> {
    let Some(name) = &project.integration else { return Ok(None) };
    let Some(forge) = store.integration(name).await? else { return Ok(None) };
    Ok(project.repository.clone().or_else(|| repository::derived(forge.provider, &forge.endpoint, &project.url)))
}

/// Whether the project's forge is one, and its name there is known.
async fn check_forge(store: &Store, project: &Project) -> Result<(), Problem> {
    if project.repository.as_deref().is_some_and(|name| !repository::is_name(name)) {
        return Err(Problem::unprocessable(format!("repository: write {}", repository::EXPECTED)));
    }
    let Some(name) = &project.integration else { return Ok(()) };
    let forge = store.integration(name).await?.ok_or_else(|| {
        Problem::unprocessable(format!(
            "integration: {name} does not exist; `trueup integration list` shows those that do"
        ))
    })?;
    if forge.kind != IntegrationType::Scm {
        return Err(Problem::unprocessable(format!(
            "integration: {name} is of type {}; a project is reported to one of type scm",
            forge.kind
        )));
    }
    match on_forge(store, project).await? {
        Some(_) => Ok(()),
        None => Err(Problem::unprocessable(format!(
            "repository: the URL does not say what the repository is called on {name}; write {}",
            repository::EXPECTED
        ))),
    }
}
