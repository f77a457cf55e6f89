//! GitHub as a [`Forge`].

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::app::{Installations, Signer};
use super::text::{Author, Comments, Issues};
use super::wire::{App, Pull, Text, User};
use super::{check, connection, hook};
use crate::forge::api::{
    CheckRunRequest, Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser, IssueRequest,
    Permission, PullRequest, StatusRequest, StatusState, Upserted, Webhook, WebhookRequest, cut,
};
use crate::forge::credential::{ForgeAuth, Static};
use crate::forge::pace::{GITHUB, Pace};
use crate::forge::session::{Api, Ask};
use crate::forge::upsert::{known_or_found, upsert};
use crate::forge::{ForgeError, ForgeKind, ForgeSettings, RepositoryPath};
use crate::secret::Secrets;

/// The longest description of a status, in characters.
const DESCRIPTION: usize = 140;

/// GitHub.
pub(crate) struct Github {
    api: Api,
    /// The API signed in to as the App itself, where it is one.
    app: Option<Arc<Api>>,
    author: OnceCell<Author>,
}

impl std::fmt::Debug for Github {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Github").field("base", &self.api.base.as_str()).finish_non_exhaustive()
    }
}

/// Where the API is: of github.com under a name of its own, of an Enterprise server under a path.
fn base(endpoint: &Url) -> Url {
    let mut base = endpoint.clone();
    match endpoint.host_str() {
        Some("github.com" | "www.github.com" | "api.github.com") => {
            base.set_path("/");
            // The host is a valid one.
            base.set_host(Some("api.github.com")).ok();
        }
        // GitHub Enterprise Cloud with data residency.
        Some(host) if host.ends_with(".ghe.com") => {
            let host = format!("api.{}", host.trim_start_matches("api."));
            base.set_path("/");
            base.set_host(Some(&host)).ok();
        }
        _ => base.set_path("/api/v3"),
    }
    base
}

impl Github {
    pub(crate) fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<Self, ForgeError> {
        let base = base(&settings.endpoint);
        let client = settings.client(&base)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));
        let api = |authorize, pace| Api {
            kind: settings.kind,
            client: client.clone(),
            base: base.clone(),
            timeout: settings.timeout,
            headers: headers.clone(),
            authorize,
            pace,
        };
        let pace = Some(Mutex::new(Pace::new(GITHUB)));
        let secrets = secrets.clone();
        match settings.auth.clone() {
            ForgeAuth::App { app_id, private_key } => {
                let app = Arc::new(api(Arc::new(Signer { app_id, private_key, secrets }), None));
                let installations = Arc::new(Installations::new(Arc::clone(&app)));
                Ok(Github { api: api(installations, pace), app: Some(app), author: OnceCell::new() })
            }
            ForgeAuth::Token(secret) => {
                let token = Static { secrets, scheme: "Bearer", user: None, secret };
                Ok(Github { api: api(Arc::new(token), pace), app: None, author: OnceCell::new() })
            }
            ForgeAuth::Basic { .. } => Err(settings.wrong_auth("use an App or a token")),
        }
    }

    /// Who writes, asked once.
    async fn author(&self) -> Result<&Author, ForgeError> {
        let ask = || async {
            match &self.app {
                Some(app) => {
                    let session = app.begin(None, "see which App this is").await?;
                    let app: App = session.ask(Ask::get(&["app"])).await?.json()?;
                    Ok(Author::Bot { login: format!("{}[bot]", app.slug) })
                }
                None => {
                    let session = self.api.begin(None, "see whose token this is").await?;
                    let User { id, login, .. } = session.ask(Ask::get(&["user"])).await?.json()?;
                    Ok(Author::User { id, login })
                }
            }
        };
        self.author.get_or_try_init(ask).await
    }
}

#[derive(Deserialize)]
struct Level {
    permission: String,
    #[serde(default)]
    user: Option<User>,
}

