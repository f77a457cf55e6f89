//! Webhooks of a repository. Gitea's API does not tell of deliveries.

use std::ops::ControlFlow;

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::api::{Change, Upserted, Webhook, WebhookRequest, missing_events};
use crate::forge::session::{Ask, Session};
use crate::forge::{ForgeError, ForgeKind, RepositoryPath};

/// What is asked to be told: Gitea tells of a request's new commits and of comments on it by events of their own.
const EVENTS: &[&str] = &[
    "push",
    "create",
    "delete",
    "pull_request",
    "pull_request_sync",
    "pull_request_comment",
    "issue_comment",
    "repository",
];

#[derive(Deserialize)]
struct Hook {
    id: u64,
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    url: String,
}

async fn find(session: &Session<'_>, repository: &RepositoryPath, url: &str) -> Result<Option<Hook>, ForgeError> {
    let path = ["repos", repository.owner(), repository.name(), "hooks"];
    let visit = |hook: Hook| match hook.config.url == url {
        true => ControlFlow::Break(hook),
        false => ControlFlow::Continue(()),
    };
    session.pages(Ask::get(&path), ("limit", 50), visit).await
}

/// Makes the webhook, or puts it right, secret included.
pub(super) async fn upsert(
    session: &Session<'_>,
    kind: ForgeKind,
    request: &WebhookRequest,
) -> Result<Upserted, ForgeError> {
    let repository = &request.repository;
    let mut content = json!({
        "active": true,
        "events": EVENTS,
        "config": { "url": request.url, "content_type": "json", "secret": request.secret.expose_secret() },
    });
    let place = ["repos", repository.owner(), repository.name(), "hooks"];
    let (ask, change) = match find(session, repository, &request.url).await? {
        Some(hook) => (Ask::patch(&[&place[..], &[&hook.id.to_string()]].concat(), content), Change::Edited),
        None => {
            content["type"] = Value::from(kind.word());
            (Ask::post(&place, content), Change::Created)
        }
    };
    let hook: Hook = session.ask(ask).await?.json()?;
    Ok(Upserted { id: hook.id.to_string(), url: None, change })
}

/// The webhook with this URL.
pub(super) async fn check(
    session: &Session<'_>,
    repository: &RepositoryPath,
    url: &str,
) -> Result<Option<Webhook>, ForgeError> {
    let hook = find(session, repository, url).await?;
    Ok(hook.map(|hook| Webhook {
        id: hook.id.to_string(),
        active: hook.active,
        missing_events: missing_events(EVENTS, |event| hook.events.iter().any(|sent| sent == event)),
        last_delivery: None,
    }))
}
