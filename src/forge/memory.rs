//! A forge in memory: for trying Trueup out, and for tests of what stands above forges.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::forge::api::{
    Change, CheckRunRequest, Comment, CommentForm, CommentRequest, Connection, Forge, ForgeLimits, ForgeUser,
    IssueRequest, LineNotes, LineNotesRequest, Permission, PullRequest, PullState, StatusRequest, Upserted, Webhook,
    WebhookRequest,
};
use crate::forge::upsert::{Standing, Texts, same_text, upsert};
use crate::forge::{ForgeError, ForgeKind, RepositoryPath};

/// Who writes.
pub const ACCOUNT: &str = "trueup";

/// What the forge holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The requests, by repository and number.
    pub pulls: BTreeMap<(RepositoryPath, u64), PullRequest>,
    /// The comments in the order of their creation.
    pub comments: Vec<Written>,
    /// The issues in the order of their creation.
    pub issues: Vec<Written>,
    /// Every status as it was set, in order.
    pub statuses: Vec<StatusRequest>,
    /// Every check run, in order.
    pub check_runs: Vec<CheckRunRequest>,
    /// The notes on lines, by request.
    pub line_notes: BTreeMap<(RepositoryPath, u64), LineNotesRequest>,
    /// What users may do, by repository and name.
    pub permissions: BTreeMap<(RepositoryPath, String), Permission>,
    /// The URLs of webhooks, by repository.
    pub webhooks: BTreeMap<RepositoryPath, Vec<String>>,
    /// How many writes there were.
    pub writes: usize,
}

/// A comment or issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub repository: RepositoryPath,
    /// The request that it is on; 0 for issues.
    pub pull: u64,
    /// Who wrote it.
    pub author: String,
    /// The headline of an issue.
    pub title: String,
    /// The text.
    pub body: String,
    /// Whether it is an open issue.
    pub open: bool,
}

/// A forge in memory.
#[derive(Debug)]
pub struct MemoryForge {
    kind: ForgeKind,
    contents: Mutex<Contents>,
    /// Outcomes of the operations to come; `None` lets one through.
    faults: Mutex<VecDeque<Option<ForgeError>>>,
}

impl MemoryForge {
    /// An empty one that passes for `kind`.
    pub fn new(kind: ForgeKind) -> Self {
        MemoryForge { kind, contents: Mutex::default(), faults: Mutex::default() }
    }

    /// What it holds, to read and to change.
    pub fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operations to come fail so, one after the other; `None` lets one through.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<ForgeError>>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    fn enter(&self) -> Result<MutexGuard<'_, Contents>, ForgeError> {
        match self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            Some(Some(error)) => Err(error),
            Some(None) | None => Ok(self.contents()),
        }
    }

    fn missing(&self, what: String) -> ForgeError {
        ForgeError::NotFound { operation: format!("{}: read {what}", self.kind), reason: "there is none".into() }
    }
}

/// Where texts stand.
struct Place<'a> {
    forge: &'a MemoryForge,
    repository: &'a RepositoryPath,
    pull: u64,
    title: &'a str,
}

impl Place<'_> {
    fn list<'a>(&self, contents: &'a mut Contents) -> &'a mut Vec<Written> {
        if self.pull == 0 { &mut contents.issues } else { &mut contents.comments }
    }
}

/// Names do not change here.
fn user(name: &str) -> ForgeUser {
    ForgeUser { id: name.to_owned(), name: name.to_owned() }
}

fn standing(written: &Written) -> Standing {
    Standing { id: written.id.clone(), url: None }
}

#[async_trait]
impl Texts for Place<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let mut contents = self.forge.contents();
        contents.writes += 1;
        let found = self.list(&mut contents).iter_mut().find(|text| text.id == id);
        Ok(found.map(|text| {
            body.clone_into(&mut text.body);
            self.title.clone_into(&mut text.title);
            text.open = true;
            standing(text)
        }))
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let mut contents = self.forge.contents();
        let here = |text: &&mut Written| {
            let place = text.repository == *self.repository && text.pull == self.pull;
            place && text.open && text.author == ACCOUNT && text.body.contains(marker)
        };
        Ok(self.list(&mut contents).iter_mut().find(here).map(|text| (standing(text), text.body.clone())))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let mut contents = self.forge.contents();
        contents.writes += 1;
        let id = format!("{}", contents.writes);
        let text = Written {
            id,
            repository: self.repository.clone(),
            pull: self.pull,
            author: ACCOUNT.to_owned(),
            title: self.title.to_owned(),
            body: body.to_owned(),
            open: true,
        };
        let made = standing(&text);
        self.list(&mut contents).push(text);
        Ok(made)
    }
}

#[async_trait]
impl Forge for MemoryForge {
    fn kind(&self) -> ForgeKind {
        self.kind
    }

    fn limits(&self) -> ForgeLimits {
        ForgeLimits {
            comment_bytes: 65_536,
            comment_form: CommentForm::Html,
            status_description: 140,
            check_runs: true,
            line_notes: true,
            issues: true,
            pull_ref: Some("refs/pull/{}/head"),
        }
    }

