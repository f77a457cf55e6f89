//! Git over http(s): one shared client, one POST per question.
//!
//! Redirects are followed by hand, and only within the host that the operator typed: the credential goes nowhere else.
//! The server's first answer (does it speak version 2, under which path) is remembered, so polling is one POST.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use futures_util::TryStreamExt as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::ExposeSecret as _;

use crate::git::advertisement::{Advertisement, LIST_LIMIT};
use crate::git::error::{GitError, quoted};
use crate::git::packets::{Input, PacketReader, root_cause};
use crate::git::url::is_loopback;
use crate::git::{Credential, GitSettings, Remote};
use crate::guarded::{REDIRECTS, leaves_host};

/// The shared client and what is remembered of servers.
#[derive(Debug, Default)]
pub(crate) struct HttpPool {
    client: OnceLock<Client>,
    /// Per mirror key: the base URL under which a server that speaks version 2 answers.
    endpoints: Mutex<HashMap<String, Url>>,
}

/// One repository on one server.
pub(crate) struct HttpPlace<'a> {
    pool: &'a HttpPool,
    settings: &'a GitSettings,
    remote: &'a Remote,
    url: &'a Url,
    key: &'a str,
}

impl HttpPool {
    /// The repository at `url`; refused where plain http is not allowed to its host.
    pub(crate) fn place<'a>(
        &'a self,
        settings: &'a GitSettings,
        remote: &'a Remote,
        url: &'a Url,
        key: &'a str,
    ) -> HttpPlace<'a> {
        HttpPlace { pool: self, settings, remote, url, key }
    }

    /// Forgets a server's answers; returns whether there were any.
    pub(crate) fn forget(&self, key: &str) -> bool {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }

    fn client(&self) -> Result<&Client, GitError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing this race to another thread is fine: whoever wins installs the same provider.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(crate::git::PER_HOST)
            .pool_idle_timeout(Duration::from_secs(90))
            .user_agent(concat!("git/2.0 (trueup ", env!("CARGO_PKG_VERSION"), ")"))
            .build()
            .map_err(|error| GitError::BrokeOff(format!("the HTTP client cannot start: {}", root_cause(&error))))?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Refuses plain http to hosts that are neither this machine nor on the operator's list.
pub(crate) fn check_scheme(settings: &GitSettings, url: &Url) -> Result<(), GitError> {
    let host = url.host_str().unwrap_or_default();
    let allowed = url.scheme() == "https"
        || is_loopback(url)
        || settings.allowed_hosts.iter().any(|entry| entry.eq_ignore_ascii_case(host));
    if allowed {
        return Ok(());
    }
    Err(GitError::NotAllowed {
        url: url.to_string(),
        rule: format!(
            "plain http is only for loopback: use https, or add `{host}` to git.allowed_hosts in trueup.toml"
        ),
    })
}

