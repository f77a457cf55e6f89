//! How a forge is signed in to. Values are resolved when an operation begins and go into one header.

use async_trait::async_trait;
use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::forge::{ForgeError, RepositoryPath};
use crate::secret::{AuthRef, Secrets};

/// How a forge is signed in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgeAuth {
    /// With a token.
    Token(AuthRef),
    /// With a user's name (on Bitbucket Cloud the account's e-mail address) and a token or password.
    Basic {
        /// The name.
        user: String,
        /// The token or password.
        password: AuthRef,
    },
    /// As a GitHub App.
    App {
        /// The App's id or client id.
        app_id: String,
        /// Its private key, PEM.
        private_key: AuthRef,
    },
}

/// A header that signs in.
pub(crate) type Header = (HeaderName, HeaderValue);

/// Whoever provides the header.
#[async_trait]
pub(crate) trait Authorize: Send + Sync {
    /// The header for an operation in a repository. `operation` says what for, for the audit log.
    async fn header(&self, repository: Option<&RepositoryPath>, operation: &str) -> Result<Header, ForgeError>;

    /// The forge refused the header. Returns whether another may be had at once.
    async fn refused(&self, repository: Option<&RepositoryPath>) -> bool;
}

/// A token or a pair, resolved anew for every operation.
pub(crate) struct Static {
    pub(crate) secrets: Secrets,
    /// The word before a token: `Bearer`, `token`.
    pub(crate) scheme: &'static str,
    /// The name that goes with the secret; `None` for a token alone.
    pub(crate) user: Option<String>,
    pub(crate) secret: AuthRef,
}

#[async_trait]
impl Authorize for Static {
    async fn header(&self, _: Option<&RepositoryPath>, operation: &str) -> Result<Header, ForgeError> {
        let secret = resolve(&self.secrets, &self.secret, operation).await?;
        let secret = secret.expose_secret().trim();
        let text = Zeroizing::new(match &self.user {
            None => format!("{} {secret}", self.scheme),
            Some(user) => {
                let pair = Zeroizing::new(format!("{user}:{secret}"));
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
            }
        });
        authorization(&text, operation)
    }

    async fn refused(&self, _: Option<&RepositoryPath>) -> bool {
        false
    }
}

/// The value behind a reference, for an operation.
pub(crate) async fn resolve(
    secrets: &Secrets,
    reference: &AuthRef,
    operation: &str,
) -> Result<SecretString, ForgeError> {
    let resolved = secrets.resolve(reference, operation, "forge").await;
    resolved.map_err(|source| ForgeError::Credential { operation: operation.to_owned(), source })
}

/// An `Authorization` header.
pub(crate) fn authorization(text: &str, operation: &str) -> Result<Header, ForgeError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ForgeError::rejected(operation, "the credential holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}