#[async_trait]
impl Forge for Github {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Github
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            comment_bytes: 65_536,
            comment_form: CommentForm::Html,
            status_description: DESCRIPTION,
            check_runs: self.app.is_some(),
            line_notes: false,
            issues: true,
            pull_ref: Some("refs/pull/{}/head"),
        }
    }

    async fn upsert_comment(&self, request: &CommentRequest) -> Result<Upserted, ForgeError> {
        let CommentRequest { repository, pull, known_id, marker, body } = request;
        let author = self.author().await?;
        let session = self.api.begin(Some(repository), &format!("comment on #{pull} of")).await?;
        let comments = Comments { session: &session, repository, number: *pull, author };
        upsert(&comments, &session.operation, known_id.as_deref(), marker, body).await
    }

    async fn set_status(&self, request: &StatusRequest) -> Result<(), ForgeError> {
        let repository = &request.repository;
        let session = self.api.begin(Some(repository), "set a status in").await?;
        let mut body = json!({
            "state": match request.state {
                StatusState::Success => "success",
                StatusState::Pending => "pending",
                StatusState::Failure => "failure",
                StatusState::Error => "error",
            },
            "context": request.context,
            "description": cut(&request.description, DESCRIPTION),
        });
        if let Some(url) = &request.target_url {
            body["target_url"] = json!(url);
        }
        let path = ["repos", repository.owner(), repository.name(), "statuses", request.commit.as_str()];
        session.ask(Ask::post(&path, body)).await.map(drop)
    }

    async fn upsert_check_run(&self, request: &CheckRunRequest) -> Result<Upserted, ForgeError> {
        if self.app.is_none() {
            let instead = "sign in as a GitHub App; a status is set instead";
            return Err(self.unsupported("take a check run from a token", instead));
        }
        let session = self.api.begin(Some(&request.repository), "write a check run in").await?;
        check::upsert(&session, request).await
    }

    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read #{number} of")).await?;
        let path = ["repos", repository.owner(), repository.name(), "pulls", &number.to_string()];
        Ok(session.ask(Ask::get(&path)).await?.json::<Pull>()?.read())
    }

    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read a comment on #{pull} of")).await?;
        let id = super::wire::id(&session.operation, id)?.to_string();
        let path = ["repos", repository.owner(), repository.name(), "issues", "comments", &id];
        let Some(answer) = session.find(Ask::get(&path)).await? else { return Ok(None) };
        Ok(answer.json::<Text>()?.comment_on(pull))
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let session = self.api.begin(Some(repository), "list the open pull requests of").await?;
        let ask = Ask::get(&["repos", repository.owner(), repository.name(), "pulls"]).query("state", "open");
        let mut pulls = Vec::new();
        let visit = |pull: Pull| {
            pulls.push(pull.read());
            ControlFlow::<()>::Continue(())
        };
        session.pages(ask, ("per_page", 100), visit).await?;
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls)
    }

    async fn find_user(
        &self,
        repository: Option<&RepositoryPath>,
        name: &str,
    ) -> Result<Option<ForgeUser>, ForgeError> {
        let session = self.api.begin(repository, "look a user up for").await?;
        let answer = session.find(Ask::get(&["users", name])).await?;
        answer.map(|answer| Ok(answer.json::<User>()?.read())).transpose()
    }

    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError> {
        let session = self.api.begin(Some(repository), "read a user's permission in").await?;
        let path = ["repos", repository.owner(), repository.name(), "collaborators", &user.name, "permission"];
        let Some(answer) = session.find(Ask::get(&path)).await? else { return Ok(Permission::None) };
        let level: Level = answer.json()?;
        if level.user.is_none_or(|found| found.id.to_string() != user.id) {
            return Ok(Permission::None);
        }
        // `maintain` and `triage` appear as `write` and `read` here.
        Ok(match level.permission.as_str() {
            "admin" => Permission::Admin,
            "write" | "maintain" => Permission::Write,
            "read" | "triage" => Permission::Read,
            _ => Permission::None,
        })
    }

    async fn upsert_webhook(&self, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
        let session = self.api.begin(Some(&request.repository), "set the webhook up in").await?;
        hook::upsert(&session, request).await
    }

    async fn check_webhook(&self, repository: &RepositoryPath, url: &str) -> Result<Option<Webhook>, ForgeError> {
        let session = self.api.begin(Some(repository), "look at the webhook of").await?;
        hook::check(&session, repository, url).await
    }

    async fn upsert_issue(&self, request: &IssueRequest) -> Result<Upserted, ForgeError> {
        let IssueRequest { repository, known_id, marker, title, body } = request;
        let author = self.author().await?;
        let session = self.api.begin(Some(repository), "write an issue in").await?;
        let issues = Issues { session: &session, repository, title, author };
        upsert(&issues, &session.operation, known_id.as_deref(), marker, body).await
    }

    async fn close_issue(
        &self,
        repository: &RepositoryPath,
        known: Option<&str>,
        marker: &str,
    ) -> Result<(), ForgeError> {
        let author = self.author().await?;
        let session = self.api.begin(Some(repository), "close an issue in").await?;
        let issues = Issues { session: &session, repository, title: "", author };
        let Some(id) = known_or_found(&issues, known, marker).await? else { return Ok(()) };
        let id = super::wire::id(&session.operation, &id)?.to_string();
        let path = ["repos", repository.owner(), repository.name(), "issues", &id];
        session.find(Ask::patch(&path, json!({ "state": "closed" }))).await.map(drop)
    }

    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        match &self.app {
            Some(app) => connection::of_app(app, repository).await,
            None => connection::of_token(&self.api, repository).await,
        }
    }
}
