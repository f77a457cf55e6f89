//! Comments of a pull request: texts that stand exactly once. They have versions, and an edit names the one it replaces.

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::json;

use super::wire::{Activity, Text};
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::{Standing, Texts};
use crate::forge::{ForgeError, RepositoryPath};

/// How often an edit is tried against someone else's at the same moment.
const TRIES: usize = 3;

/// The comments of a pull request.
pub(super) struct Comments<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) repository: &'a RepositoryPath,
    pub(super) number: u64,
    pub(super) author: &'a str,
}

fn standing(text: &Text) -> Standing {
    Standing { id: text.id.to_string(), url: None }
}

#[async_trait]
impl Texts for Comments<'_> {
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError> {
        let number = self.number.to_string();
        let place = super::api::place(self.repository);
        let path = [&place[..], &["pull-requests", &number, "comments", id]].concat();
        let mut tries = 0;
        loop {
            let Some(answer) = self.session.find(Ask::get(&path)).await? else { return Ok(None) };
            let version = answer.json::<Text>()?.version;
            let ask = Ask::put(&path, json!({ "text": body, "version": version }));
            tries += 1;
            match self.session.find(ask).await {
                Ok(Some(answer)) => return Ok(Some(standing(&answer.json()?))),
                Ok(None) => return Ok(None),
                Err(ForgeError::Rejected { reason, .. }) if reason.starts_with("HTTP 409") && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Comments that are on no line are listed only among everything that happened, newest first.
    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError> {
        let number = self.number.to_string();
        let path = [&super::api::place(self.repository)[..], &["pull-requests", &number, "activities"]].concat();
        let mut oldest: Option<Text> = None;
        let visit = |activity: Activity| {
            if let Some(text) = activity.comment
                && text.anchor.is_none()
                && text.author.as_ref().is_some_and(|author| author.name == self.author)
                && text.text.contains(marker)
                && oldest.as_ref().is_none_or(|found| text.id < found.id)
            {
                oldest = Some(text);
            }
            ControlFlow::<()>::Continue(())
        };
        self.session.counted(Ask::get(&path), visit).await?;
        Ok(oldest.map(|text| (standing(&text), text.text)))
    }

    async fn create(&self, body: &str) -> Result<Standing, ForgeError> {
        let number = self.number.to_string();
        let path = [&super::api::place(self.repository)[..], &["pull-requests", &number, "comments"]].concat();
        Ok(standing(&self.session.ask(Ask::post(&path, json!({ "text": body }))).await?.json()?))
    }
}
