//! Signing in as a GitHub App: a JWT (RS256) signed with the App's key buys an installation's token, which is kept until
//! shortly before it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::credential::{Authorize, Header, authorization, resolve};
use crate::forge::session::{Api, Ask};
use crate::forge::{ForgeError, RepositoryPath};
use crate::secret::{AuthRef, Secrets};

/// How long before its end a token is no longer used.
const MARGIN: SignedDuration = SignedDuration::from_secs(300);

/// The App itself: signs what proves that it is the App.
pub(super) struct Signer {
    pub(super) app_id: String,
    pub(super) private_key: AuthRef,
    pub(super) secrets: Secrets,
}

#[async_trait]
impl Authorize for Signer {
    async fn header(&self, _: Option<&RepositoryPath>, operation: &str) -> Result<Header, ForgeError> {
        let key = resolve(&self.secrets, &self.private_key, operation).await?;
        let token = jwt(&self.app_id, &key, Timestamp::now())
            .map_err(|reason| ForgeError::rejected(operation, format!("{}: {reason}", self.private_key)))?;
        authorization(&format!("Bearer {token}"), operation)
    }

    async fn refused(&self, _: Option<&RepositoryPath>) -> bool {
        false
    }
}

/// A JWT that proves to GitHub, for nine minutes, that its bearer is the App. It begins a minute ago, as GitHub's clock
/// may be behind.
fn jwt(app_id: &str, private_key: &SecretString, now: Timestamp) -> Result<String, &'static str> {
    let key = PrivateKeyDer::from_pem_slice(private_key.expose_secret().as_bytes())
        .map_err(|_| "this is no private key in PEM form (the file that GitHub lets you download once)")?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err("this is no RSA key; GitHub Apps have RSA keys"),
    };
    let pair = pair.map_err(|_| "this is no RSA key of 2048 bits or more")?;
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let claims = json!({"iat": now.as_second() - 60, "exp": now.as_second() + 540, "iss": app_id});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "the key cannot sign")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

struct Token {
    value: SecretString,
    expires: Timestamp,
}

#[derive(Default)]
struct Known {
    /// Which installation serves a repository.
    installations: HashMap<RepositoryPath, u64>,
    tokens: HashMap<u64, Token>,
}

/// Signs in as the App's installation in a repository.
pub(super) struct Installations {
    /// The API, signed in to as the App itself.
    pub(super) app: Arc<Api>,
    known: Mutex<Known>,
    /// One purchase at a time: those who wait find the token there.
    buying: tokio::sync::Mutex<()>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    #[serde(default)]
    suspended_at: Option<String>,
}

#[derive(Deserialize)]
struct AccessToken {
    token: SecretString,
    expires_at: Timestamp,
}

impl Installations {
    pub(super) fn new(app: Arc<Api>) -> Self {
        Installations { app, known: Mutex::default(), buying: tokio::sync::Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, repository: &RepositoryPath, operation: &str) -> Option<Result<Header, ForgeError>> {
        let known = self.known();
        let token = known.tokens.get(known.installations.get(repository)?)?;
        let lasts = token.expires.duration_since(Timestamp::now()) > MARGIN;
        lasts.then(|| bearer(&token.value, operation))
    }

    /// Buys a token and keeps it.
    async fn buy(&self, repository: &RepositoryPath) -> Result<SecretString, ForgeError> {
        let session = self.app.begin(Some(repository), "sign in as the App in").await?;
        let known = self.known().installations.get(repository).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let ask = Ask::get(&["repos", repository.owner(), repository.name(), "installation"]);
                let Some(answer) = session.find(ask).await? else {
                    let reason = "the App is not installed there: install it in the repository's or owner's settings";
                    return Err(ForgeError::Forbidden { operation: session.operation, reason: reason.into() });
                };
                let installation: Installation = answer.json()?;
                if installation.suspended_at.is_some() {
                    let reason = "the App's installation is suspended".to_owned();
                    return Err(ForgeError::Forbidden { operation: session.operation, reason });
                }
                installation.id
            }
        };
        let path = ["app", "installations", &id.to_string(), "access_tokens"];
        let bought = session.ask(Ask::post(&path, json!({}))).await;
        if matches!(bought, Err(ForgeError::NotFound { .. })) {
            // It was removed and perhaps made anew, under another id.
            self.known().installations.remove(repository);
        }
        let token: AccessToken = bought?.json()?;
        let mut known = self.known();
        known.installations.insert(repository.clone(), id);
        known.tokens.insert(id, Token { value: token.token.clone(), expires: token.expires_at });
        Ok(token.token)
    }
}

fn bearer(token: &SecretString, operation: &str) -> Result<Header, ForgeError> {
    authorization(&format!("Bearer {}", token.expose_secret()), operation)
}

#[async_trait]
impl Authorize for Installations {
    async fn header(&self, repository: Option<&RepositoryPath>, operation: &str) -> Result<Header, ForgeError> {
        let Some(repository) = repository else {
            return self.app.authorize.header(None, operation).await;
        };
        if let Some(header) = self.cached(repository, operation) {
            return header;
        }
        let _one = self.buying.lock().await;
        if let Some(header) = self.cached(repository, operation) {
            return header;
        }
        bearer(&self.buy(repository).await?, operation)
    }

    async fn refused(&self, repository: Option<&RepositoryPath>) -> bool {
        let Some(repository) = repository else { return false };
        let mut known = self.known();
        match known.installations.remove(repository) {
            Some(id) => known.tokens.remove(&id).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use secrecy::SecretString;
    use serde_json::Value;

    use super::jwt;

    const PKCS1: &str = include_str!("../../../testdata/forge/app-key.pkcs1.pem");
    const PKCS8: &str = include_str!("../../../testdata/forge/app-key.pkcs8.pem");

    #[test]
    fn a_jwt_of_either_form_of_the_key_verifies() {
        let now = "2026-11-21T12:00:00Z".parse().expect("a moment");
        let Ok(PrivateKeyDer::Pkcs1(der)) = PrivateKeyDer::from_pem_slice(PKCS1.as_bytes()) else { panic!("PKCS#1") };
        let pair = ring::signature::RsaKeyPair::from_der(der.secret_pkcs1_der()).expect("a key");
        for pem in [PKCS1, PKCS8] {
            let token = jwt("Iv23abc", &SecretString::from(pem), now).expect("signed");
            let (signed, signature) = token.rsplit_once('.').expect("three parts");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
            public.verify(signed.as_bytes(), &signature).expect("it verifies");
            let (header, claims) = signed.split_once('.').expect("two parts");
            let decoded = |part| URL_SAFE_NO_PAD.decode(part).expect("base64");
            assert_eq!(decoded(header), br#"{"alg":"RS256","typ":"JWT"}"#);
            let claims: Value = serde_json::from_slice(&decoded(claims)).expect("JSON");
            let (iat, exp) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
            assert_eq!(claims["iss"], "Iv23abc");
            assert_eq!((iat, exp), (1_795_262_340, 1_795_262_940));
            assert!(exp - iat <= 600, "GitHub takes ten minutes at most");
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_refused_without_being_repeated() {
        let now = "2026-11-21T12:00:00Z".parse().expect("a moment");
        for text in ["hunter2", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let refused = jwt("1", &SecretString::from(text), now).expect_err("refused");
            assert!(refused.contains("key") && !refused.contains("hunter2"), "{refused}");
        }
    }
}
