//! What a forge holds, whichever it is.

use std::collections::BTreeMap;

use serde_json::Value;
use trueup::forge::api::Permission;

/// Everything a forge holds.
#[derive(Debug, Default)]
pub struct State {
    pub repositories: BTreeMap<String, Repository>,
    last_id: u64,
    /// GitHub's installation tokens that are taken, with what they may do.
    pub tokens: Vec<String>,
    /// How long installation tokens last, in seconds; 3600 where unset.
    pub token_life: Option<i64>,
    /// What an App or token may do, in the forge's words; everything that is needed where unset.
    pub scopes: Option<Vec<String>>,
}

/// A repository.
#[derive(Debug, Default)]
pub struct Repository {
    pub pulls: BTreeMap<u64, Pull>,
    pub texts: Vec<Text>,
    pub statuses: Vec<Status>,
    pub checks: Vec<Check>,
    pub hooks: Vec<Hook>,
    pub permissions: BTreeMap<String, Permission>,
    pub discussions: Vec<Discussion>,
}

/// A pull request.
#[derive(Clone, Debug)]
pub struct Pull {
    pub number: u64,
    pub branch: String,
    /// The head's repository; `None` where it was deleted.
    pub from: Option<String>,
    pub head: String,
    pub base_branch: String,
    pub base: String,
    pub merged: Option<String>,
    pub open: bool,
    pub author: String,
}

/// A comment, or an issue, which has a title.
#[derive(Clone, Debug)]
pub struct Text {
    pub id: u64,
    /// The request that it is on.
    pub pull: Option<u64>,
    pub author: String,
    pub title: String,
    pub body: String,
    pub open: bool,
    pub version: u64,
    pub created: jiff::Timestamp,
    /// When it was written anew last.
    pub updated: jiff::Timestamp,
}

/// An account: what it is called, and the number that stays with it. A text's author is written `alice`, or `alice#99`
/// for whoever took that name after the first one gave it up.
pub fn account(author: &str) -> (&str, u64) {
    match author.split_once('#') {
        Some((name, id)) => (name, id.parse().unwrap()),
        None => (author, author.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)),
    }
}

/// A commit's status, in the forge's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub commit: String,
    pub context: String,
    pub state: String,
    pub description: String,
    pub url: String,
}

/// A check run.
#[derive(Clone, Debug)]
pub struct Check {
    pub id: u64,
    pub commit: String,
    pub name: String,
    pub external_id: String,
    pub status: String,
    pub conclusion: String,
    pub annotations: Vec<Value>,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    pub secret: String,
    pub active: bool,
    pub events: Vec<String>,
    /// The last delivery's status.
    pub last: Option<u16>,
}

/// A discussion on a line.
#[derive(Clone, Debug)]
pub struct Discussion {
    pub id: u64,
    pub note: u64,
    pub pull: u64,
    pub author: String,
    pub path: String,
    pub line: u64,
    pub body: String,
    pub resolved: bool,
}

impl State {
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        1000 + self.last_id
    }

    /// Whether there is an account of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.repositories.values().any(|repository| repository.permissions.contains_key(name))
    }

    pub fn has(&self, scope: &str) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|one| one == scope))
    }
}

impl Repository {
    /// The comments of a request.
    pub fn comments(&self, pull: u64) -> Vec<&Text> {
        self.texts.iter().filter(|text| text.pull == Some(pull)).collect()
    }

    pub fn issues(&self) -> Vec<&Text> {
        self.texts.iter().filter(|text| text.pull.is_none()).collect()
    }

    /// The status of a commit in a context, as it was set last.
    pub fn status(&self, commit: &str, context: &str) -> Option<&Status> {
        self.statuses.iter().rev().find(|status| status.commit == commit && status.context == context)
    }

    pub fn set_status(&mut self, status: Status) {
        self.statuses.push(status);
    }

    pub fn write(&mut self, id: u64, pull: Option<u64>, author: &str, title: String, body: String) -> &mut Text {
        let (author, now) = (author.to_owned(), jiff::Timestamp::now());
        self.texts.push(Text { id, pull, author, title, body, open: true, version: 0, created: now, updated: now });
        self.texts.last_mut().unwrap()
    }

    pub fn text(&mut self, id: &str) -> Option<&mut Text> {
        let id: u64 = id.parse().ok()?;
        self.texts.iter_mut().find(|text| text.id == id)
    }
}
