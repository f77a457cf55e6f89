//! `POST /hooks/{forge}/{project}` and `POST /hooks/github`: the one door that takes no token.
//!
//! The order of work is the security of it: the size is bounded, the signature is checked over the bytes as they came, the
//! delivery is stored, and then it is answered. Nothing of it is parsed here, and nothing is done about it here.

mod body;
mod secrets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use tokio::sync::Notify;

use super::ApiState;
use super::problem::Problem;
use crate::forge::{ForgeKind, Headers, signature};
use crate::http::webhook::body::{NotRead, Room};
use crate::http::webhook::secrets::HookSecrets;
use crate::ids::{IntegrationName, ProjectName};
use crate::metrics::DeliveryOutcome;
use crate::secret::Secrets;
use crate::store::records::{Accepted, NewDelivery};
use crate::store::{InboxBound, Store, StoreError};

/// What a forge is asked to wait before it delivers again, in seconds.
const RETRY_AFTER: &str = "30";
/// The one thing that is said to whoever proved nothing, whatever they asked for.
const UNPROVEN: &str = "the delivery is not proven: its signature is missing or wrong, or nothing is expected here";

/// How deliveries are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// What may wait to be taken in.
    pub inbox: InboxBound,
}

/// What deliveries are proven with, and who is told of them; cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    max_body_bytes: usize,
    bound: InboxBound,
    secrets: HookSecrets,
    room: Room,
    bell: Arc<InboxBell>,
}

/// Rung when something is in the inbox.
#[derive(Debug, Default)]
pub struct InboxBell {
    rung: Notify,
    again: AtomicBool,
}

impl InboxBell {
    /// Something new is in the inbox.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// Something that was taken before is in the inbox once more.
    pub fn ring_again(&self) {
        self.again.store(true, Ordering::Release);
        self.rung.notify_one();
    }

    /// Waits until it is rung.
    pub async fn heard(&self) {
        self.rung.notified().await;
    }

    /// Whether something taken before is there once more, since this was asked last.
    pub fn is_again(&self) -> bool {
        self.again.swap(false, Ordering::AcqRel)
    }
}

impl Webhooks {
    /// Deliveries are proven with secrets that `secrets` resolves, and the bell is rung for each that was stored.
    pub fn new(store: Store, secrets: Secrets, settings: WebhookSettings, bell: Arc<InboxBell>) -> Self {
        let WebhookSettings { max_body_bytes, inbox: bound } = settings;
        let secrets = HookSecrets::new(store, secrets);
        let room = Room::for_bodies(max_body_bytes);
        Webhooks { inner: Arc::new(Inner { max_body_bytes, bound, secrets, room, bell }) }
    }

    /// A project's or an integration's registration changed: its secret is read anew before the next delivery is looked at.
    pub(super) fn forget_secrets(&self) {
        self.inner.secrets.forget();
    }

    /// A delivery was put back into the inbox.
    pub(super) fn replayed(&self) {
        self.inner.bell.ring_again();
    }
}

/// What the forge is told of a delivery that was taken.
#[derive(Serialize)]
struct Taken {
    /// Its number, as `trueup deliveries` shows it.
    delivery: u64,
}

/// A delivery for one project.
pub(super) async fn to_project(State(state): State<ApiState>, request: Request) -> Response {
    // Taken apart here, as a name that cannot be decoded is answered like one that nobody has.
    let mut parts = request.uri().path().split('/').skip(2);
    let (forge, project) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(forge) = forge.parse::<ForgeKind>() else {
        return Problem::not_found("there is no such forge; docs/webhooks.md lists the routes").into_response();
    };
    let project = project.parse().ok();
    let taken = take(&state, forge, To::Project(project), request).await;
    count(&state, forge, &taken);
    answer(taken)
}

/// A delivery of a GitHub App or organisation, whose repository is found later.
pub(super) async fn to_github(State(state): State<ApiState>, request: Request) -> Response {
    let taken = take(&state, ForgeKind::Github, To::Anyone, request).await;
    count(&state, ForgeKind::Github, &taken);
    answer(taken)
}

/// Whom a delivery is for.
enum To {
    /// A project; `None` where nothing can have that name.
    Project(Option<ProjectName>),
    /// Whoever has the repository.
    Anyone,
}

