//! What a tag means at its registry now: the index digest, with the operator's credentials, remembered for five minutes.
//!
//! Reads only. Plain HTTP is spoken to loopback and to registries that the operator listed as insecure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;

use super::settings::{DockerSettings, RegistryLogin};
use crate::ids::EnvironmentRef;
use crate::live::image::{ContentDigest, DEFAULT_REGISTRY, ImageRef};
use crate::oci::{Login, RegistryClient, RegistryError, RegistryPlace};
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

/// Whether a registry may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// It may.
    Registry,
    /// What it said lately has to do.
    Nobody,
}

/// What tags were found to mean, each for a while.
#[derive(Default)]
struct Digests(Mutex<BTreeMap<String, (Instant, ContentDigest)>>);

impl Digests {
    fn remembered(&self, key: &str, now: Instant) -> Option<ContentDigest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| now.duration_since(*at) < DIGEST_TTL).map(|(_, digest)| digest.clone())
    }

    fn remember(&self, key: String, digest: ContentDigest, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| now.duration_since(*at) < DIGEST_TTL);
        known.insert(key, (now, digest));
    }
}

/// The registries as one environment may use them.
pub(super) struct Registry {
    environment: EnvironmentRef,
    logins: BTreeMap<String, RegistryLogin>,
    insecure: BTreeSet<String>,
    allowed: BTreeSet<String>,
    token_hosts: BTreeMap<String, Vec<String>>,
    credentials: Arc<dyn Credentials>,
    digests: Digests,
}

impl Registry {
    pub(super) fn new(
        environment: EnvironmentRef,
        settings: &DockerSettings,
        credentials: Arc<dyn Credentials>,
    ) -> Self {
        Registry {
            environment,
            logins: settings.logins.clone(),
            insecure: settings.insecure_registries.clone(),
            allowed: settings.allowed_registries.clone(),
            token_hosts: settings.token_hosts.clone(),
            credentials,
            digests: Digests::default(),
        }
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
    pub(super) async fn digest(&self, image: &ImageRef, ask: Ask) -> Result<ContentDigest, String> {
        let key = image.tagged();
        if let Some(digest) = self.digests.remembered(&key, Instant::now()) {
            return Ok(digest);
        }
        if ask == Ask::Nobody {
            return Err(format!(
                "the daemon is offline by its settings and does not ask {} by itself; `trueup plan` does",
                image.registry
            ));
        }
        let digest = match tokio::time::timeout(LIMIT, self.ask(image)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(format!("the registry {} did not answer within {} s", image.registry, LIMIT.as_secs()));
            }
        };
        self.digests.remember(key, digest.clone(), Instant::now());
        Ok(digest)
    }

    /// Whether the operator named a registry, or it is one of this machine: others, which only a repository names, are
    /// asked at public addresses only.
    fn typed(&self, registry: &str) -> bool {
        self.logins.contains_key(registry)
            || self.insecure.contains(registry)
            || self.allowed.contains(registry)
            || self.token_hosts.contains_key(registry)
            || loopback(registry)
    }

    async fn ask(&self, image: &ImageRef) -> Result<ContentDigest, String> {
        let login = self.login(&image.registry).await?;
        let place = RegistryPlace {
            host: image.registry.to_string(),
            plain: self.insecure.contains(image.registry.as_str()) || loopback(&image.registry),
            typed: self.typed(&image.registry),
            token_hosts: self.token_hosts.get(image.registry.as_str()).cloned().unwrap_or_default(),
        };
        let client = RegistryClient::new(place, login, LIMIT).map_err(|error| explain(image, &error))?;
        let tag = image.tag.as_deref().unwrap_or("latest");
        client.digest(&image.repository, tag).await.map_err(|error| explain(image, &error))
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

/// Why a tag could not be resolved, and what to do.
fn explain(image: &ImageRef, error: &RegistryError) -> String {
    let name = image.familiar();
    let registry = &image.registry;
    match error {
        RegistryError::Missing => format!("the registry {registry} has no {name}; push it, or correct `image`"),
        RegistryError::Denied { .. } => {
            let hub = if registry == DEFAULT_REGISTRY { " (or the image does not exist)" } else { "" };
            format!(
                "the registry {registry} does not let Trueup read {name}{hub}; set registry.{registry}.username and \
                 registry.{registry}.password, or check them"
            )
        }
        RegistryError::ForeignRealm { host } => format!(
            "the registry {registry} names {host} as the place for its tokens, which is not of the same site; if that is \
             right, set registry.{registry}.token_hosts={host}"
        ),
        RegistryError::NotPublic(why) => format!(
            "the registry {registry} is not asked for {name}: {why}; if that registry is meant, set \
             allowed_registries={registry}"
        ),
        RegistryError::Unreachable(why) => format!("the registry {registry} cannot be reached for {name}: {why}"),
        RegistryError::RateLimited { .. } | RegistryError::Answered { .. } | RegistryError::NotARegistry(_) => {
            format!("the registry {registry} could not say what {name} is: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Digests, loopback};
    use crate::live::image::ContentDigest;

    #[test]
    fn a_tags_digest_is_remembered_for_five_minutes() {
        let digest: ContentDigest = format!("sha256:{}", "a".repeat(64)).parse().expect("valid");
        let (digests, then) = (Digests::default(), Instant::now());
        digests.remember("shop/web:1".to_owned(), digest.clone(), then);
        assert_eq!(digests.remembered("shop/web:1", then + Duration::from_secs(299)), Some(digest.clone()));
        assert_eq!(digests.remembered("shop/web:2", then), None);
        assert_eq!(digests.remembered("shop/web:1", then + Duration::from_secs(300)), None, "it is asked for anew");
        // What is past its time takes no room.
        digests.remember("shop/web:2".to_owned(), digest, then + Duration::from_secs(301));
        assert_eq!(digests.0.lock().expect("whole").len(), 1);
    }

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
