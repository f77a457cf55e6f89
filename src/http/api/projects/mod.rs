//! Projects.

pub(in crate::http) mod create;
pub(in crate::http) mod list;
pub(in crate::http) mod remove;
pub(in crate::http) mod show;
pub(in crate::http) mod update;

use serde::Deserialize;

use crate::http::dto::{ProjectEnvironment, ProjectView};
use crate::http::problem::Problem;
use crate::ids::ProjectName;
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
    let Project { name, url, auth, tracked, config_path, disabled, webhook_secret, created_at } = project;
    Ok(ProjectView { name, url, auth, tracked, config_path, disabled, webhook_secret, created_at, environments })
}
