//! What a tag means at its registry now: the index digest, with the operator's credentials, remembered for five minutes.
//!
//! Reads only. Plain HTTP is spoken to loopback and to registries that the operator listed as insecure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use secrecy::{ExposeSecret, SecretString};

use super::engine::bounded;
use super::settings::RegistryLogin;
use crate::ids::EnvironmentRef;
use crate::live::image::{ContentDigest, DEFAULT_REGISTRY, ImageRef};
use crate::secret::{AuthRef, Secrets};

/// How long a tag's digest is remembered.
const DIGEST_TTL: Duration = Duration::from_secs(300);
/// How long one question to a registry may take, logging in included.
const LIMIT: Duration = Duration::from_secs(20);

/// Who turns an auth reference into the secret behind it, and audits that.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The secret. `purpose` says what for (`shop/production: registry.acme.dev`), for the audit log.
    ///
    /// # Errors
    /// Why it cannot be had, and what to do; never the secret.
    async fn password(&self, reference: &AuthRef, purpose: &str) -> Result<SecretString, String>;
}

#[async_trait]
impl Credentials for Secrets {
    async fn password(&self, reference: &AuthRef, purpose: &str) -> Result<SecretString, String> {
        self.resolve(reference, purpose, "docker provider").await.map_err(|error| error.to_string())
    }
}

/// A login whose password was resolved.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: SecretString,
}

type Digests = BTreeMap<String, (Instant, ContentDigest)>;

/// The registries as one environment may use them.
pub(super) struct Registry {
    environment: EnvironmentRef,
    logins: BTreeMap<String, RegistryLogin>,
    insecure: BTreeSet<String>,
    credentials: Arc<dyn Credentials>,
    digests: Mutex<Digests>,
}

impl Registry {
    pub(super) fn new(
        environment: EnvironmentRef,
        logins: BTreeMap<String, RegistryLogin>,
        insecure: BTreeSet<String>,
        credentials: Arc<dyn Credentials>,
    ) -> Self {
        Registry { environment, logins, insecure, credentials, digests: Mutex::default() }
    }

    /// The login for a registry; `None` where the operator set none.
    pub(super) async fn login(&self, host: &str) -> Result<Option<Login>, String> {
        let Some(login) = self.logins.get(host) else { return Ok(None) };
        let password = self
            .credentials
            .password(&login.password, &format!("{}: registry {host}", self.environment))
            .await
            .map_err(|why| format!("the password for the registry {host} cannot be had: {why}"))?;
        Ok(Some(Login { username: login.username.clone(), password }))
    }

    /// The digest that the tag names at its registry.
    pub(super) async fn digest(&self, image: &ImageRef) -> Result<ContentDigest, String> {
        let key = image.tagged();
        if let Some(digest) = self.remembered(&key) {
            return Ok(digest);
        }
        let digest = match tokio::time::timeout(LIMIT, self.ask(image)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(format!("the registry {} did not answer within {} s", image.registry, LIMIT.as_secs()));
            }
        };
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.retain(|_, (at, _)| at.elapsed() < DIGEST_TTL);
        digests.insert(key, (Instant::now(), digest.clone()));
        Ok(digest)
    }

    fn remembered(&self, key: &str) -> Option<ContentDigest> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(key).filter(|(at, _)| at.elapsed() < DIGEST_TTL).map(|(_, digest)| digest.clone())
    }

    async fn ask(&self, image: &ImageRef) -> Result<ContentDigest, String> {
        let auth = match self.login(&image.registry).await? {
            Some(login) => RegistryAuth::Basic(login.username, login.password.expose_secret().to_owned()),
            None => RegistryAuth::Anonymous,
        };
        install_crypto();
        let plain = self.insecure.contains(image.registry.as_str()) || loopback(&image.registry);
        let protocol =
            if plain { ClientProtocol::HttpsExcept(vec![image.registry.to_string()]) } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(LIMIT),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|e| explain(image, &e))?;
        let tag = image.tag.as_deref().unwrap_or("latest");
        let reference = Reference::with_tag(image.registry.to_string(), image.repository.to_string(), tag.to_owned());
        let digest = client.fetch_manifest_digest(&reference, &auth).await.map_err(|e| explain(image, &e))?;
        digest.parse().map_err(|_| format!("the registry {} answered with no sha256 digest", image.registry))
    }
}

/// Registries on this machine, as Docker counts them (`127.0.0.0/8`).
pub(super) fn loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// TLS needs its provider once per process; `main` installs it first thing, other users of the library may not have.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_err()
    {
        tracing::debug!("another thread installed the TLS provider first");
    }
}

/// Why a tag could not be resolved. The client's own texts may quote a registry's answer; none quotes what was sent.
fn explain(image: &ImageRef, error: &OciDistributionError) -> String {
    let name = image.familiar();
    let registry = &image.registry;
    let login = format!("set registry.{registry}.username and registry.{registry}.password, or check them");
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => absent(&name, registry),
        OciDistributionError::RegistryError { envelope, .. }
            if envelope.errors.iter().any(|e| {
                matches!(e.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
            }) =>
        {
            absent(&name, registry)
        }
        OciDistributionError::ServerError { code: 404, .. } => absent(&name, registry),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            let hub = if registry == DEFAULT_REGISTRY { " (or the image does not exist)" } else { "" };
            format!("the registry {registry} does not let Trueup read {name}{hub}; {login}")
        }
        OciDistributionError::ServerError { code, .. } => {
            format!("the registry {registry} answered {code} for {name}")
        }
        OciDistributionError::RequestError(error) => {
            let why =
                if error.is_timeout() { "it did not answer in time".to_owned() } else { bounded(&sources(error)) };
            format!("the registry {registry} cannot be reached for {name}: {why}")
        }
        other => format!("the registry {registry} could not say what {name} is: {}", bounded(&other.to_string())),
    }
}

fn absent(name: &str, registry: &str) -> String {
    format!("the registry {registry} has no {name}; push it, or correct `image`")
}

/// The innermost reasons of a request's failure, without its URL.
fn sources(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(current) = source {
        text = current.to_string();
        source = current.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn loopback_is_what_docker_takes_for_it() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.3.2.1", "[::1]:5000"] {
            assert!(loopback(yes), "{yes}");
        }
        for no in ["docker.io", "localhost.acme.dev", "10.0.0.1:5000", "127.acme.dev"] {
            assert!(!loopback(no), "{no}");
        }
    }
}