impl HttpPlace<'_> {
    /// What the server speaks: from memory where it is known to speak version 2.
    pub(crate) async fn advertisement(&self) -> Result<Advertisement, GitError> {
        check_scheme(self.settings, self.url)?;
        if self.known_base().is_some() {
            return Ok(Advertisement::V2);
        }
        let (base, response) = self.discover().await?;
        let mut reader = self.reader(response, LIST_LIMIT);
        let advertisement = Advertisement::read(&mut reader, self.remote.url.as_str()).await?;
        if advertisement == Advertisement::V2 {
            let mut endpoints = self.pool.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            endpoints.insert(self.key.to_owned(), base);
        }
        Ok(advertisement)
    }

    /// Sends a request to `git-upload-pack` and reads the head of its answer. A server that moved is found again once.
    pub(crate) async fn ask(&self, body: Vec<u8>, v2: bool, limit: u64) -> Result<PacketReader, GitError> {
        check_scheme(self.settings, self.url)?;
        let base = match self.known_base() {
            Some(base) => base,
            None => self.discover().await?.0,
        };
        let response = self.post(&base, body.clone(), v2).await?;
        if !response.status().is_redirection() {
            return Ok(self.reader(self.expect(response, "result").await?, limit));
        }
        self.pool.forget(self.key);
        let (base, _) = self.discover().await?;
        let response = self.post(&base, body, v2).await?;
        Ok(self.reader(self.expect(response, "result").await?, limit))
    }

    fn known_base(&self) -> Option<Url> {
        self.pool.endpoints.lock().unwrap_or_else(PoisonError::into_inner).get(self.key).cloned()
    }

    async fn post(&self, base: &Url, body: Vec<u8>, v2: bool) -> Result<Response, GitError> {
        let mut request = self
            .pool
            .client()?
            .post(below(base, "/git-upload-pack"))
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(body);
        if v2 {
            request = request.header("git-protocol", "version=2");
        }
        self.send(request).await
    }

    /// Asks `info/refs`, following redirects within the host, and returns the base URL that answered.
    async fn discover(&self) -> Result<(Url, Response), GitError> {
        let mut url = below(self.url, "/info/refs");
        url.set_query(Some("service=git-upload-pack"));
        for _ in 0..=REDIRECTS {
            let request = self
                .pool
                .client()?
                .get(url.clone())
                .header(ACCEPT, "application/x-git-upload-pack-advertisement")
                .header("git-protocol", "version=2");
            let response = self.send(request).await?;
            if !response.status().is_redirection() {
                let response = self.expect(response, "advertisement").await?;
                return Ok((self.base_of(&url)?, response));
            }
            url = self.redirected(&url, &response)?;
        }
        Err(GitError::Protocol { url: self.remote.url.to_string(), reason: format!("more than {REDIRECTS} redirects") })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, GitError> {
        let request = match &self.remote.credential {
            None => request,
            Some(credential) => {
                let header = format!("Basic {}", basic(credential, self.url));
                let mut value = HeaderValue::from_str(&header).map_err(|_| GitError::Credential {
                    url: self.remote.url.to_string(),
                    rule: "the credential cannot be sent in a header",
                })?;
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
        };
        match tokio::time::timeout(self.settings.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                Err(GitError::Unreachable { url: self.remote.url.to_string(), reason: root_cause(&error) })
            }
            Err(_) => Err(GitError::Timeout { url: self.remote.url.to_string(), after: self.settings.timeout }),
        }
    }

    /// Turns every answer that is not Git's into an error.
    async fn expect(&self, response: Response, kind: &str) -> Result<Response, GitError> {
        let url = self.remote.url.to_string();
        let status = response.status();
        if status != StatusCode::OK {
            self.pool.forget(self.key);
        }
        let reason = format!("HTTP {status}");
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(GitError::Authentication { url, reason }),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(GitError::NoRepository { url }),
            _ => {
                let transient = status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                return Err(GitError::Server { url, reason, transient });
            }
        }
        let wanted = format!("application/x-git-upload-pack-{kind}");
        let found = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if found.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii) == Some(wanted.as_bytes()) {
            return Ok(response);
        }
        self.pool.forget(self.key);
        Err(GitError::Protocol {
            url,
            reason: format!("it answers with `{}`, expected `{wanted}` (is this a repository's URL?)", quoted(found)),
        })
    }

    /// The target of a redirect, where it may be followed.
    fn redirected(&self, from: &Url, response: &Response) -> Result<Url, GitError> {
        let url = self.remote.url.to_string();
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| from.join(location).ok())
            .ok_or_else(|| GitError::Protocol { url: url.clone(), reason: "a redirect to nowhere".into() })?;
        match leaves_host(self.url, &target) {
            None => Ok(target),
            Some(rule) => Err(GitError::Redirect { url, to: target.origin().ascii_serialization(), rule }),
        }
    }

    fn base_of(&self, answered: &Url) -> Result<Url, GitError> {
        let path = answered.path().strip_suffix("/info/refs").ok_or_else(|| GitError::Redirect {
            url: self.remote.url.to_string(),
            to: answered.origin().ascii_serialization(),
            rule: "the target is no repository",
        })?;
        let mut base = answered.clone();
        base.set_path(path);
        base.set_query(None);
        base.set_fragment(None);
        Ok(base)
    }

    fn reader(&self, response: Response, limit: u64) -> PacketReader {
        let stream = response.bytes_stream().map_err(std::io::Error::other);
        let input: Input = Box::pin(tokio_util::io::StreamReader::new(stream));
        PacketReader::new(input, self.remote.url.as_str(), limit, self.settings.timeout)
    }
}

fn below(base: &Url, tail: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{tail}", base.path().trim_end_matches('/')));
    url
}

/// A credential as HTTP's basic authentication carries it (RFC 7617).
pub(crate) fn basic(credential: &Credential, url: &Url) -> String {
    let user = credential.username.as_deref().unwrap_or_else(|| default_user(url));
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", credential.secret.expose_secret()))
}

/// The user name that a forge takes with a token. GitHub, GitLab, Gitea and Forgejo take any; Bitbucket does not.
fn default_user(url: &Url) -> &'static str {
    match url.host_str() {
        Some("bitbucket.org") => "x-token-auth",
        _ => "x-access-token",
    }
}

#[cfg(test)]
mod tests {
    use super::check_scheme;
    use crate::git::GitSettings;

    #[test]
    fn plain_http_is_for_loopback_and_listed_hosts() {
        let mut settings = GitSettings::new("/nowhere".into());
        settings.allowed_hosts = vec!["Intern.acme.dev".into()];
        for (url, allowed) in [
            ("http://127.0.0.1/x", true),
            ("http://[::1]:80/x", true),
            ("http://localhost/x", true),
            ("http://intern.acme.dev/x", true),
            ("https://acme.dev/x", true),
            ("http://acme.dev/x", false),
            ("http://localhost.acme.dev/x", false),
            ("http://10.0.0.1/x", false),
        ] {
            assert_eq!(check_scheme(&settings, &url.parse().unwrap()).is_ok(), allowed, "{url}");
        }
    }
}
