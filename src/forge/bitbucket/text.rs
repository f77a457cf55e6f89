//! Comments of a pull request: texts that stand exactly once.

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::wire::Text;
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::{Standing, Texts};
use crate::forge::{ForgeError, RepositoryPath};

/// The comments of a pull request.
pub(super) struct Comments<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) number: u64,
    /// The account's id; `None` where the credential is no account's (a repository's access token). Then any author
    /// passes: what others wrote, such a token cannot edit.
    pub(super) author: Option<&'a str>,
}

fn found(text: Text) -> (Standing, String) {
    (Standing { id: text.id.to_string(), url: text.links.html.map(|link| link.href) }, text.content.raw)
}

fn content(body: &str) -> Value {
    json!({ "type": "pullrequest_comment", "content": { "raw": body } })
}

#[async_trait]
impl Texts for Comments<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let number = self.number.to_string();
        let place = ["repositories", self.repository.owner(), self.repository.name(), "pullrequests", &number];
        let path = [&place[..], &["comments", id]].concat();
        // A deleted comment is still there, and can be read.
        let Some(answer) = self.session.find(Ask::get(&path)).await? else { return Ok(None) };
        if answer.json::<Text>()?.deleted {
            return Ok(None);
        }
        let answer = self.session.find(Ask::put(&path, content(body))).await?;
        answer.map(|answer| Ok(found(answer.json()?).0)).transpose()
    }

    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let number = self.number.to_string();
        let place = ["repositories", self.repository.owner(), self.repository.name(), "pullrequests", &number];
        let visit = |text: Text| {
            let uuid = text.user.as_ref().and_then(|user| user.uuid.as_deref());
            let ours = !text.deleted && text.inline.is_none() && self.author.is_none_or(|author| uuid == Some(author));
            if ours && text.content.raw.contains(marker) { ControlFlow::Break(text) } else { ControlFlow::Continue(()) }
        };
        let ask = Ask::get(&[&place[..], &["comments"]].concat()).query("pagelen", 100);
        Ok(self.session.linked(ask, visit).await?.map(found))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let number = self.number.to_string();
        let place = ["repositories", self.repository.owner(), self.repository.name(), "pullrequests", &number];
        let ask = Ask::post(&[&place[..], &["comments"]].concat(), content(body));
        Ok(found(self.session.ask(ask).await?.json()?).0)
    }
}
