//! Bitbucket Cloud as a [`Forge`].

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::hook;
use super::text::Comments;
use super::wire::{Commit, Commits, Pull, Text, User};
use crate::forge::api::{
    Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser, Permission, PullRequest,
    StatusRequest, StatusState, Upserted, Webhook, WebhookRequest, cut, was_edited,
};
use crate::forge::session::{Api, Ask, Session};
use crate::forge::upsert::upsert;
use crate::forge::{ForgeError, ForgeKind, ForgeSettings, RepositoryPath};
use crate::ids::CommitSha;
use crate::secret::Secrets;

/// What a status shows of its description, in characters.
const DESCRIPTION: usize = 255;
/// The longest key of a status, in characters.
const KEY: usize = 40;
/// How many abbreviated commits are remembered in full.
const REMEMBERED: usize = 10_000;

/// Bitbucket Cloud.
pub(crate) struct Bitbucket {
    api: Api,
    /// Where people see a repository.
    web: Url,
    author: OnceCell<Option<String>>,
    /// Abbreviated commits, by repository.
    commits: Mutex<HashMap<(RepositoryPath, String), CommitSha>>,
}

impl std::fmt::Debug for Bitbucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitbucket").field("base", &self.api.base.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Granted {
    permission: String,
    user: User,
}

impl Bitbucket {
    pub(crate) fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<Self, ForgeError> {
        let mut base = settings.below("/2.0");
        if matches!(base.host_str(), Some("bitbucket.org" | "www.bitbucket.org")) {
            // The host is a valid one.
            base.set_host(Some("api.bitbucket.org")).ok();
        }
        let api = settings.api(base, "Bearer", secrets)?;
        let (author, commits) = (OnceCell::new(), Mutex::default());
        Ok(Bitbucket { api, web: settings.endpoint.clone(), author, commits })
    }

