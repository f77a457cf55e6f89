//! The Docker Engine as someone uses it behind Trueup's back, and as the quickstart's broom.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where the Engine listens.
const SOCKET: &str = "/var/run/docker.sock";
const TIMEOUT: Duration = Duration::from_secs(30);

/// The Engine of this machine.
pub(super) struct Engine {
    http: Client,
}

/// A container.
#[derive(Debug, Deserialize)]
pub(super) struct Container {
    /// Its id.
    #[serde(rename = "Id")]
    pub(super) id: String,
    #[serde(rename = "Names", default)]
    names: Vec<String>,
}

impl Container {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or(self.id.as_str(), |name| name.trim_start_matches('/'))
    }
}

#[derive(Debug, Deserialize)]
struct Network {
    #[serde(rename = "Id")]
    id: String,
}

impl Engine {
    /// The Engine; nothing is sent yet.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Engine { http: Client::builder().unix_socket(SOCKET).no_proxy().timeout(TIMEOUT).build()? })
    }

    /// The containers of a project.
    ///
    /// # Errors
    /// The Engine does not answer.
    pub(super) async fn containers(&self, project: &str) -> anyhow::Result<Vec<Container>> {
        let path = format!("/containers/json?all=true&{}", labelled(project)?);
        Ok(self.send(Method::GET, &path, None).await?.json().await?)
    }

    /// Sets a container's memory limit, as `docker update --memory … --memory-swap …` does.
    ///
    /// # Errors
    /// The Engine refused.
    pub(super) async fn limit_memory(&self, container: &Container, bytes: u64) -> anyhow::Result<()> {
        let path = format!("/containers/{}/update", container.id);
        self.send(Method::POST, &path, Some(json!({ "Memory": bytes, "MemorySwap": bytes }))).await?;
        Ok(())
    }

    /// Removes the containers and networks of a project.
    ///
    /// # Errors
    /// The Engine refused.
    pub(super) async fn sweep(&self, project: &str) -> anyhow::Result<()> {
        for container in self.containers(project).await? {
            self.send(Method::DELETE, &format!("/containers/{}?force=true&v=true", container.id), None).await?;
        }
        let networks: Vec<Network> =
            self.send(Method::GET, &format!("/networks?{}", labelled(project)?), None).await?.json().await?;
        for network in networks {
            self.send(Method::DELETE, &format!("/networks/{}", network.id), None).await?;
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Response> {
        let mut request = self.http.request(method, format!("http://docker/v1.41{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.context("the Docker Engine does not answer at /var/run/docker.sock")?;
        let status = response.status();
        ensure!(status.is_success(), "the Docker Engine answered {status}: {}", response.text().await?);
        Ok(response)
    }
}

/// The filter for everything that carries a project's label.
fn labelled(project: &str) -> anyhow::Result<String> {
    let filter = json!({ "label": [format!("dev.trueup.project={project}")] }).to_string();
    let url = reqwest::Url::parse_with_params("http://docker/", [("filters", filter)])?;
    Ok(url.query().unwrap_or_default().to_owned())
}
