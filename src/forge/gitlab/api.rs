//! GitLab as a [`Forge`].

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::text::{Issues, Notes};
use super::wire::{MergeRequest, Note, User};
use super::{hook, note};
use crate::forge::api::{
    Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser, IssueRequest, LineNotes,
    LineNotesRequest, Permission, PullRequest, StatusRequest, StatusState, Upserted, Webhook, WebhookRequest, cut,
    was_edited,
};
use crate::forge::session::{Api, Ask, Session};
use crate::forge::upsert::{known_or_found, upsert};
use crate::forge::{ForgeError, ForgeKind, ForgeSettings, RepositoryPath};
use crate::secret::Secrets;

/// What a status keeps of its description, in characters.
const DESCRIPTION: usize = 255;
/// What a token needs.
const SCOPES: &[&str] = &["api", "read_repository", "write_repository"];
/// The access levels of a Developer, who may set statuses, and of a Maintainer, who may set webhooks up.
const DEVELOPER: u64 = 30;
const MAINTAINER: u64 = 40;

/// GitLab.
pub(crate) struct Gitlab {
    api: Api,
    author: OnceCell<User>,
}

impl std::fmt::Debug for Gitlab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gitlab").field("base", &self.api.base.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Member {
    access_level: u64,
    #[serde(default)]
    state: Option<String>,
}

#[derive(Deserialize)]
struct TokenItself {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
    #[serde(default)]
    permissions: Option<Accesses>,
}

#[derive(Deserialize)]
struct Accesses {
    project_access: Option<Access>,
    group_access: Option<Access>,
}

#[derive(Deserialize)]
struct Access {
    access_level: u64,
}

impl Gitlab {
    pub(crate) fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<Self, ForgeError> {
        let api = settings.api(settings.below("/api/v4"), "Bearer", secrets)?;
        Ok(Gitlab { api, author: OnceCell::new() })
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

async fn project(session: &Session<'_>, id: &str) -> Result<Option<Project>, ForgeError> {
    let answer = session.find(Ask::get(&["projects", id])).await?;
    answer.map(|answer| answer.json()).transpose()
}

#[async_trait]
impl Forge for Gitlab {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Gitlab
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            comment_bytes: 1_000_000,
            comment_form: CommentForm::Html,
            status_description: DESCRIPTION,
            check_runs: false,
            line_notes: true,
            issues: true,
            pull_ref: Some("refs/merge-requests/{}/head"),
        }
    }

    async fn upsert_comment(&self, request: &CommentRequest) -> Result<Upserted, ForgeError> {
        let CommentRequest { repository, pull, known_id, marker, body } = request;
        let author = self.author().await?;
        let session = self.api.begin(Some(repository), &format!("comment on !{pull} of")).await?;
        let notes = Notes { session: &session, repository, number: *pull, author };
        upsert(&notes, &session.operation, known_id.as_deref(), marker, body).await
    }

