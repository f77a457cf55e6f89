//! One registry, spoken to: requests, their authentication, and the answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, StatusCode, Url};
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::challenge::{self, Challenge, HUB};
use super::error::{RegistryError, codes};
use crate::guarded::{
    AllowedHosts, Bounds, GuardSettings, GuardedAnswer, GuardedClient, GuardedError, GuardedRequest, Redirects,
};
use crate::live::image::{ContentDigest, DEFAULT_REGISTRY};

/// The largest answer that is read, in bytes (the specification's bound on manifests).
const BODY_BYTES_MAX: usize = 4 << 20;
/// The most tags of one repository that are listed.
pub const TAGS_MAX: usize = 10_000;
/// Tags that are asked for at a time.
const TAGS_PAGE: usize = 1_000;

/// What manifests may be: indexes first, as a tag's digest is its index's where it has one.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json",
);

/// Where a registry is, and how it may be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPlace {
    /// Its host and port, as image references name it.
    pub host: String,
    /// Whether it is spoken to without TLS.
    pub plain: bool,
    /// Whether the operator named it. What a repository alone names is asked at public addresses only.
    pub typed: bool,
    /// Hosts besides its own site that may be asked for its tokens.
    pub token_hosts: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
}

/// One registry, as someone may use it.
pub struct RegistryClient {
    http: GuardedClient,
    base: Url,
    place: RegistryPlace,
    login: Option<Login>,
    limit: Duration,
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClient").field("place", &self.place).finish_non_exhaustive()
    }
}

type Credential = (HeaderName, HeaderValue);

impl RegistryClient {
    /// A client; nothing is connected to yet. `limit` bounds each request.
    ///
    /// # Errors
    /// A host that is none, or a TLS set-up that fails.
    pub fn new(place: RegistryPlace, login: Option<Login>, limit: Duration) -> Result<Self, RegistryError> {
        let host = if place.host == DEFAULT_REGISTRY { HUB } else { &place.host };
        let scheme = if place.plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|error| RegistryError::Unreachable(format!("{} is no host: {error}", place.host)))?;
        let mut allowed = AllowedHosts::none().listed(place.token_hosts.iter().map(String::as_str));
        if place.typed {
            // The place for its tokens may be another port of the same host.
            allowed = allowed.typed(&base).listed(base.host_str());
        }
        Ok(RegistryClient { http: client(allowed)?, base, place, login, limit })
    }

    /// Whether it is a registry that lets whoever asks in.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn check(&self) -> Result<(), RegistryError> {
        let answer = self.ask(Method::GET, self.base.clone(), None).await?;
        good(answer).map(drop)
    }

    /// The tags of a repository, in the registry's order, at most [`TAGS_MAX`].
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let scope = pull_scope(repository);
        let mut next = Some(self.url(&format!("{repository}/tags/list?n={TAGS_PAGE}"))?);
        let mut tags = Vec::new();
        while let Some(url) = next {
            let answer = good(self.ask(Method::GET, url, Some(&scope)).await?)?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|_| RegistryError::NotARegistry("its list of tags cannot be read"))?;
            let before = tags.len();
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() >= TAGS_MAX {
                tags.truncate(TAGS_MAX);
                break;
            }
            // A page that brings nothing ends the list, whatever it links to.
            next = (tags.len() > before).then(|| self.next_page(&answer)).flatten();
        }
        Ok(tags)
    }

    /// The page that a `Link` header names, if it is of this registry: the header is the registry's, the host need not be.
    fn next_page(&self, answer: &GuardedAnswer) -> Option<Url> {
        let link = answer.headers.get(LINK)?.to_str().ok()?;
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
        let url = answer.url.join(target).ok()?;
        (next && url.origin() == self.base.origin()).then_some(url)
    }

    /// The digest of what a tag (or a digest) names: of its index, where it has one.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn digest(&self, repository: &str, reference: &str) -> Result<ContentDigest, RegistryError> {
        let scope = pull_scope(repository);
        let url = self.url(&format!("{repository}/manifests/{reference}"))?;
        let answer = good(self.ask(Method::HEAD, url.clone(), Some(&scope)).await?)?;
        let told = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(told) = told.and_then(|told| told.parse().ok()) {
            return Ok(told);
        }
        // Saying the digest is the registry's choice; it is the hash of what it sends.
        let answer = good(self.ask(Method::GET, url, Some(&scope)).await?)?;
        let hash: String = digest(&SHA256, &answer.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hash}").parse().map_err(|_| RegistryError::NotARegistry("its digest is none"))
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|_| RegistryError::Missing)
    }

    /// Asks, answering one challenge on the way.
    async fn ask(&self, method: Method, url: Url, scope: Option<&str>) -> Result<GuardedAnswer, RegistryError> {
        let first = self.send(&method, url.clone(), None).await?;
        // Whoever it was redirected to is asked nothing in return.
        let ours = first.url.origin() == self.base.origin();
        if first.status != StatusCode::UNAUTHORIZED || !ours {
            return Ok(first);
        }
        let headers = first.headers.get_all(WWW_AUTHENTICATE).iter();
        let challenge = headers.filter_map(|value| value.to_str().ok()).find_map(challenge::parse);
        let credential = match (challenge, &self.login) {
            (Some(Challenge::Bearer { realm, service, scope: asked }), _) => {
                self.token(&realm, service.as_deref(), asked.as_deref().or(scope)).await?
            }
            (Some(Challenge::Basic), Some(login)) => basic(login)?,
            (Some(Challenge::Basic), None) => return Err(RegistryError::Denied { with_login: false }),
            (None, _) => return Err(RegistryError::NotARegistry("it asks for credentials in a way that is not known")),
        };
        let second = self.send(&method, url, Some(credential)).await?;
        match second.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(RegistryError::Denied { with_login: self.login.is_some() })
            }
            _ => Ok(second),
        }
    }

    /// A token of the realm that the registry named.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Credential, RegistryError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<SecretString>,
            access_token: Option<SecretString>,
        }
        let mut url = Url::parse(realm).map_err(|_| RegistryError::NotARegistry("its place for tokens is no URL"))?;
        if !challenge::may_ask(&self.base, &url, &self.place.token_hosts) {
            let host = url.host_str().unwrap_or("no host").chars().take(120).collect();
            return Err(RegistryError::ForeignRealm { host });
        }
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(scope.map(|scope| ("scope", scope)));
        let credential = self.login.as_ref().map(basic).transpose()?;
        let answer = self.send(&Method::GET, url, credential).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(RegistryError::Denied { with_login: self.login.is_some() });
        }
        let answer = good(answer)?;
        let none = || RegistryError::NotARegistry("its place for tokens gives none");
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| none())?;
        let token = token.token.or(token.access_token).ok_or_else(none)?;
        header(&Zeroizing::new(format!("Bearer {}", token.expose_secret())))
    }

    async fn send(
        &self,
        method: &Method,
        url: Url,
        credential: Option<Credential>,
    ) -> Result<GuardedAnswer, RegistryError> {
        send(&self.http, method, url, credential, self.limit).await
    }
}

