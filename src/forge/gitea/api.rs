//! Gitea and Forgejo as a [`Forge`].

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::hook;
use super::text::{Comments, Issues};
use super::wire::{Pull, Repository, Text, User};
use crate::forge::api::{
    Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser, IssueRequest, Permission,
    PullRequest, StatusRequest, StatusState, Upserted, Webhook, WebhookRequest, cut,
};
use crate::forge::session::{Api, Ask};
use crate::forge::upsert::{known_or_found, upsert};
use crate::forge::{ForgeError, ForgeKind, ForgeSettings, RepositoryPath};
use crate::secret::Secrets;

/// What a status shows of its description, in characters.
const DESCRIPTION: usize = 255;

/// Gitea or Forgejo.
pub(crate) struct Gitea {
    api: Api,
    author: OnceCell<User>,
}

impl std::fmt::Debug for Gitea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gitea").field("base", &self.api.base.as_str()).finish_non_exhaustive()
    }
}

impl Gitea {
    pub(crate) fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<Self, ForgeError> {
        let api = settings.api(settings.below("/api/v1"), "token", secrets)?;
        Ok(Gitea { api, author: OnceCell::new() })
    }

    /// Who writes, asked once.
    async fn author(&self) -> Result<&User, ForgeError> {
        let ask = || async {
            let session = self.api.begin(None, "see whose token this is").await?;
            session.ask(Ask::get(&["user"])).await?.json()
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
impl Forge for Gitea {
    fn kind(&self) -> ForgeKind {
        self.api.kind
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            // Neither documents a limit; older databases keep 65,535 bytes of a text.
            comment_bytes: 65_535,
            comment_form: CommentForm::Html,
            status_description: DESCRIPTION,
            check_runs: false,
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
        let path = ["repos", repository.owner(), repository.name(), "issues", "comments", id];
        match session.find(Ask::get(&path)).await? {
            // 204: the id is none of a comment.
            Some(answer) if answer.status.as_u16() != 204 => Ok(answer.json::<Text>()?.comment_on(pull)),
            Some(_) | None => Ok(None),
        }
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let session = self.api.begin(Some(repository), "list the open pull requests of").await?;
        let ask = Ask::get(&["repos", repository.owner(), repository.name(), "pulls"]).query("state", "open");
        let mut pulls = Vec::new();
        let visit = |pull: Pull| {
            pulls.push(pull.read());
            ControlFlow::<()>::Continue(())
        };
        session.pages(ask, ("limit", 50), visit).await?;
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls)
    }

    async fn find_user(&self, _: Option<&RepositoryPath>, name: &str) -> Result<Option<ForgeUser>, ForgeError> {
        let session = self.api.begin(None, "look a user up").await?;
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
        Ok(match level.permission.as_str() {
            "owner" | "admin" => Permission::Admin,
            "write" => Permission::Write,
            "read" => Permission::Read,
            _ => Permission::None,
        })
    }

    async fn upsert_webhook(&self, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
        let session = self.api.begin(Some(&request.repository), "set the webhook up in").await?;
        hook::upsert(&session, self.kind(), request).await
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
        let path = ["repos", repository.owner(), repository.name(), "issues", &id];
        session.find(Ask::patch(&path, json!({ "state": "closed" }))).await.map(drop)
    }

    /// Gitea tells no token's scopes: what it refuses to show is what is missing.
    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        let session = self.api.begin(repository, "test the connection").await?;
        let mut connection = Connection { account: String::new(), missing: Vec::new(), missing_optional: Vec::new() };
        match session.ask(Ask::get(&["user"])).await {
            Ok(answer) => connection.account = answer.json::<User>()?.login,
            Err(ForgeError::Forbidden { .. }) => connection.missing.push("read:user".into()),
            Err(error) => return Err(error),
        }
        let Some(repository) = repository else { return Ok(connection) };
        let place = ["repos", repository.owner(), repository.name()];
        match session.ask(Ask::get(&place)).await {
            Ok(answer) => {
                let permissions = answer.json::<Repository>()?.permissions;
                if permissions.get("push") != Some(&true) {
                    connection.missing.push("write access to the repository".into());
                }
                if permissions.get("admin") != Some(&true) {
                    connection.missing_optional.push("admin access to the repository (webhook, permissions)".into());
                }
            }
            Err(ForgeError::Forbidden { .. }) => connection.missing.push("write:repository".into()),
            Err(ForgeError::NotFound { .. }) => connection.missing.push("access to the repository".into()),
            Err(error) => return Err(error),
        }
        let path = [&place[..], &["issues"]].concat();
        match session.find(Ask::get(&path).query("limit", 1)).await {
            // 404: the repository has no issue tracker, but its requests have comments.
            Ok(_) => {}
            Err(ForgeError::Forbidden { .. }) => connection.missing.push("write:issue".into()),
            Err(error) => return Err(error),
        }
        Ok(connection)
    }
}