    /// Who writes, asked once; `None` where the credential is no account's.
    async fn author(&self) -> Result<Option<&str>, ForgeError> {
        let ask = || async {
            let session = self.api.begin(None, "see whose token this is").await?;
            match session.ask(Ask::get(&["user"])).await {
                Ok(answer) => Ok(answer.json::<User>()?.uuid),
                Err(ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Ok(self.author.get_or_try_init(ask).await?.as_deref())
    }

    /// A commit in full: requests mention them by twelve digits.
    async fn full(
        &self,
        session: &Session<'_>,
        repository: Option<RepositoryPath>,
        commit: Option<&Commit>,
    ) -> Result<Option<CommitSha>, ForgeError> {
        let (Some(repository), Some(Commit { hash })) = (repository, commit) else { return Ok(None) };
        if let Ok(full) = hash.parse() {
            return Ok(Some(full));
        }
        let key = (repository, hash.clone());
        let known = self.commits.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let path = ["repositories", key.0.owner(), key.0.name(), "commit", hash.as_str()];
        let answer = match session.find(Ask::get(&path)).await {
            Ok(Some(answer)) => answer,
            // A private fork is not visible to those who see the request.
            Ok(None) | Err(ForgeError::Forbidden { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let full: Option<CommitSha> = answer.json::<Commit>()?.hash.parse().ok();
        if let Some(full) = &full {
            let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
            if commits.len() >= REMEMBERED {
                commits.clear();
            }
            commits.insert(key, full.clone());
        }
        Ok(full)
    }

    async fn read(&self, session: &Session<'_>, pull: Pull) -> Result<PullRequest, ForgeError> {
        let (from, to) = (pull.source.repository(), pull.destination.repository());
        let merge = pull.merge_commit.as_ref().filter(|_| pull.is_merged());
        let commits = Commits {
            head: self.full(session, from, pull.source.commit.as_ref()).await?,
            base: self.full(session, to.clone(), pull.destination.commit.as_ref()).await?,
            merge: self.full(session, to, merge).await?,
        };
        Ok(pull.read(commits))
    }
}

/// The condition that finds a user: by account id or uuid where the name is one, else by nickname.
fn user_query(user: &str) -> String {
    let quoted = user.replace('\\', "\\\\").replace('"', "\\\"");
    let field = match user {
        uuid if uuid.starts_with('{') => "uuid",
        id if id.contains(':') || (id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit())) => "account_id",
        _ => "nickname",
    };
    format!("user.{field}=\"{quoted}\"")
}

/// The key of a status: its context, or, where that is too long, as much as leaves room for a digest.
fn key(context: &str) -> String {
    if context.chars().count() <= KEY {
        return context.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, context.as_bytes());
    let digest: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let kept: String = context.chars().take(KEY - 13).collect();
    format!("{kept}-{digest}")
}

#[async_trait]
impl Forge for Bitbucket {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Bitbucket
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            comment_bytes: 32_768,
            comment_form: CommentForm::Plain,
            status_description: DESCRIPTION,
            check_runs: false,
            line_notes: false,
            issues: false,
            pull_ref: None,
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
        // Bitbucket wants a URL; the commit's own page says nothing wrong.
        let commit = || format!("{}/{repository}/commits/{}", self.web.as_str().trim_end_matches('/'), request.commit);
        let mut body = json!({
            "type": "build",
            "key": key(&request.context),
            "name": request.context,
            "state": match request.state {
                StatusState::Success => "SUCCESSFUL",
                StatusState::Pending => "INPROGRESS",
                StatusState::Failure => "FAILED",
                StatusState::Error => "STOPPED",
            },
            "description": cut(&request.description, DESCRIPTION),
            "url": request.target_url.clone().unwrap_or_else(commit),
        });
        if let Some(branch) = &request.branch {
            body["refname"] = json!(branch);
        }
        let commit = request.commit.as_str();
        let path = ["repositories", repository.owner(), repository.name(), "commit", commit, "statuses", "build"];
        session.ask(Ask::post(&path, body)).await.map(drop)
    }

    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read #{number} of")).await?;
        let path = ["repositories", repository.owner(), repository.name(), "pullrequests", &number.to_string()];
        let pull = session.ask(Ask::get(&path)).await?.json()?;
        self.read(&session, pull).await
    }

    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let session = self.api.begin(Some(repository), &format!("read a comment on #{pull} of")).await?;
        let place = ["repositories", repository.owner(), repository.name(), "pullrequests", &pull.to_string()];
        let Some(answer) = session.find(Ask::get(&[&place[..], &["comments", id]].concat())).await? else {
            return Ok(None);
        };
        let text: Text = answer.json()?;
        let Some(author) = text.user.and_then(User::read) else { return Ok(None) };
        let comment = Comment {
            author,
            is_bot: false,
            body: text.content.raw,
            created_at: text.created_on,
            edited: was_edited(text.created_on, text.updated_on),
        };
        Ok((!text.deleted).then_some(comment))
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let session = self.api.begin(Some(repository), "list the open pull requests of").await?;
        let path = ["repositories", repository.owner(), repository.name(), "pullrequests"];
        let mut found = Vec::new();
        let visit = |pull: Pull| {
            found.push(pull);
            ControlFlow::<()>::Continue(())
        };
        session.linked(Ask::get(&path).query("state", "OPEN").query("pagelen", 50), visit).await?;
        let mut pulls = Vec::new();
        for pull in found {
            pulls.push(self.read(&session, pull).await?);
        }
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls)
    }

    async fn find_user(&self, _: Option<&RepositoryPath>, name: &str) -> Result<Option<ForgeUser>, ForgeError> {
        let session = self.api.begin(None, "look a user up").await?;
        match session.find(Ask::get(&["users", name])).await? {
            Some(answer) => Ok(answer.json::<User>()?.read()),
            None => Ok(None),
        }
    }

    /// Effective permissions; needs admin on the repository.
    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError> {
        let session = self.api.begin(Some(repository), "read a user's permission in").await?;
        let path = ["workspaces", repository.owner(), "permissions", "repositories", repository.name()];
        let mut found = Vec::new();
        let visit = |granted: Granted| {
            // The query narrows the answer; what counts is who is in it.
            if granted.user.id() == Some(user.id.as_str()) {
                found.push(granted);
            }
            ControlFlow::<()>::Continue(())
        };
        session.linked(Ask::get(&path).query("q", user_query(&user.id)), visit).await?;
        let [granted] = found.as_slice() else { return Ok(Permission::None) };
        Ok(match granted.permission.as_str() {
            "admin" => Permission::Admin,
            "write" => Permission::Write,
            "read" => Permission::Read,
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

    /// Scopes are told by a header, in the older words (`pullrequest`) or in those of API tokens
    /// (`read:pullrequest:bitbucket`).
    async fn test_connection(&self, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        let session = self.api.begin(repository, "test the connection").await?;
        let mut connection = Connection { account: String::new(), missing: Vec::new(), missing_optional: Vec::new() };
        let mut scopes: Option<String> = None;
        match session.ask(Ask::get(&["user"])).await {
            Ok(answer) => {
                scopes = answer.header("x-oauth-scopes").map(str::to_owned);
                connection.account = answer.json::<User>()?.name();
            }
            // A repository's access token is no account.
            Err(ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(repository) = repository {
            let path = ["repositories", repository.owner(), repository.name()];
            match session.ask(Ask::get(&path)).await {
                Ok(answer) => scopes = scopes.or_else(|| answer.header("x-oauth-scopes").map(str::to_owned)),
                Err(ForgeError::Forbidden { .. }) => connection.missing.push("repository".into()),
                Err(ForgeError::NotFound { .. }) => connection.missing.push("access to the repository".into()),
                Err(error) => return Err(error),
            }
        }
        if let Some(scopes) = scopes {
            let granted: Vec<&str> = scopes.split(',').map(str::trim).collect();
            let has = |name: &str| {
                granted.iter().any(|one| one.split(':').any(|word| word == name))
                    // Older scopes hold one another.
                    || (name == "repository" && granted.iter().any(|one| one.starts_with("pullrequest")))
            };
            connection
                .missing
                .extend(["repository", "pullrequest"].into_iter().filter(|name| !has(name)).map(str::to_owned));
            connection.missing.dedup();
            if !has("webhook") {
                connection.missing_optional.push("webhook".into());
            }
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::{key, user_query};

    #[test]
    fn a_long_context_gets_a_key_of_its_own() {
        assert_eq!(key("trueup/production"), "trueup/production");
        let (a, b) = (key(&format!("trueup/{}a", "x".repeat(60))), key(&format!("trueup/{}b", "x".repeat(60))));
        assert_eq!((a.len(), b.len()), (40, 40));
        assert_ne!(a, b);
    }

    #[test]
    fn a_user_is_found_by_what_the_name_is_and_cannot_write_the_query() {
        assert_eq!(user_query("{1-2}"), "user.uuid=\"{1-2}\"");
        assert_eq!(user_query("557058:ab"), "user.account_id=\"557058:ab\"");
        assert_eq!(user_query("5b10a2844c20165700ede21g"), "user.nickname=\"5b10a2844c20165700ede21g\"");
        assert_eq!(user_query(r#"x" OR permission="admin"#), r#"user.nickname="x\" OR permission=\"admin""#);
    }
}
