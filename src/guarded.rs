//! The one HTTP client for hosts that come from a repository, a payload or a redirect.
//!
//! A host that the operator typed or allowed is asked as it is. Every other is resolved first, refused where its
//! addresses are not public, and connected to at the very addresses that were checked. Redirects are followed by hand,
//! each checked again, and a credential never goes to another origin. Must not know what is asked, or why.

mod address;
mod allowed;
mod error;
mod redirect;
mod resolver;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

pub use address::refusal;
pub use allowed::AllowedHosts;
pub use error::GuardedError;
pub use redirect::{REDIRECTS, Redirects, leaves_host};
pub use resolver::{Resolve, SystemResolver};

use error::shown;
use resolver::ConnectionResolver;

/// What a client is made with.
#[derive(Clone)]
pub struct GuardSettings {
    /// The hosts that the operator typed or allowed.
    pub allowed: AllowedHosts,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// Idle connections kept per host.
    pub idle_per_host: usize,
    /// The `User-Agent`.
    pub user_agent: &'static str,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl GuardSettings {
    /// The system's resolver, 15 s to connect, 8 idle connections per host.
    pub fn new(allowed: AllowedHosts) -> Self {
        GuardSettings {
            allowed,
            connect_timeout: Duration::from_secs(15),
            idle_per_host: 8,
            user_agent: concat!("trueup/", env!("CARGO_PKG_VERSION")),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// One request.
#[derive(Clone)]
pub struct GuardedRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers that every host on the way may see.
    pub headers: HeaderMap,
    /// A header for the first origin only; its value is marked sensitive.
    pub credential: Option<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Option<Bytes>,
}

impl std::fmt::Debug for GuardedRequest {
    /// Headers and body may hold secrets, and so may the URL's query.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedRequest")
            .field("method", &self.method)
            .field("url", &shown(&self.url))
            .finish_non_exhaustive()
    }
}

/// What bounds a request.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Time for all of it, redirects and body included.
    pub time: Duration,
    /// The longest body, in bytes, after decompression.
    pub bytes: usize,
    /// How far redirects are followed.
    pub redirects: Redirects,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct GuardedAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The URL that answered.
    pub url: Url,
    /// Its body.
    pub body: Bytes,
}

/// The client; cheap to clone.
#[derive(Clone)]
pub struct GuardedClient {
    allowed: AllowedHosts,
    /// For what the operator typed or allowed; the environment's proxies apply.
    trusted: Client,
    /// For the rest: public addresses only, and no proxy, which would connect to what it resolved itself.
    checked: Client,
}

impl std::fmt::Debug for GuardedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedClient").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl GuardedClient {
    /// A client.
    ///
    /// # Errors
    /// [`GuardedError::Client`], where the system's certificates cannot be read.
    pub fn new(settings: GuardSettings) -> Result<Self, GuardedError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing this race to another thread is fine: whoever wins installs the same provider.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let build = |public_only: bool| {
            let resolver = ConnectionResolver { inner: Arc::clone(&settings.resolver), public_only };
            let builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(settings.idle_per_host)
                .pool_idle_timeout(Duration::from_secs(90))
                .user_agent(settings.user_agent)
                .dns_resolver(Arc::new(resolver));
            let builder = if public_only { builder.no_proxy() } else { builder };
            builder.build().map_err(|error| GuardedError::Client(error.to_string()))
        };
        Ok(GuardedClient { trusted: build(false)?, checked: build(true)?, allowed: settings.allowed })
    }

    /// Whether a URL may be asked, as far as that shows without asking a name server.
    ///
    /// # Errors
    /// [`GuardedError::Refused`].
    pub fn check(&self, url: &Url) -> Result<(), GuardedError> {
        let refused = |rule: String| Err(GuardedError::Refused { url: shown(url), rule });
        if !matches!(url.scheme(), "http" | "https") {
            return refused("neither http nor https".into());
        }
        if self.allowed.allows(url) {
            return Ok(());
        }
        if url.scheme() != "https" {
            return refused("plain http goes only to hosts that the operator typed or allowed".into());
        }
        // A literal address never meets the resolver.
        let host = url.host_str().unwrap_or_default();
        match host.trim_start_matches('[').trim_end_matches(']').parse().map(|address| (address, refusal(address))) {
            Ok((address, Some(word))) => {
                refused(format!("the address {address} is {word}; if that is meant, add it to the allowed hosts"))
            }
            Ok((_, None)) | Err(_) => Ok(()),
        }
    }

    /// Sends one request and follows nothing. Resolves when the head of the answer is there; the caller bounds the time.
    ///
    /// # Errors
    /// [`GuardedError::Refused`] and [`GuardedError::Unreachable`].
    pub async fn send(&self, request: &GuardedRequest) -> Result<Response, GuardedError> {
        self.check(&request.url)?;
        let client = if self.allowed.allows(&request.url) { &self.trusted } else { &self.checked };
        let mut builder = client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some((name, value)) = &request.credential {
            let mut value = value.clone();
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| GuardedError::of(&request.url, &error))
    }

    /// Sends a request, follows its redirects as far as they may be followed, and reads the whole answer.
    ///
    /// # Errors
    /// [`GuardedError`]. A status of 400 or more is an answer, not an error.
    pub async fn fetch(&self, request: GuardedRequest, bounds: Bounds) -> Result<GuardedAnswer, GuardedError> {
        let url = shown(&request.url);
        match tokio::time::timeout(bounds.time, self.fetch_unbounded(request, bounds)).await {
            Ok(result) => result,
            Err(_) => Err(GuardedError::Timeout { url, after: bounds.time }),
        }
    }

    async fn fetch_unbounded(
        &self,
        mut request: GuardedRequest,
        bounds: Bounds,
    ) -> Result<GuardedAnswer, GuardedError> {
        for _ in 0..=REDIRECTS {
            let response = self.send(&request).await?;
            match redirect_target(&request.url, &response)? {
                None => return read(&request.url, response, bounds.bytes).await,
                Some(target) => follow(&mut request, response.status(), target, bounds.redirects)?,
            }
        }
        Err(GuardedError::Redirect {
            url: shown(&request.url),
            to: request.url.origin().ascii_serialization(),
            rule: "too many redirects in a row",
        })
    }
}

/// Where an answer redirects to; `None` where it is an answer of its own.
///
/// # Errors
/// [`GuardedError::Redirect`], to nowhere.
pub fn redirect_target(from: &Url, response: &Response) -> Result<Option<Url>, GuardedError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    match location.and_then(|location| from.join(location).ok()) {
        Some(target) => Ok(Some(target)),
        None => Err(GuardedError::Redirect { url: shown(from), to: "nowhere".into(), rule: "it has no usable target" }),
    }
}

fn follow(
    request: &mut GuardedRequest,
    status: StatusCode,
    target: Url,
    redirects: Redirects,
) -> Result<(), GuardedError> {
    if let Some(rule) = redirect::refusal(redirects, &request.method, status, &request.url, &target) {
        return Err(GuardedError::Redirect {
            url: shown(&request.url),
            to: target.origin().ascii_serialization(),
            rule,
        });
    }
    if target.origin() != request.url.origin() {
        // Also on the way back: who was in between could have written this target.
        request.credential = None;
    }
    request.url = target;
    Ok(())
}

async fn read(url: &Url, mut response: Response, limit: usize) -> Result<GuardedAnswer, GuardedError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| GuardedError::of(url, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(GuardedError::TooLarge { url: shown(url), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(GuardedAnswer {
        status: response.status(),
        headers: response.headers().clone(),
        url: url.clone(),
        body: body.freeze(),
    })
}
