//! When something does not exist: what does, and which of it may have been meant.

use crate::cli::client::{Client, ClientError};
use crate::cli::failure::Advice;
use crate::cli::suggest::nearest;
use crate::http::dto::{EnvironmentView, IntegrationView, ProjectView, StatusView};
use crate::ids::{EnvironmentRef, IntegrationName, ProjectName};

/// Makes a "not found" about an environment helpful; other errors pass through.
pub(super) async fn explain(client: &Client, wanted: &EnvironmentRef, error: ClientError) -> anyhow::Error {
    if error.status() != Some(404) {
        return error.into();
    }
    match look(client, wanted).await {
        Ok(Some(advice)) => advice.into(),
        // The project and the environment are there: something else was not found, and the daemon said what.
        Ok(None) => error.into(),
        // What exists cannot be listed; what the daemon said first is still true.
        Err(_) => error.into(),
    }
}

/// The same for a project.
pub(super) async fn explain_project(client: &Client, wanted: &ProjectName, error: ClientError) -> anyhow::Error {
    if error.status() != Some(404) {
        return error.into();
    }
    match client.get::<Vec<ProjectView>>("/projects").await {
        Ok(projects) => unknown_project(wanted, &projects).map_or_else(|| error.into(), Into::into),
        Err(_) => error.into(),
    }
}

/// The same for an integration.
pub(super) async fn explain_integration(
    client: &Client,
    wanted: &IntegrationName,
    error: ClientError,
) -> anyhow::Error {
    if error.status() != Some(404) {
        return error.into();
    }
    let Ok(integrations) = client.get::<Vec<IntegrationView>>("/integrations").await else { return error.into() };
    let names: Vec<&str> = integrations.iter().map(|view| view.name.as_str()).collect();
    if names.contains(&wanted.as_str()) {
        return error.into();
    }
    let help = match (nearest(wanted.as_str(), names.iter().copied()), names.is_empty()) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, true) => "none is registered yet: `trueup integration add NAME --provider github`".to_owned(),
        (None, false) => format!("the registered integrations are: {}", names.join(", ")),
    };
    Advice::new(format!("there is no integration `{wanted}`"), help).into()
}

/// The same for a service of an environment.
pub(super) async fn explain_service(
    client: &Client,
    environment: &EnvironmentRef,
    wanted: &str,
    error: ClientError,
) -> anyhow::Error {
    if error.status() != Some(404) {
        return error.into();
    }
    let path = format!("/status?project={}&environment={}", environment.project, environment.environment);
    let Ok(status) = client.get::<Vec<StatusView>>(&path).await else { return error.into() };
    let names: Vec<&str> = status.iter().flat_map(|view| &view.services).map(|service| service.name.as_str()).collect();
    if names.is_empty() || names.contains(&wanted) {
        return explain(client, environment, error).await;
    }
    let known = format!("the services of {environment} are: {}", names.join(", "));
    let help = match nearest(wanted, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?\n{known}"),
        None => known,
    };
    Advice::new(format!("{environment} has no service `{wanted}`"), help).into()
}

async fn look(client: &Client, wanted: &EnvironmentRef) -> Result<Option<Advice>, ClientError> {
    let projects: Vec<ProjectView> = client.get("/projects").await?;
    if let Some(advice) = unknown_project(&wanted.project, &projects) {
        return Ok(Some(advice));
    }
    let environments: Vec<EnvironmentView> = client.get(&format!("/projects/{}/environments", wanted.project)).await?;
    let names: Vec<&str> = environments.iter().map(|view| view.name.as_str()).collect();
    if names.contains(&wanted.environment.as_str()) {
        return Ok(None);
    }
    let help = match (nearest(wanted.environment.as_str(), names.iter().copied()), names.is_empty()) {
        (Some(name), _) => format!("did you mean `{}/{name}`?", wanted.project),
        (None, true) => format!("it has none yet: `trueup env add {wanted} --provider docker`"),
        (None, false) => format!("its environments are: {}", names.join(", ")),
    };
    Ok(Some(Advice::new(format!("project `{}` has no environment `{}`", wanted.project, wanted.environment), help)))
}

fn unknown_project(wanted: &ProjectName, projects: &[ProjectView]) -> Option<Advice> {
    let names: Vec<&str> = projects.iter().map(|view| view.name.as_str()).collect();
    if names.contains(&wanted.as_str()) {
        return None;
    }
    let help = match (nearest(wanted.as_str(), names.iter().copied()), names.is_empty()) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, true) => "none is registered yet: `trueup project add NAME URL`".to_owned(),
        (None, false) => format!("the registered projects are: {}", names.join(", ")),
    };
    Some(Advice::new(format!("there is no project `{wanted}`"), help))
}