/// Why a delivery was not taken.
enum Refused {
    Unproven,
    TooLarge(usize),
    Broken(&'static str),
    Full,
    Store(StoreError),
}

async fn take(state: &ApiState, forge: ForgeKind, to: To, request: Request) -> Result<Accepted, Refused> {
    let webhooks = &state.webhooks.inner;
    let (parts, body) = request.into_parts();
    let read = body::read(body, &parts.headers, webhooks.max_body_bytes, &webhooks.room).await;
    // The room is held until the delivery is stored.
    let (body, _room) = read.map_err(|error| match error {
        NotRead::TooLarge => Refused::TooLarge(webhooks.max_body_bytes),
        NotRead::NoRoom => Refused::Full,
        NotRead::Broken(why) => Refused::Broken(why),
    })?;
    let headers = headers_of(&parts.headers);
    let now = Timestamp::now();
    let known = webhooks.secrets.current().await.map_err(Refused::Store)?;
    let proves = |secret| signature::verify(forge, secret, &headers, &body, now).is_ok();
    let (proven, via, project) = match to {
        To::Project(project) => {
            let secret = project.as_ref().and_then(|project| known.of_project(project));
            // Where nothing is expected the same work is done, so that the time it takes tells nobody which projects there are.
            let proven = proves(secret.unwrap_or(known.nobody()));
            (proven && secret.is_some(), BTreeSet::new(), project)
        }
        To::Anyone => {
            // All are tried, whichever proves it: how many there are is all that the time tells.
            let via = known.github().iter().filter(|(_, secret)| proves(secret)).map(|(name, _)| name.clone());
            let via: BTreeSet<IntegrationName> = via.collect();
            (!via.is_empty(), via, None)
        }
    };
    if !proven {
        return Err(Refused::Unproven);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, &body).as_ref());
    let new = NewDelivery {
        forge,
        project,
        via,
        delivery_id: headers.delivery_id(forge),
        sha256,
        headers: headers.describing(),
        body,
        received_at: now,
    };
    // A task of its own: a forge that hangs up amid this must not leave what was stored without its bell.
    let (store, inner) = (state.store.clone(), Arc::clone(&state.webhooks.inner));
    let storing = tokio::spawn(async move {
        let accepted = store.accept_delivery(new, inner.bound).await;
        if let Ok(Accepted::New(_)) = accepted {
            inner.bell.ring();
        }
        accepted
    });
    let stored = storing.await.unwrap_or_else(|error| Err(StoreError::Database(format!("storing broke off: {error}"))));
    match stored {
        Ok(Accepted::Full) | Err(StoreError::Full(_)) => Err(Refused::Full),
        Ok(accepted) => Ok(accepted),
        // Removed since its secret was read.
        Err(StoreError::NotFound(_)) => Err(Refused::Unproven),
        Err(error) => Err(Refused::Store(error)),
    }
}

/// Counts what became of a delivery at the door.
fn count(state: &ApiState, forge: ForgeKind, taken: &Result<Accepted, Refused>) {
    let outcome = match taken {
        Ok(Accepted::New(_)) => DeliveryOutcome::Accepted,
        Ok(Accepted::Duplicate(_)) => DeliveryOutcome::Duplicate,
        Ok(Accepted::Full) | Err(Refused::Full) => DeliveryOutcome::Full,
        Err(Refused::Unproven) => DeliveryOutcome::Refused,
        Err(Refused::TooLarge(_)) => DeliveryOutcome::TooLarge,
        // It did not come whole, or the database broke: the log says so.
        Err(Refused::Broken(_) | Refused::Store(_)) => return,
    };
    state.metrics.delivered(forge, outcome);
}

fn headers_of(all: &HeaderMap) -> Headers {
    Headers::of(all.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn answer(result: Result<Accepted, Refused>) -> Response {
    let taken = |status: StatusCode, delivery| (status, axum::Json(Taken { delivery })).into_response();
    match result {
        Ok(Accepted::New(delivery)) => taken(StatusCode::ACCEPTED, delivery),
        Ok(Accepted::Duplicate(delivery)) => taken(StatusCode::OK, delivery),
        Ok(Accepted::Full) | Err(Refused::Full) => {
            let mut response = Problem::unavailable("too many deliveries wait; deliver again later").into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            response
        }
        Err(Refused::Unproven) => {
            let mut response = Problem::unauthorized(UNPROVEN).into_response();
            // A bearer token would not help here.
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            response
        }
        Err(Refused::TooLarge(most)) => Problem::too_large(most).into_response(),
        Err(Refused::Broken(why)) => Problem::bad_request(why).into_response(),
        Err(Refused::Store(error)) => Problem::from(error).into_response(),
    }
}
