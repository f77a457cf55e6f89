//! The one registry of forges: a kind and its settings → a forge that can be asked. A new forge is one line here.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};

use crate::forge::api::SharedForge;
use crate::forge::credential::{ForgeAuth, Static};
use crate::forge::session::Api;
use crate::forge::{ForgeError, ForgeKind, bitbucket, bitbucket_server, gitea, github, gitlab};
use crate::guarded::{AllowedHosts, GuardSettings, GuardedClient, Resolve, SystemResolver};
use crate::secret::Secrets;

/// What an operator says of a forge.
#[derive(Clone)]
pub struct ForgeSettings {
    /// Which forge.
    pub kind: ForgeKind,
    /// Where people open it: `https://github.com`, `https://git.acme.dev`. The API's own address is taken, too.
    pub endpoint: Url,
    /// How it is signed in to.
    pub auth: ForgeAuth,
    /// Hosts with addresses that are not public to which the forge may redirect; see
    /// [`AllowedHosts::listed`].
    pub allowed_hosts: Vec<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl ForgeSettings {
    /// 20 s a request, the system's resolver, nothing allowed besides the endpoint.
    pub fn new(kind: ForgeKind, endpoint: Url, auth: ForgeAuth) -> Self {
        ForgeSettings {
            kind,
            endpoint,
            auth,
            allowed_hosts: Vec::new(),
            timeout: Duration::from_secs(20),
            resolver: Arc::new(SystemResolver),
        }
    }

    /// A client for the API at `base`.
    pub(crate) fn client(&self, base: &Url) -> Result<GuardedClient, ForgeError> {
        let listed = self.allowed_hosts.iter().map(String::as_str);
        let mut guard = GuardSettings::new(AllowedHosts::none().typed(&self.endpoint).typed(base).listed(listed));
        guard.resolver = Arc::clone(&self.resolver);
        GuardedClient::new(guard).map_err(|error| ForgeError::guarded(self.kind.word(), error))
    }

    /// The API at `base`, signed in to with a token, or with a name and a password.
    pub(crate) fn api(&self, base: Url, scheme: &'static str, secrets: &Secrets) -> Result<Api, ForgeError> {
        let (user, secret) = match self.auth.clone() {
            ForgeAuth::Token(secret) => (None, secret),
            ForgeAuth::Basic { user, password } => (Some(user), password),
            ForgeAuth::App { .. } => return Err(self.wrong_auth("use a token; only GitHub has Apps of this kind")),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Api {
            kind: self.kind,
            client: self.client(&base)?,
            base,
            timeout: self.timeout,
            headers,
            authorize: Arc::new(Static { secrets: secrets.clone(), scheme, user, secret }),
            pace: None,
        })
    }

    /// The URL of a path below the endpoint, which may itself be below a path of its server.
    pub(crate) fn below(&self, path: &str) -> Url {
        let mut base = self.endpoint.clone();
        let own = base.path().trim_end_matches('/').to_owned();
        // Also where the operator typed the API's own URL.
        base.set_path(&format!("{}{path}", own.strip_suffix(path).unwrap_or(&own)));
        base.set_query(None);
        base.set_fragment(None);
        base
    }

    /// The way to sign in is none of this forge's.
    pub(crate) fn wrong_auth(&self, instead: &'static str) -> ForgeError {
        ForgeError::Unsupported { forge: self.kind, what: "be signed in to this way", instead }
    }
}

/// A forge that can be asked. Asks nobody yet.
///
/// # Errors
/// A way to sign in that the forge does not have, or no client.
pub fn connect(settings: &ForgeSettings, secrets: &Secrets) -> Result<SharedForge, ForgeError> {
    Ok(match settings.kind {
        ForgeKind::Github => Arc::new(github::Github::connect(settings, secrets)?),
        ForgeKind::Gitlab => Arc::new(gitlab::Gitlab::connect(settings, secrets)?),
        ForgeKind::Gitea | ForgeKind::Forgejo => Arc::new(gitea::Gitea::connect(settings, secrets)?),
        ForgeKind::Bitbucket => Arc::new(bitbucket::Bitbucket::connect(settings, secrets)?),
        ForgeKind::BitbucketServer => Arc::new(bitbucket_server::BitbucketServer::connect(settings, secrets)?),
    })
}
