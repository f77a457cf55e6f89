//! `GET /metrics`

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;

use crate::http::ApiState;
use crate::http::problem::Problem;

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted and timed, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "meta", operation_id = "metrics", responses((status = 200, description = "Prometheus's text format, version 0.0.4.", body = String, content_type = "text/plain"), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    // What waits is looked up when someone asks: in between nobody sees it.
    let now = Timestamp::now();
    let age = |oldest: Option<Timestamp>| {
        oldest.and_then(|at| Duration::try_from(now.duration_since(at)).ok()).unwrap_or_default()
    };
    state.metrics.inbox(state.store.inbox_depth(), age(state.store.inbox_oldest().await?));
    let (waiting, oldest) = state.store.outbox_depth().await?;
    state.metrics.outbox(waiting, age(oldest));
    Ok(([(header::CONTENT_TYPE, TEXT)], state.metrics.render()))
}
