//! Bitbucket Data Center as a [`Forge`].

use std::ops::ControlFlow;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Url;
use serde_json::json;
use tokio::sync::OnceCell;

use super::hook;
use super::text::Comments;
use super::wire::{Pull, Text, User};
use crate::forge::api::{
    Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser, Permission, PullRequest,
    StatusRequest, StatusState, Upserted, Webhook, WebhookRequest, cut,
};
use crate::forge::session::{Answer, Api, Ask};
use crate::forge::upsert::upsert;
use crate::forge::{ForgeError, ForgeKind, ForgeSettings, RepositoryPath};
use crate::secret::Secrets;

/// What a status keeps of its name, key and description each, in characters.
const TEXT: usize = 255;

/// Bitbucket Data Center.
pub(crate) struct BitbucketServer {
    api: Api,
    /// Where people see a repository.
    web: Url,
    author: OnceCell<String>,
}

impl std::fmt::Debug for BitbucketServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BitbucketServer").field("base", &self.api.base.as_str()).finish_non_exhaustive()
    }
}

/// The parts of a repository's path in the API.
pub(super) fn place(repository: &RepositoryPath) -> [&str; 6] {
    ["api", "latest", "projects", repository.owner(), "repos", repository.name()]
}

/// Who asked: the server writes the user's name, escaped, over every answer to one it knows.
fn signed_in(answer: &Answer) -> Option<String> {
    let escaped = answer.header("x-ausername")?;
    let decoded = Url::parse("http://x/").ok().map(|mut url| {
        url.set_query(Some(&format!("name={}", escaped.replace('+', "%2B"))));
        url.query_pairs().next().map(|(_, name)| name.into_owned())
    });
    decoded.flatten().filter(|name| !name.is_empty())
}

impl BitbucketServer {
    pub(crate) fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<Self, ForgeError> {
        let api = settings.api(settings.below("/rest"), "Bearer", secrets)?;
        Ok(BitbucketServer { api, web: settings.endpoint.clone(), author: OnceCell::new() })
    }

    /// Who writes, asked once.
    async fn author(&self) -> Result<&str, ForgeError> {
        let ask = || async {
            let session = self.api.begin(None, "see whose token this is").await?;
            let answer = session.ask(Ask::get(&["api", "latest", "application-properties"])).await?;
            signed_in(&answer).ok_or_else(|| ForgeError::Unauthorized {
                operation: session.operation.clone(),
                reason: "the server answers as to nobody".into(),
            })
        };
        Ok(self.author.get_or_try_init(ask).await?)
    }
}

