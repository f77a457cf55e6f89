//! What answers, and what it can be asked.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::http::ApiState;
use crate::http::dto::VersionView;
use crate::http::problem::Problem;

/// The API's version.
const API_VERSION: u32 = 1;

/// The description as it was made from the route table; a test keeps the file current.
const DESCRIPTION: &str = include_str!("../../../schema/openapi.json");

/// Whether the daemon answers.
#[utoipa::path(get, path = "/healthz", tag = "meta", responses((status = 200, description = "It does.", body = String, content_type = "text/plain"), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn health(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    // The database is what everything else needs.
    state.store.installation().await?;
    Ok("ok\n")
}

/// Which Trueup answers.
#[utoipa::path(get, path = "/api/v1/version", tag = "meta", responses((status = 200, description = "This one.", body = VersionView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn version(State(state): State<ApiState>) -> Result<Json<VersionView>, Problem> {
    let installation = state.store.installation().await?;
    Ok(Json(VersionView { version: env!("CARGO_PKG_VERSION").into(), api: API_VERSION, installation }))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "meta", responses((status = 200, description = "OpenAPI 3.1.", body = Object), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION)
}
