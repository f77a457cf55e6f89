//! `POST /api/v1/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};

use crate::http::ApiState;
use crate::http::dto::{MintedToken, NewToken};
use crate::http::extract::Body;
use crate::http::gate::{Caller, sha256};
use crate::http::problem::Problem;
use crate::ids::is_dns_label;

/// Tokens begin with this, so that scanners of leaked secrets find them.
const PREFIX: &str = "trueup_";
/// A token's randomness, in bytes.
const TOKEN_BYTES: usize = 32;

/// Mints a token. It is shown this once and kept as its hash only.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "mint_token", request_body = NewToken, responses((status = 201, description = "The token.", body = MintedToken), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn mint(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    Body(NewToken { name, role }): Body<NewToken>,
) -> Result<impl IntoResponse, Problem> {
    if !is_dns_label(&name) {
        return Err(Problem::unprocessable(
            "name: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end",
        ));
    }
    let mut random = [0u8; TOKEN_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| Problem::internal(&NoRandomness))?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let now = Timestamp::now();
    state.audit.allowed(&actor, "token add", &format!("{name} ({})", role.word()), now).await?;
    state.store.add_token(&name, role, sha256(&token), now).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(MintedToken { token })))
}

/// The system gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness for a token")]
struct NoRandomness;
