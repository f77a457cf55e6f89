//! Webhooks of a repository.

use std::ops::ControlFlow;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use super::api::place;
use crate::forge::api::{Change, Delivery, Upserted, Webhook, WebhookRequest, missing_events};
use crate::forge::session::{Ask, Session};
use crate::forge::{ForgeError, RepositoryPath};

/// What is asked to be told.
const EVENTS: &[&str] = &[
    "repo:refs_changed",
    "repo:modified",
    "pr:opened",
    "pr:from_ref_updated",
    "pr:to_ref_updated",
    "pr:modified",
    "pr:merged",
    "pr:declined",
    "pr:deleted",
    "pr:comment:added",
];

#[derive(Deserialize)]
struct Hook {
    id: u64,
    url: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Deserialize)]
struct Invocation {
    #[serde(default)]
    finish: Option<i64>,
    result: InvocationResult,
}

#[derive(Deserialize)]
struct InvocationResult {
    outcome: String,
    #[serde(default)]
    description: Option<String>,
}

async fn find(session: &Session<'_>, repository: &RepositoryPath, url: &str) -> Result<Option<Hook>, ForgeError> {
    let visit = |hook: Hook| match hook.url == url {
        true => ControlFlow::Break(hook),
        false => ControlFlow::Continue(()),
    };
    // The list is whole: it takes no start and no limit.
    let path = [&place(repository)[..], &["webhooks"]].concat();
    session.whole(Ask::get(&path), visit).await
}

/// Makes the webhook, or puts it right, secret included.
pub(super) async fn upsert(session: &Session<'_>, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
    let content = json!({
        "name": "Trueup",
        "url": request.url,
        "active": true,
        "events": EVENTS,
        "configuration": { "secret": request.secret.expose_secret() },
        "sslVerificationRequired": true,
    });
    let path = [&place(&request.repository)[..], &["webhooks"]].concat();
    let (ask, change) = match find(session, &request.repository, &request.url).await? {
        Some(hook) => (Ask::put(&[&path[..], &[&hook.id.to_string()]].concat(), content), Change::Edited),
        None => (Ask::post(&path, content), Change::Created),
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
    let Some(hook) = find(session, repository, url).await? else { return Ok(None) };
    let id = hook.id.to_string();
    let path = [&place(repository)[..], &["webhooks", &id, "latest"]].concat();
    let last: Option<Invocation> = match session.find(Ask::get(&path)).await? {
        // 204: there was none yet.
        Some(answer) if answer.status.as_u16() != 204 => Some(answer.json()?),
        Some(_) | None => None,
    };
    let last_delivery = last.map(|last| Delivery {
        at: last.finish.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        accepted: last.result.outcome == "SUCCESS",
        detail: last.result.description.unwrap_or(last.result.outcome),
    });
    Ok(Some(Webhook {
        id,
        active: hook.active,
        missing_events: missing_events(EVENTS, |event| hook.events.iter().any(|sent| sent == event)),
        last_delivery,
    }))
}
