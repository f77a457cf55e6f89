//! Webhooks of a repository. Bitbucket Cloud's API does not tell of deliveries.

use std::ops::ControlFlow;

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use crate::forge::api::{Change, Upserted, Webhook, WebhookRequest, missing_events};
use crate::forge::session::{Ask, Session};
use crate::forge::{ForgeError, RepositoryPath};

/// What is asked to be told.
const EVENTS: &[&str] = &[
    "repo:push",
    "repo:updated",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:comment_created",
];

#[derive(Deserialize)]
struct Hook {
    uuid: String,
    url: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
}

async fn find(session: &Session<'_>, repository: &RepositoryPath, url: &str) -> Result<Option<Hook>, ForgeError> {
    let path = ["repositories", repository.owner(), repository.name(), "hooks"];
    let visit = |hook: Hook| match hook.url == url {
        true => ControlFlow::Break(hook),
        false => ControlFlow::Continue(()),
    };
    session.linked(Ask::get(&path).query("pagelen", 100), visit).await
}

/// Makes the webhook, or puts it right, secret included.
pub(super) async fn upsert(session: &Session<'_>, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
    let repository = &request.repository;
    let content = json!({
        "description": "Trueup",
        "url": request.url,
        "active": true,
        "events": EVENTS,
        "secret": request.secret.expose_secret(),
    });
    let place = ["repositories", repository.owner(), repository.name(), "hooks"];
    let (ask, change) = match find(session, repository, &request.url).await? {
        Some(hook) => (Ask::put(&[&place[..], &[hook.uuid.as_str()]].concat(), content), Change::Edited),
        None => (Ask::post(&place, content), Change::Created),
    };
    let hook: Hook = session.ask(ask).await?.json()?;
    Ok(Upserted { id: hook.uuid, url: None, change })
}

/// The webhook with this URL.
pub(super) async fn check(
    session: &Session<'_>,
    repository: &RepositoryPath,
    url: &str,
) -> Result<Option<Webhook>, ForgeError> {
    let hook = find(session, repository, url).await?;
    Ok(hook.map(|hook| Webhook {
        active: hook.active,
        missing_events: missing_events(EVENTS, |event| hook.events.iter().any(|sent| sent == event)),
        last_delivery: None,
        id: hook.uuid,
    }))
}