    async fn upsert_comment(&self, request: &CommentRequest) -> Result<Upserted, ForgeError> {
        let CommentRequest { repository, pull, known_id, marker, body } = request;
        drop(self.enter()?);
        let place = Place { forge: self, repository, pull: *pull, title: "" };
        upsert(&place, "memory: comment", known_id.as_deref(), marker, body).await
    }

    async fn set_status(&self, request: &StatusRequest) -> Result<(), ForgeError> {
        let mut contents = self.enter()?;
        contents.writes += 1;
        contents.statuses.push(request.clone());
        Ok(())
    }

    async fn upsert_check_run(&self, request: &CheckRunRequest) -> Result<Upserted, ForgeError> {
        let mut contents = self.enter()?;
        let found = contents.check_runs.iter().position(|run| run == request);
        let change = if found.is_some() { Change::Unchanged } else { Change::Created };
        let index = found.unwrap_or_else(|| {
            contents.writes += 1;
            contents.check_runs.push(request.clone());
            contents.check_runs.len() - 1
        });
        Ok(Upserted { id: index.to_string(), url: None, change })
    }

    async fn note_lines(&self, request: &LineNotesRequest) -> Result<LineNotes, ForgeError> {
        let mut contents = self.enter()?;
        contents.writes += 1;
        let before = contents.line_notes.insert((request.repository.clone(), request.pull), request.clone());
        let before = before.map(|before| before.notes).unwrap_or_default();
        let mut done = LineNotes::default();
        for note in &request.notes {
            match before.iter().find(|old| (&old.path, old.line) == (&note.path, note.line)) {
                None => done.created += 1,
                Some(old) if same_text(&old.body, &note.body) => done.unchanged += 1,
                Some(_) => done.edited += 1,
            }
        }
        done.resolved = before.len() - done.unchanged - done.edited;
        Ok(done)
    }

    async fn read_pull_request(&self, repository: &RepositoryPath, number: u64) -> Result<PullRequest, ForgeError> {
        let found = self.enter()?.pulls.get(&(repository.clone(), number)).cloned();
        found.ok_or_else(|| self.missing(format!("#{number} of {repository}")))
    }

    async fn read_comment(
        &self,
        repository: &RepositoryPath,
        pull: u64,
        id: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let contents = self.enter()?;
        let here = |text: &&Written| text.repository == *repository && text.pull == pull && text.id == id;
        let found = contents.comments.iter().find(here);
        let said = |text: &Written| Comment {
            author: user(&text.author),
            is_bot: text.author == ACCOUNT,
            body: text.body.clone(),
            created_at: None,
            edited: None,
        };
        Ok(found.map(said))
    }

    async fn list_open_pull_requests(&self, repository: &RepositoryPath) -> Result<Vec<PullRequest>, ForgeError> {
        let contents = self.enter()?;
        let here =
            contents.pulls.iter().filter(|((place, _), pull)| place == repository && pull.state == PullState::Open);
        Ok(here.map(|(_, pull)| pull.clone()).collect())
    }

    async fn find_user(&self, _: Option<&RepositoryPath>, name: &str) -> Result<Option<ForgeUser>, ForgeError> {
        let contents = self.enter()?;
        Ok(contents.permissions.keys().any(|(_, known)| known == name).then(|| user(name)))
    }

    async fn read_permission(&self, repository: &RepositoryPath, user: &ForgeUser) -> Result<Permission, ForgeError> {
        let key = (repository.clone(), user.id.clone());
        Ok(self.enter()?.permissions.get(&key).copied().unwrap_or(Permission::None))
    }

    async fn upsert_webhook(&self, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
        let mut contents = self.enter()?;
        contents.writes += 1;
        let urls = contents.webhooks.entry(request.repository.clone()).or_default();
        let change = if urls.contains(&request.url) { Change::Edited } else { Change::Created };
        if change == Change::Created {
            urls.push(request.url.clone());
        }
        Ok(Upserted { id: request.url.clone(), url: None, change })
    }

    async fn check_webhook(&self, repository: &RepositoryPath, url: &str) -> Result<Option<Webhook>, ForgeError> {
        let there = self.enter()?.webhooks.get(repository).is_some_and(|urls| urls.iter().any(|one| one == url));
        let hook = Webhook { id: url.to_owned(), active: true, missing_events: Vec::new(), last_delivery: None };
        Ok(there.then_some(hook))
    }

    async fn upsert_issue(&self, request: &IssueRequest) -> Result<Upserted, ForgeError> {
        let IssueRequest { repository, known_id, marker, title, body } = request;
        drop(self.enter()?);
        let place = Place { forge: self, repository, pull: 0, title };
        upsert(&place, "memory: issue", known_id.as_deref(), marker, body).await
    }

    async fn close_issue(
        &self,
        repository: &RepositoryPath,
        known: Option<&str>,
        marker: &str,
    ) -> Result<(), ForgeError> {
        let mut contents = self.enter()?;
        contents.writes += 1;
        let found = contents.issues.iter_mut().find(|issue| {
            issue.repository == *repository && known.map_or(issue.body.contains(marker), |id| issue.id == id)
        });
        if let Some(issue) = found {
            issue.open = false;
        }
        Ok(())
    }

    async fn test_connection(&self, _: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
        drop(self.enter()?);
        Ok(Connection { account: ACCOUNT.into(), missing: Vec::new(), missing_optional: Vec::new() })
    }
}
