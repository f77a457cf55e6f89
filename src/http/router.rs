//! The one route table: every path, its handler, and what its caller must be allowed to do.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::FutureExt;
use tracing::Instrument;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::api::{
    audit, deliveries, environments, events, integrations, meta, metrics as counts, outbox, plans, projects, pulls,
    refresh, runs, services, status, tokens,
};
use super::gate::{Gate, pass};
use super::problem::Problem;
use super::{ApiState, openapi, webhook};
use crate::authority::Operation;

/// How long a reply may take to begin. Longer than what a plan may wait for a Git host and several registries.
const REPLY_TIMEOUT: Duration = Duration::from_secs(170);

/// Makes a route with its description, which takes far more memory than the route: one is made at a time.
type Route = fn() -> UtoipaMethodRouter<ApiState>;

/// A route and what its caller must be allowed to do.
type Guarded = (Operation, Route);

macro_rules! routes {
    ($handler:path) => {
        || utoipa_axum::routes!($handler)
    };
}

fn table() -> Vec<Guarded> {
    use Operation::{Audit, Configure, Read, Refresh, Rollback, Sync, Tokens};
    vec![
        (Read, routes!(meta::health)),
        (Read, routes!(meta::version)),
        (Read, routes!(meta::description)),
        (Read, routes!(projects::list::list)),
        (Configure, routes!(projects::create::create)),
        (Read, routes!(projects::show::show)),
        (Configure, routes!(projects::update::update)),
        (Configure, routes!(projects::remove::remove)),
        (Configure, routes!(projects::webhook::set_up)),
        (Refresh, routes!(projects::check::check)),
        (Read, routes!(environments::list::list)),
        (Configure, routes!(environments::create::create)),
        (Read, routes!(environments::show::show)),
        (Configure, routes!(environments::update::update)),
        (Configure, routes!(environments::remove::remove)),
        (Refresh, routes!(environments::test::test)),
        (Read, routes!(environments::plan::plan)),
        (Sync, routes!(environments::sync::sync)),
        (Rollback, routes!(environments::rollback::rollback)),
        (Refresh, routes!(environments::refresh::refresh)),
        (Read, routes!(environments::why::why)),
        (Read, routes!(environments::runs::runs)),
        (Read, routes!(services::list::list)),
        (Configure, routes!(services::put::put)),
        (Configure, routes!(services::remove::remove)),
        (Read, routes!(services::logs::logs)),
        (Read, routes!(plans::show)),
        (Read, routes!(pulls::show)),
        (Refresh, routes!(pulls::report)),
        (Read, routes!(outbox::list::list)),
        (Read, routes!(outbox::show::show)),
        (Refresh, routes!(outbox::post::post)),
        (Refresh, routes!(refresh::refresh)),
        (Read, routes!(status::status)),
        (Read, routes!(runs::show::show)),
        (Read, routes!(runs::events::events)),
        (Read, routes!(deliveries::list::list)),
        (Read, routes!(deliveries::show::show)),
        (Refresh, routes!(deliveries::replay::replay)),
        (Read, routes!(integrations::list::list)),
        (Configure, routes!(integrations::create::create)),
        (Read, routes!(integrations::show::show)),
        (Configure, routes!(integrations::update::update)),
        (Configure, routes!(integrations::remove::remove)),
        (Refresh, routes!(integrations::test::test)),
        (Configure, routes!(integrations::users::list)),
        (Configure, routes!(integrations::users::put)),
        (Configure, routes!(integrations::users::remove)),
        (Read, routes!(events::events)),
        (Read, routes!(counts::metrics)),
        (Tokens, routes!(tokens::list::list)),
        (Tokens, routes!(tokens::mint::mint)),
        (Tokens, routes!(tokens::revoke::revoke)),
        (Audit, routes!(audit::list)),
    ]
}

/// The whole server.
pub(super) fn build(state: ApiState) -> Router {
    let mut router = Router::new();
    for (operation, route) in table() {
        let gate = Gate { state: state.clone(), operation };
        let (_, paths, methods) = route();
        for path in paths.paths.keys() {
            router = router.route(path, methods.clone().layer(from_fn_with_state(gate.clone(), pass)));
        }
    }
    router
        .merge(hooks())
        .fallback(async || Problem::not_found("there is nothing at this path; docs/api.md lists what there is"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn(watch))
        .with_state(state)
}

/// What takes no token: a delivery is proven by its signature, and by nothing else.
fn hooks() -> Router<ApiState> {
    Router::new()
        .route("/hooks/github", post(webhook::to_github))
        .route("/hooks/{forge}/{project}", post(webhook::to_project))
}

/// The API's description.
pub(super) fn described() -> OpenApi {
    let mut router = OpenApiRouter::<ApiState>::with_openapi(openapi::frame());
    for (operation, route) in table() {
        let (schemas, mut paths, methods) = route();
        openapi::say_role(&mut paths, operation.needs());
        router = router.routes((schemas, paths, methods));
    }
    router.split_for_parts().1
}

/// Bounds, catches and logs each request. Neither bodies nor headers are logged, and of the path only its pattern.
async fn watch(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("(none)".to_owned(), |path| path.as_str().to_owned());
    let (project, environment) = place(&path, request.uri().path());
    let span = tracing::info_span!("request", method = %request.method(), path, project, environment, actor = tracing::field::Empty);
    let begun = Instant::now();
    let answered = AssertUnwindSafe(tokio::time::timeout(REPLY_TIMEOUT, next.run(request))).catch_unwind();
    let response = match answered.instrument(span.clone()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::timeout().into_response(),
        Err(_) => Problem::internal(&Panicked).into_response(),
    };
    let _entered = span.enter();
    tracing::debug!(status = response.status().as_u16(), millis = begun.elapsed().as_millis() as u64, "answered");
    response
}

/// The project and the environment that a path names, where its pattern has them.
fn place<'a>(pattern: &str, path: &'a str) -> (Option<&'a str>, Option<&'a str>) {
    let segment = |name: &str| {
        let position = pattern.split('/').position(|part| part == name)?;
        path.split('/').nth(position)
    };
    (segment("{project}"), segment("{environment}"))
}

/// A handler panicked; the panic itself was reported where it happened.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;
