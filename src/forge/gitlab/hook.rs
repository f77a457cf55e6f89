//! Webhooks of a project.

use std::ops::ControlFlow;

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::api::{Change, Delivery, Upserted, Webhook, WebhookRequest, missing_events};
use crate::forge::session::{Ask, Session};
use crate::forge::{ForgeError, RepositoryPath};

/// What is asked to be told.
const EVENTS: &[&str] = &["push_events", "tag_push_events", "merge_requests_events", "note_events"];

#[derive(Deserialize)]
struct Hook {
    id: u64,
    url: String,
    /// GitLab stops delivering to what failed too often.
    #[serde(default)]
    alert_status: Option<String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    response_status: Value,
}

async fn find(session: &Session<'_>, repository: &RepositoryPath, url: &str) -> Result<Option<Hook>, ForgeError> {
    let visit = |hook: Hook| match hook.url == url {
        true => ControlFlow::Break(hook),
        false => ControlFlow::Continue(()),
    };
    session.pages(Ask::get(&["projects", repository.as_str(), "hooks"]), ("per_page", 100), visit).await
}

/// Makes the webhook, or puts it right, secret included.
pub(super) async fn upsert(session: &Session<'_>, request: &WebhookRequest) -> Result<Upserted, ForgeError> {
    let place = ["projects", request.repository.as_str(), "hooks"];
    let mut content = json!({
        "url": request.url,
        "token": request.secret.expose_secret(),
        "enable_ssl_verification": true,
    });
    for event in EVENTS {
        content[*event] = Value::from(true);
    }
    let (ask, change) = match find(session, &request.repository, &request.url).await? {
        Some(hook) => (Ask::put(&[&place[..], &[&hook.id.to_string()]].concat(), content), Change::Edited),
        None => (Ask::post(&place, content), Change::Created),
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
    let path = ["projects", repository.as_str(), "hooks", &id, "events"];
    // Older servers have no list of deliveries.
    let last: Option<Event> = match session.find(Ask::get(&path).query("per_page", 1)).await? {
        Some(answer) => answer.json::<Vec<Event>>()?.into_iter().next(),
        None => None,
    };
    let last_delivery = last.map(|event| {
        // A number, a number as text, or words such as `internal error`.
        let detail = event.response_status.as_str().map_or_else(|| event.response_status.to_string(), str::to_owned);
        let accepted = detail.parse::<u16>().is_ok_and(|status| (200..300).contains(&status));
        Delivery { at: None, accepted, detail }
    });
    Ok(Some(Webhook {
        id,
        active: hook.alert_status.as_deref().is_none_or(|status| status == "executable"),
        missing_events: missing_events(EVENTS, |event| hook.rest.get(event) == Some(&Value::Bool(true))),
        last_delivery,
    }))
}
