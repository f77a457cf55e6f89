//! Comments and issues: texts that stand exactly once.

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::json;

use super::wire::{Text, User};
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::{Standing, Texts};
use crate::forge::{ForgeError, RepositoryPath};

/// The comments of a pull request (or issue).
pub(super) struct Comments<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) number: u64,
    pub(super) author: &'a User,
}

/// The issues of a repository; `title` is what is written over the text.
pub(super) struct Issues<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) title: &'a str,
    pub(super) author: &'a User,
}

fn standing(text: &Text) -> Standing {
    Standing { id: text.number.unwrap_or(text.id).to_string(), url: text.html_url.clone() }
}

fn ours(text: &Text, author: &User, marker: &str) -> bool {
    text.user.as_ref().is_some_and(|user| user.id == author.id) && text.body.contains(marker)
}

fn found(text: Text) -> (Standing, String) {
    (standing(&text), text.body)
}

#[async_trait]
impl Texts for Comments<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", "comments", id];
        let Some(answer) = self.session.find(Ask::patch(&path, json!({ "body": body }))).await? else {
            return Ok(None);
        };
        Ok(Some(standing(&answer.json()?)))
    }

    /// Gitea gives all comments of an issue in one answer.
    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let number = self.number.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", &number, "comments"];
        let texts: Vec<Text> = self.session.ask(Ask::get(&path)).await?.json()?;
        Ok(texts.into_iter().find(|text| ours(text, self.author, marker)).map(found))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let number = self.number.to_string();
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", &number, "comments"];
        Ok(standing(&self.session.ask(Ask::post(&path, json!({ "body": body }))).await?.json()?))
    }
}

#[async_trait]
impl Texts for Issues<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues", id];
        let body = json!({ "title": self.title, "body": body, "state": "open" });
        let Some(answer) = self.session.find(Ask::patch(&path, body)).await? else { return Ok(None) };
        Ok(Some(standing(&answer.json()?)))
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues"];
        let ask = Ask::get(&path).query("state", "open").query("type", "issues");
        let ask = ask.query("created_by", &self.author.login);
        let visit = |text: Text| match ours(&text, self.author, marker) {
            true => ControlFlow::Break(text),
            false => ControlFlow::Continue(()),
        };
        Ok(self.session.pages(ask, ("limit", 50), visit).await?.map(found))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let path = ["repos", self.repository.owner(), self.repository.name(), "issues"];
        let body = json!({ "title": self.title, "body": body });
        Ok(standing(&self.session.ask(Ask::post(&path, body)).await?.json()?))
    }
}
