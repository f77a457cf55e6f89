//! The door's side of the one authorisation gate: who asks, whether they may, and the record of a denial. Every route
//! passes through here; a handler learns who asked from [`Caller`] and from nowhere else.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use super::problem::Problem;
use super::{ApiState, streams};
use crate::authority::{Actor, Operation, authorise};

/// Who asks; allowed to do what the route does.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route without its gate has no caller: it refuses rather than serve.
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| Problem::forbidden("nobody was let in here"))
    }
}

/// What a route's gate is made of.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) state: ApiState,
    pub(super) operation: Operation,
}

/// Lets a request through to its route, or refuses it.
pub(super) async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let target = match request.extensions().get::<MatchedPath>() {
        Some(_) => format!("{} {}", request.method(), request.uri().path()),
        None => request.method().to_string(),
    };
    // Taken out first: a request must not be borrowed while something is waited for.
    let peer = request.extensions().get::<Peer>().cloned();
    let token = bearer(&request);
    let (actor, ended) = match identify(&gate.state, peer, token).await {
        Ok(known) => known,
        Err(problem) => {
            tracing::info!(why = problem.detail, "refused");
            return problem.into_response();
        }
    };
    tracing::Span::current().record("actor", actor.name.as_str());
    if let Err(problem) = allow(&gate.state, &actor, gate.operation, &target).await {
        return problem.into_response();
    }
    request.extensions_mut().insert(Caller(actor));
    let response = next.run(request).await;
    match ended {
        Some(ended) => streams::until(response, ended),
        None => response,
    }
}

/// Allows an operation or denies it, on the record.
pub(super) async fn allow(state: &ApiState, actor: &Actor, operation: Operation, target: &str) -> Result<(), Problem> {
    let Err(denied) = authorise(actor, operation) else { return Ok(()) };
    let target: String = target.chars().take(300).collect();
    state.audit.denied(&denied, &target, Timestamp::now()).await?;
    Err(denied.into())
}

/// Who asks, and what is cancelled when they may not any more.
async fn identify(
    state: &ApiState,
    peer: Option<Peer>,
    token: Option<SecretString>,
) -> Result<(Actor, Option<CancellationToken>), Problem> {
    match peer {
        Some(Peer::Local(Ok(actor))) => Ok((actor, None)),
        Some(Peer::Local(Err(why))) => Err(Problem::forbidden(why)),
        Some(Peer::Remote(_)) => by_token(state, token).await,
        None => Err(Problem::forbidden("it is not known who is there")),
    }
}

fn bearer(request: &Request) -> Option<SecretString> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| SecretString::from(token))
}

async fn by_token(
    state: &ApiState,
    token: Option<SecretString>,
) -> Result<(Actor, Option<CancellationToken>), Problem> {
    let Some(token) = token else {
        return Err(Problem::unauthorized("send a token: `authorization: Bearer TOKEN`; an admin mints them"));
    };
    // The token is compared by its hash only, so that how long the comparison takes tells nothing of the token.
    let hash = sha256(token.expose_secret());
    if let Some(record) = state.store.token_by_hash(hash).await? {
        let ended = state.streams.of(&record.name);
        // Once more, for one that is revoked at this very moment: from here on its end is heard of.
        if state.store.token_by_hash(hash).await?.is_some() {
            return Ok((Actor { name: format!("token {}", record.name), role: record.role }, Some(ended)));
        }
    }
    Err(Problem::unauthorized("the token is not known; it may have been revoked"))
}

/// The hash by which a token is kept.
pub(super) fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}