#[async_trait]
impl Forge for BitbucketServer {
    fn kind(&self) -> ForgeKind {
        ForgeKind::BitbucketServer
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            comment_bytes: 32_768,
            comment_form: CommentForm::Plain,
            status_description: TEXT,
            check_runs: false,
            line_notes: false,
            issues: false,
            pull_ref: Some("refs/pull-requests/{}/from"),
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
        // The server wants a URL; the commit's own page says nothing wrong.
        let page = || {
            let (project, name) = (repository.owner(), repository.name());
            let web = self.web.as_str().trim_end_matches('/');
            format!("{web}/projects/{project}/repos/{name}/commits/{}", request.commit)
        };
        let mut body = json!({
            "key": cut(&request.context, TEXT),
            "name": cut(&request.context, TEXT),
            "state": match request.state {
                StatusState::Success => "SUCCESSFUL",
                StatusState::Pending => "INPROGRESS",
                StatusState::Failure => "FAILED",
                StatusState::Error => "UNKNOWN",
            },
            "description": cut(&request.description, TEXT),
            "url": request.target_url.clone().unwrap_or_else(page),
        });
        if let Some(branch) = &request.branch {
            body["ref"] = json!(format!("refs/heads/{branch}"));
        }
        let path = [&place(repository)[..], &["commits", request.commit.as_str(), "builds"]].concat();
        session.ask(Ask::post(&path, body)).await.map(drop)
    }

    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read #{number} of")).await?;
        let number = number.to_string();
        let path = [&place(repository)[..], &["pull-requests", &number]].concat();
        Ok(session.ask(Ask::get(&path)).await?.json::<Pull>()?.read())
    }

    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read a comment on #{pull} of")).await?;
        let pull = pull.to_string();
        let path = [&place(repository)[..], &["pull-requests", &pull, "comments", id]].concat();
        let Some(answer) = session.find(Ask::get(&path)).await? else { return Ok(None) };
        let text: Text = answer.json()?;
        let time = |millis: Option<i64>| millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let comment = |author: User| Comment {
            is_bot: author.kind.as_deref() == Some("SERVICE"),
            author: author.read(),
            body: text.text,
            created_at: time(text.created_date),
            // Each edit counts the version up.
            edited: Some(text.version > 0),
        };
        Ok(text.author.map(comment))
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let session = self.api.begin(Some(repository), "list the open pull requests of").await?;
        let path = [&place(repository)[..], &["pull-requests"]].concat();
        let mut pulls = Vec::new();
        let visit = |pull: Pull| {
            pulls.push(pull.read());
            ControlFlow::<()>::Continue(())
        };
        session.counted(Ask::get(&path).query("state", "OPEN"), visit).await?;
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls)
    }

    async fn find_user(&self, _: Option<&RepositoryPath>, name: &str) -> Result<Option<ForgeUser>, ForgeError> {
        let session = self.api.begin(None, "look a user up").await?;
        let visit = |found: User| match found.name == name {
            true => ControlFlow::Break(found.read()),
            false => ControlFlow::Continue(()),
        };
        session.counted(Ask::get(&["api", "latest", "users"]).query("filter", name), visit).await
    }

    /// Effective permissions, by groups and projects too: whether the user is among those who have one.
    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError> {
        let session = self.api.begin(Some(repository), "read a user's permission in").await?;
        for (word, permission) in
            [("REPO_ADMIN", Permission::Admin), ("REPO_WRITE", Permission::Write), ("REPO_READ", Permission::Read)]
        {
            let ask = Ask::get(&["api", "latest", "users"])
                .query("filter", &user.name)
                .query("permission.1", word)
                .query("permission.1.projectKey", repository.owner())
                .query("permission.1.repositorySlug", repository.name());
            let visit = |found: User| match found.read() == *user {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            if session.counted(ask, visit).await?.is_some() {
                return Ok(permission);
            }
        }
        Ok(Permission::None)
    }

    async fn upsert_webhook(&self, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
        let session = self.api.begin(Some(&request.repository), "set the webhook up in").await?;
        hook::upsert(&session, request).await
    }

    async fn check_webhook(&self, repository: &RepositoryPath, url: &str) -> Result<Option<Webhook>, ForgeError> {
        let session = self.api.begin(Some(repository), "look at the webhook of").await?;
        hook::check(&session, repository, url).await
    }

    /// The server tells no token's scopes: what it refuses to show is what is missing.
    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        let session = self.api.begin(repository, "test the connection").await?;
        let mut connection =
            Connection { account: self.author().await?.to_owned(), missing: Vec::new(), missing_optional: Vec::new() };
        let Some(repository) = repository else { return Ok(connection) };
        match session.ask(Ask::get(&place(repository))).await {
            Ok(_) => {}
            Err(ForgeError::Unauthorized { .. } | ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }) => {
                connection.missing.push("REPO_READ".into());
                return Ok(connection);
            }
            Err(error) => return Err(error),
        }
        // Only who rules a repository sees its webhooks.
        match session.ask(Ask::get(&[&place(repository)[..], &["webhooks"]].concat())).await {
            Ok(_) => {}
            Err(ForgeError::Unauthorized { .. } | ForgeError::Forbidden { .. }) => {
                connection.missing_optional.push("REPO_ADMIN".into());
            }
            Err(error) => return Err(error),
        }
        Ok(connection)
    }
}