/// `GET`s JSON that takes no credentials, beside a registry's own API, at a URL that the operator typed.
///
/// # Errors
/// [`RegistryError`].
pub async fn fetch_json<T: DeserializeOwned>(url: &str, limit: Duration) -> Result<T, RegistryError> {
    let url = Url::parse(url).map_err(|_| RegistryError::NotARegistry("that is no URL"))?;
    let http = client(AllowedHosts::none().typed(&url))?;
    let answer = good(send(&http, &Method::GET, url, None, limit).await?)?;
    serde_json::from_slice(&answer.body).map_err(|_| RegistryError::NotARegistry("its answer cannot be read"))
}

fn client(allowed: AllowedHosts) -> Result<GuardedClient, RegistryError> {
    GuardedClient::new(GuardSettings::new(allowed)).map_err(|error| RegistryError::Unreachable(error.to_string()))
}

/// Redirects are followed to wherever may be asked, and the credential stays behind.
async fn send(
    http: &GuardedClient,
    method: &Method,
    url: Url,
    credential: Option<Credential>,
    limit: Duration,
) -> Result<GuardedAnswer, RegistryError> {
    let headers = HeaderMap::from_iter([(ACCEPT, MANIFESTS)]);
    let request = GuardedRequest { method: method.clone(), url, headers, credential, body: None::<Bytes> };
    let bounds = Bounds { time: limit, bytes: BODY_BYTES_MAX, redirects: Redirects::Checked };
    http.fetch(request, bounds).await.map_err(|error| match error {
        GuardedError::Refused { rule, .. } => RegistryError::NotPublic(rule),
        GuardedError::Unreachable { reason, .. } => RegistryError::Unreachable(reason),
        GuardedError::Timeout { after, .. } => {
            RegistryError::Unreachable(format!("it did not answer within {} s", after.as_secs()))
        }
        GuardedError::Redirect { .. } | GuardedError::TooLarge { .. } | GuardedError::Client(_) => {
            RegistryError::Unreachable(error.to_string())
        }
    })
}

fn basic(login: &Login) -> Result<Credential, RegistryError> {
    let pair = Zeroizing::new(format!("{}:{}", login.username, login.password.expose_secret()));
    header(&Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
}

fn header(text: &str) -> Result<Credential, RegistryError> {
    let value = HeaderValue::from_str(text)
        .map_err(|_| RegistryError::NotARegistry("the credential cannot be sent in a header"))?;
    Ok((AUTHORIZATION, value))
}

/// The answer, if it is a good one.
fn good(answer: GuardedAnswer) -> Result<GuardedAnswer, RegistryError> {
    match answer.status {
        status if status.is_success() => Ok(answer),
        StatusCode::NOT_FOUND => Err(RegistryError::Missing),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied { with_login: false }),
        StatusCode::TOO_MANY_REQUESTS => {
            let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Err(RegistryError::RateLimited { retry_after: after })
        }
        status => {
            let media = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
            let codes = if media.starts_with(b"application/json") { codes(&answer.body) } else { String::new() };
            Err(RegistryError::Answered { status: status.as_u16(), codes })
        }
    }
}

fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}
