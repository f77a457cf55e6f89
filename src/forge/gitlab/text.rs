//! Notes and issues: texts that stand exactly once.

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::json;

use super::wire::{Issue, Note, User};
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::{Standing, Texts};
use crate::forge::{ForgeError, RepositoryPath};

/// Notes of a page: they may be long, and an answer is read up to a limit.
pub(super) const NOTES: (&str, usize) = ("per_page", 30);

/// The notes of a merge request.
pub(super) struct Notes<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) number: u64,
    pub(super) author: &'a User,
}

/// The issues of a project; `title` is what is written over the text.
pub(super) struct Issues<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) title: &'a str,
    pub(super) author: &'a User,
}

fn note(note: Note) -> (Standing, String) {
    (Standing { id: note.id.to_string(), url: None }, note.body)
}

fn issue(issue: Issue) -> (Standing, String) {
    (Standing { id: issue.iid.to_string(), url: issue.web_url }, issue.description.unwrap_or_default())
}

#[async_trait]
impl Texts for Notes<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let number = self.number.to_string();
        let path = ["projects", self.repository.as_str(), "merge_requests", &number, "notes", id];
        let answer = self.session.find(Ask::put(&path, json!({ "body": body }))).await?;
        answer.map(|answer| Ok(note(answer.json()?).0)).transpose()
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let number = self.number.to_string();
        let path = ["projects", self.repository.as_str(), "merge_requests", &number, "notes"];
        let ask = Ask::get(&path).query("sort", "asc").query("order_by", "created_at");
        let visit = |note: Note| {
            // A note on a line is one of a discussion, not the request's comment.
            let ours = !note.system && note.position.is_none() && note.author.id == self.author.id;
            if ours && note.body.contains(marker) { ControlFlow::Break(note) } else { ControlFlow::Continue(()) }
        };
        Ok(self.session.pages(ask, NOTES, visit).await?.map(note))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let number = self.number.to_string();
        let path = ["projects", self.repository.as_str(), "merge_requests", &number, "notes"];
        Ok(note(self.session.ask(Ask::post(&path, json!({ "body": body }))).await?.json()?).0)
    }
}

#[async_trait]
impl Texts for Issues<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let path = ["projects", self.repository.as_str(), "issues", id];
        let body = json!({ "title": self.title, "description": body, "state_event": "reopen" });
        let answer = self.session.find(Ask::put(&path, body)).await?;
        answer.map(|answer| Ok(issue(answer.json()?).0)).transpose()
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let path = ["projects", self.repository.as_str(), "issues"];
        let ask = Ask::get(&path).query("state", "opened").query("author_id", self.author.id).query("sort", "asc");
        let visit = |issue: Issue| {
            let ours = issue.author.id == self.author.id;
            let marked = issue.description.as_deref().is_some_and(|text| text.contains(marker));
            if ours && marked { ControlFlow::Break(issue) } else { ControlFlow::Continue(()) }
        };
        Ok(self.session.pages(ask, NOTES, visit).await?.map(issue))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let path = ["projects", self.repository.as_str(), "issues"];
        let body = json!({ "title": self.title, "description": body });
        Ok(issue(self.session.ask(Ask::post(&path, body)).await?.json()?).0)
    }
}
