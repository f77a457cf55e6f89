//! Webhooks of a repository.

use std::ops::ControlFlow;

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::api::{Change, Delivery, Upserted, Webhook, WebhookRequest, missing_events};
use crate::forge::session::{Ask, Session};
use crate::forge::{ForgeError, RepositoryPath};

/// What is asked to be told.
const EVENTS: &[&str] =
    &["push", "create", "delete", "pull_request", "issue_comment", "check_run", "check_suite", "repository"];

#[derive(Deserialize)]
struct Hook {
    id: u64,
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    config: Config,
    #[serde(default)]
    last_response: Option<LastResponse>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    url: Option<String>,
}

#[derive(Deserialize)]
struct LastResponse {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct LastDelivery {
    delivered_at: jiff::Timestamp,
    status: String,
    status_code: u16,
}

async fn find(session: &Session<'_>, repository: &RepositoryPath, url: &str) -> Result<Option<Hook>, ForgeError> {
    let path = ["repos", repository.owner(), repository.name(), "hooks"];
    let visit = |hook: Hook| {
        if hook.config.url.as_deref() == Some(url) { ControlFlow::Break(hook) } else { ControlFlow::Continue(()) }
    };
    session.pages(Ask::get(&path), ("per_page", 100), visit).await
}

/// Makes the webhook, or puts it right: nobody can read whether its secret is still this one, so it is written anew.
pub(super) async fn upsert(session: &Session<'_>, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
    let repository = &request.repository;
    let content = json!({
        "active": true,
        "events": EVENTS,
        "config": {
            "url": request.url,
            "content_type": "json",
            "secret": request.secret.expose_secret(),
            "insecure_ssl": "0",
        },
    });
    let place = ["repos", repository.owner(), repository.name(), "hooks"];
    let (ask, change) = match find(session, repository, &request.url).await? {
        Some(hook) => (Ask::patch(&[&place[..], &[&hook.id.to_string()]].concat(), content), Change::Edited),
        None => {
            let mut content = content;
            content["name"] = Value::from("web");
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
    let Some(hook) = find(session, repository, url).await? else { return Ok(None) };
    let id = hook.id.to_string();
    let path = ["repos", repository.owner(), repository.name(), "hooks", &id, "deliveries"];
    // Older Enterprise servers have no list of deliveries; the hook itself then says what the last one met with.
    let last: Option<LastDelivery> = match session.find(Ask::get(&path).query("per_page", 1)).await? {
        Some(answer) => answer.json::<Vec<LastDelivery>>()?.into_iter().next(),
        None => None,
    };
    let last_delivery = match (last, hook.last_response) {
        (Some(last), _) => Some(Delivery {
            at: Some(last.delivered_at),
            accepted: (200..300).contains(&last.status_code),
            detail: format!("{} {}", last.status_code, last.status),
        }),
        (None, Some(LastResponse { code: Some(code), status, message })) => Some(Delivery {
            at: None,
            accepted: (200..300).contains(&code),
            detail: format!("{code} {}", message.or(status).unwrap_or_default()).trim().to_owned(),
        }),
        (None, _) => None,
    };
    let is_sent = |event: &str| hook.events.iter().any(|sent| sent == event || sent == "*");
    Ok(Some(Webhook { id, active: hook.active, missing_events: missing_events(EVENTS, is_sent), last_delivery }))
}
