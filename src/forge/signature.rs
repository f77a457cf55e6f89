//! Whether a delivery comes from whoever knows the webhook's secret. Pure; the time is handed in.
//!
//! Signatures are computed over the body's bytes as they came, and compared in constant time. Formats: GitHub "Validating
//! webhook deliveries"; GitLab "Webhooks" (secret token, and signing token after the Standard Webhooks specification);
//! Gitea and Forgejo "Webhooks"; Bitbucket "Secure webhooks".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac::{HMAC_SHA256, Key, sign, verify as verify_tag};
use secrecy::{ExposeSecret, SecretString};

use super::headers::Ambiguous;
use super::{ForgeKind, Headers};

/// How far the time of a signed delivery may be from now, either way.
pub const TIMESTAMP_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// What a GitLab signing token begins with; the rest is the key in base64.
const SIGNING_PREFIX: &str = "whsec_";
/// The most signatures of one delivery that are tried: while a key is changed there are two.
const SIGNATURES_MAX: usize = 8;

/// The delivery is not proven. It says no more: whoever sent it learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delivery's signature is missing or wrong")]
pub struct BadSignature;

impl From<Ambiguous> for BadSignature {
    fn from(_: Ambiguous) -> Self {
        BadSignature
    }
}

/// Checks a delivery of `forge` against the webhook's secret. An empty secret proves nothing.
///
/// # Errors
/// [`BadSignature`], whatever is wrong.
pub fn verify(
    forge: ForgeKind,
    secret: &SecretString,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<(), BadSignature> {
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err(BadSignature);
    }
    match forge {
        ForgeKind::Github => hex_signatures(&[("x-hub-signature-256", "sha256=")], secret, headers, body),
        ForgeKind::Gitea | ForgeKind::Forgejo => {
            let known = [("x-forgejo-signature", ""), ("x-gitea-signature", ""), ("x-hub-signature-256", "sha256=")];
            hex_signatures(&known, secret, headers, body)
        }
        ForgeKind::Bitbucket | ForgeKind::BitbucketServer => {
            hex_signatures(&[("x-hub-signature", "sha256=")], secret, headers, body)
        }
        ForgeKind::Gitlab => gitlab(secret, headers, body, now),
    }
}

/// At least one of these headers is there, and every one that is there is right.
fn hex_signatures(known: &[(&str, &str)], secret: &str, headers: &Headers, body: &[u8]) -> Result<(), BadSignature> {
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    let mut proven = false;
    for (name, prefix) in known {
        let Some(value) = headers.one(name)? else { continue };
        let tag = value.strip_prefix(prefix).and_then(hex).ok_or(BadSignature)?;
        verify_tag(&key, body, &tag).map_err(|_| BadSignature)?;
        proven = true;
    }
    if proven { Ok(()) } else { Err(BadSignature) }
}

/// 32 bytes of lower-case hexadecimal digits, no more and no less.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

/// A signing token takes a signature; any other secret takes the token itself, or a signature with its bytes. Whatever
/// came is worked through for either kind, so that the time it takes does not tell which one there is.
fn gitlab(secret: &str, headers: &Headers, body: &[u8], now: Timestamp) -> Result<(), BadSignature> {
    let token = headers.one("x-gitlab-token")?;
    let signing = secret.strip_prefix(SIGNING_PREFIX);
    let key = match signing {
        Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
        None => secret.as_bytes().to_vec(),
    };
    let by_token = token.map(|token| same(secret, token));
    let by_signature = signed(&key, headers, body, now);
    match (signing, by_token) {
        (Some(_), _) if key.is_empty() => Err(BadSignature),
        (None, Some(result)) => result,
        (Some(_), _) | (None, None) => by_signature,
    }
}

/// Compares through a keyed hash, so that neither the length nor the place of a difference can be timed.
fn same(secret: &str, given: &str) -> Result<(), BadSignature> {
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    let expected = sign(&key, secret.as_bytes());
    verify_tag(&key, given.as_bytes(), expected.as_ref()).map_err(|_| BadSignature)
}

/// `webhook-signature`: one of its `v1,BASE64` is the HMAC of `ID.TIMESTAMP.BODY`, and the time is about now.
fn signed(key: &[u8], headers: &Headers, body: &[u8], now: Timestamp) -> Result<(), BadSignature> {
    let given = |name| headers.one(name)?.filter(|value: &&str| !value.is_empty()).ok_or(BadSignature);
    let (id, at, signatures) = (given("webhook-id")?, given("webhook-timestamp")?, given("webhook-signature")?);
    if !at.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadSignature);
    }
    let seconds = at.parse().map_err(|_| BadSignature)?;
    let when = Timestamp::from_second(seconds).map_err(|_| BadSignature)?;
    if now.duration_since(when).abs() > TIMESTAMP_WINDOW {
        return Err(BadSignature);
    }
    let content = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    let key = Key::new(HMAC_SHA256, key);
    let tags =
        signatures.split(' ').take(SIGNATURES_MAX).filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    let mut right = tags.filter(|tag| verify_tag(&key, &content, tag).is_ok());
    right.next().map(drop).ok_or(BadSignature)
}
