//! Comments and issues: texts that stand exactly once.

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::json;

use super::wire::{self, Text};
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::{Standing, Texts};
use crate::forge::{ForgeError, RepositoryPath};

/// Which account writes: what it creates carries this user.
#[derive(Clone, Debug)]
pub(super) enum Author {
    /// A user, by id.
    User { id: u64, login: String },
    /// An App's bot, whose login is the App's name and `[bot]`.
    Bot { login: String },
}

impl Author {
    pub(super) fn login(&self) -> &str {
        match self {
            Author::User { login, .. } | Author::Bot { login } => login,
        }
    }

    fn wrote(&self, text: &Text) -> bool {
        text.user.as_ref().is_some_and(|user| match self {
            Author::User { id, .. } => user.id == *id,
            Author::Bot { login } => user.login == *login,
        })
    }

    fn find(&self, text: Text, marker: &str) -> ControlFlow<Text> {
        let found = self.wrote(&text) && text.body.as_deref().is_some_and(|body| body.contains(marker));
        if found { ControlFlow::Break(text) } else { ControlFlow::Continue(()) }
    }
}

/// The comments of a pull request (or issue).
pub(super) struct Comments<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) number: u64,
    pub(super) author: &'a Author,
}

/// The issues of a repository; `title` is what is written over the text.
pub(super) struct Issues<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) title: &'a str,
    pub(super) author: &'a Author,
}

fn comment(text: Text) -> (Standing, String) {
    (Standing { id: text.id.to_string(), url: text.html_url }, text.body.unwrap_or_default())
}

fn issue(text: Text) -> (Standing, String) {
    let id = text.number.unwrap_or(text.id).to_string();
    (Standing { id, url: text.html_url }, text.body.unwrap_or_default())
}

#[async_trait]
impl Texts for Comments<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let id = wire::id(&self.session.operation, id)?.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", "comments", &id];
        let answer = self.session.find(Ask::patch(&path, json!({ "body": body }))).await?;
        answer.map(|answer| Ok(comment(answer.json()?).0)).transpose()
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let number = self.number.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", &number, "comments"];
        let visit = |text: Text| self.author.find(text, marker);
        Ok(self.session.pages(Ask::get(&path), ("per_page", 100), visit).await?.map(comment))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let number = self.number.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", &number, "comments"];
        Ok(comment(self.session.ask(Ask::post(&path, json!({ "body": body }))).await?.json()?).0)
    }
}

#[async_trait]
impl Texts for Issues<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let id = wire::id(&self.session.operation, id)?.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", &id];
        let body = json!({ "title": self.title, "body": body, "state": "open" });
        let answer = self.session.find(Ask::patch(&path, body)).await?;
        answer.map(|answer| Ok(issue(answer.json()?).0)).transpose()
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues"];
        let ask = Ask::get(&path).query("state", "open").query("creator", self.author.login());
        let visit = |text: Text| match text.pull_request {
            Some(_) => ControlFlow::Continue(()),
            None => self.author.find(text, marker),
        };
        Ok(self.session.pages(ask, ("per_page", 100), visit).await?.map(issue))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues"];
        let body = json!({ "title": self.title, "body": body });
        Ok(issue(self.session.ask(Ask::post(&path, body)).await?.json()?).0)
    }
}