    async fn set_status(&self, request: &StatusRequest) -> Result<(), ForgeError> {
        let session = self.api.begin(Some(&request.repository), "set a status in").await?;
        let mut body = json!({
            "state": match request.state {
                StatusState::Success => "success",
                StatusState::Pending => "pending",
                StatusState::Failure | StatusState::Error => "failed",
            },
            "name": request.context,
            "description": cut(&request.description, DESCRIPTION),
        });
        if let Some(url) = &request.target_url {
            body["target_url"] = json!(url);
        }
        if let Some(branch) = &request.branch {
            body["ref"] = json!(branch);
        }
        let path = ["projects", request.repository.as_str(), "statuses", request.commit.as_str()];
        match session.ask(Ask::post(&path, body)).await {
            Ok(_) => Ok(()),
            // It is in that state already. Description and URL were taken over before GitLab found that out.
            Err(ForgeError::Rejected { reason, .. }) if reason.contains("Cannot transition status") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn note_lines(&self, request: &LineNotesRequest) -> Result<LineNotes, ForgeError> {
        let author = self.author().await?;
        let what = format!("put notes on lines of !{} of", request.pull);
        let session = self.api.begin(Some(&request.repository), &what).await?;
        note::write(&session, author, request).await
    }

    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read !{number} of")).await?;
        let path = ["projects", repository.as_str(), "merge_requests", &number.to_string()];
        let request: MergeRequest = session.ask(Ask::get(&path)).await?.json()?;
        let source = match request.source_project_id {
            Some(id) if id != request.target_project_id => project(&session, &id.to_string()).await?,
            Some(_) | None => None,
        };
        Ok(request.read(repository, source.and_then(|source| source.path_with_namespace.parse().ok())))
    }

    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read a note on !{pull} of")).await?;
        let path = ["projects", repository.as_str(), "merge_requests", &pull.to_string(), "notes", id];
        let Some(answer) = session.find(Ask::get(&path)).await? else { return Ok(None) };
        let Note { author, body, system, created_at, updated_at, .. } = answer.json()?;
        let comment = Comment {
            author: author.read(),
            is_bot: false,
            body,
            created_at,
            edited: was_edited(created_at, updated_at),
        };
        Ok((!system).then_some(comment))
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let session = self.api.begin(Some(repository), "list the open merge requests of").await?;
        let ask = Ask::get(&["projects", repository.as_str(), "merge_requests"]).query("state", "opened");
        let mut requests = Vec::new();
        let visit = |request: MergeRequest| {
            requests.push(request.read(repository, None));
            ControlFlow::<()>::Continue(())
        };
        session.pages(ask, ("per_page", 100), visit).await?;
        requests.sort_by_key(|request| request.number);
        Ok(requests)
    }

    async fn find_user(&self, _: Option<&RepositoryPath>, name: &str) -> Result<Option<ForgeUser>, ForgeError> {
        let session = self.api.begin(None, "look a user up").await?;
        let users: Vec<User> = session.ask(Ask::get(&["users"]).query("username", name)).await?.json()?;
        Ok(users.into_iter().find(|found| found.username.eq_ignore_ascii_case(name)).map(User::read))
    }

    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError> {
        let session = self.api.begin(Some(repository), "read a user's permission in").await?;
        let path = ["projects", repository.as_str(), "members", "all", &user.id];
        let Some(answer) = session.find(Ask::get(&path)).await? else { return Ok(Permission::None) };
        let member: Member = answer.json()?;
        if member.state.as_deref().is_some_and(|state| state != "active") {
            return Ok(Permission::None);
        }
        Ok(match member.access_level {
            MAINTAINER.. => Permission::Admin,
            DEVELOPER.. => Permission::Write,
            10.. => Permission::Read,
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
        let path = ["projects", repository.as_str(), "issues", &id];
        session.find(Ask::put(&path, json!({ "state_event": "close" }))).await.map(drop)
    }

    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        let session = self.api.begin(repository, "test the connection").await?;
        let mut connection = Connection { account: String::new(), missing: Vec::new(), missing_optional: Vec::new() };
        // Tokens of other kinds (OAuth) do not know themselves; then only what GitLab refuses shows.
        if let Some(answer) = session.find(Ask::get(&["personal_access_tokens", "self"])).await? {
            let granted = answer.json::<TokenItself>()?.scopes;
            let missing = SCOPES.iter().filter(|scope| !granted.iter().any(|one| one == *scope));
            connection.missing.extend(missing.map(ToString::to_string));
        }
        match session.ask(Ask::get(&["user"])).await {
            Ok(answer) => connection.account = answer.json::<User>()?.username,
            // The scope that is missing has been named.
            Err(ForgeError::Forbidden { .. }) if !connection.missing.is_empty() => return Ok(connection),
            Err(error) => return Err(error),
        }
        let Some(repository) = repository else { return Ok(connection) };
        let Some(project) = project(&session, repository.as_str()).await? else {
            connection.missing.push("access to the project".into());
            return Ok(connection);
        };
        if let Some(Accesses { project_access, group_access }) = project.permissions {
            let level = [project_access, group_access].into_iter().flatten().map(|access| access.access_level).max();
            if level.unwrap_or_default() < DEVELOPER {
                connection.missing.push("the role Developer in the project".into());
            }
            if level.unwrap_or_default() < MAINTAINER {
                connection.missing_optional.push("the role Maintainer in the project (webhook)".into());
            }
        }
        Ok(connection)
    }
}
