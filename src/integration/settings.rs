//! What an operator may register of an integration, and which of it each provider takes. Pure.
//!
//! A secret is never a setting: where one is needed its auth reference is, and a refusal never repeats what was written
//! in its place.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::declared::suggest::did_you_mean;
use crate::forge::ForgeKind;
use crate::integration::kind::IntegrationProvider;
use crate::provider::docker::DockerHost;
use crate::secret::AuthRef;

/// Why a registration is refused: where, what was expected, what to do. Holds no value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct InvalidIntegration {
    /// Which part of the registration (`endpoint`, `settings.app_id`).
    pub place: String,
    /// What was expected, and what to do.
    pub why: String,
}

fn invalid(place: impl Into<String>, why: impl Into<String>) -> InvalidIntegration {
    InvalidIntegration { place: place.into(), why: why.into() }
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Any text of one line.
    Text,
    /// A GitHub App's id (digits) or client id.
    AppId,
    /// A repository of a registry.
    Repository,
    /// `true` or `false`.
    Flag,
    /// Hosts, separated by commas.
    Hosts,
    /// An auth reference.
    Reference,
    /// `healthy`, `degraded` or `unhealthy`.
    Health,
    /// What the docker provider's setting of the same name holds.
    Docker,
}

/// Speaks `http://` with credentials to another machine.
pub const ALLOW_UNENCRYPTED: &str = "allow_unencrypted";
/// Hosts with addresses that are not public to which a forge may send.
pub const ALLOWED_HOSTS: &str = "allowed_hosts";
/// The id of the GitHub App as which one signs in; the credential is then its private key.
pub const APP_ID: &str = "app_id";
/// Who logs in, where a password alone does not say it.
pub const USERNAME: &str = "username";
/// Hosts besides the registry's own site that may be asked for its tokens.
pub const TOKEN_HOSTS: &str = "token_hosts";
/// A repository of the registry that a connection test reads.
pub const TEST_REPOSITORY: &str = "test_repository";
/// The auth reference of the secret that an App's or an organisation's webhook is signed with.
pub const WEBHOOK_SECRET: &str = "webhook_secret";
/// The health that a `memory` integration reports.
pub const HEALTH: &str = "health";

/// The settings that a provider takes. A new setting is one line here and one in docs/integrations.md.
fn known(provider: IntegrationProvider) -> &'static [(&'static str, Holds)] {
    match provider {
        IntegrationProvider::Forge(ForgeKind::Github) => &[
            (ALLOW_UNENCRYPTED, Holds::Flag),
            (ALLOWED_HOSTS, Holds::Hosts),
            (APP_ID, Holds::AppId),
            (WEBHOOK_SECRET, Holds::Reference),
        ],
        IntegrationProvider::Forge(ForgeKind::Bitbucket | ForgeKind::BitbucketServer) => {
            &[(ALLOW_UNENCRYPTED, Holds::Flag), (ALLOWED_HOSTS, Holds::Hosts), (USERNAME, Holds::Text)]
        }
        IntegrationProvider::Forge(ForgeKind::Gitlab | ForgeKind::Gitea | ForgeKind::Forgejo) => {
            &[(ALLOW_UNENCRYPTED, Holds::Flag), (ALLOWED_HOSTS, Holds::Hosts)]
        }
        IntegrationProvider::Harbor | IntegrationProvider::Oci => &[
            (ALLOW_UNENCRYPTED, Holds::Flag),
            (TEST_REPOSITORY, Holds::Repository),
            (TOKEN_HOSTS, Holds::Hosts),
            (USERNAME, Holds::Text),
        ],
        IntegrationProvider::DockerHost => &[
            ("ssh", Holds::Docker),
            ("timeout", Holds::Docker),
            ("tls_ca", Holds::Docker),
            ("tls_cert", Holds::Docker),
            ("tls_key", Holds::Docker),
        ],
        IntegrationProvider::Memory => &[(HEALTH, Holds::Health)],
    }
}

/// The names of the settings that a provider takes, sorted.
pub fn keys(provider: IntegrationProvider) -> Vec<&'static str> {
    known(provider).iter().map(|(key, _)| *key).collect()
}

/// Checks settings against what the provider takes, and what goes together.
///
/// # Errors
/// The first setting that does not do.
pub fn check(
    provider: IntegrationProvider,
    endpoint: &str,
    auth: Option<&AuthRef>,
    settings: &BTreeMap<String, String>,
) -> Result<(), InvalidIntegration> {
    let known = known(provider);
    for (key, value) in settings {
        let place = || format!("settings.{}", key.chars().take(64).collect::<String>());
        let Some((_, holds)) = known.iter().find(|(name, _)| name == key) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(invalid(place(), format!("{provider} has no such setting; {}", did_you_mean(key, &names))));
        };
        holds.check(value).map_err(|expected| invalid(place(), expected))?;
    }
    if settings.contains_key(APP_ID) && auth.is_none() {
        return Err(invalid("auth", "an App logs in with its private key: give its auth reference"));
    }
    if is_registry(provider) && settings.contains_key(USERNAME) != auth.is_some() {
        return Err(invalid(
            "settings.username",
            "a registry's user name and the auth reference of its password go together: give both or none",
        ));
    }
    match provider {
        IntegrationProvider::DockerHost => {
            DockerHost::check(endpoint, settings).map_err(|why| invalid("settings", why))
        }
        IntegrationProvider::Memory => Ok(()),
        IntegrationProvider::Forge(_) | IntegrationProvider::Harbor | IntegrationProvider::Oci => {
            encrypted(endpoint, auth, settings)
        }
    }
}

fn is_registry(provider: IntegrationProvider) -> bool {
    matches!(provider, IntegrationProvider::Harbor | IntegrationProvider::Oci)
}

/// Credentials cross a network encrypted, unless the operator says otherwise.
fn encrypted(
    endpoint: &str,
    auth: Option<&AuthRef>,
    settings: &BTreeMap<String, String>,
) -> Result<(), InvalidIntegration> {
    let plain = endpoint.starts_with("http://") && !host_of(endpoint).is_some_and(is_loopback);
    if plain && auth.is_some() && settings.get(ALLOW_UNENCRYPTED).map(String::as_str) != Some("true") {
        return Err(invalid(
            "endpoint",
            "the credentials would cross the network unencrypted: use https://, or set allow_unencrypted=true where the network itself is trusted",
        ));
    }
    Ok(())
}

impl Holds {
    fn check(self, value: &str) -> Result<(), String> {
        let expected = |good: bool, what: &str| if good { Ok(()) } else { Err(format!("expected {what}")) };
        let short = !value.is_empty() && value.len() <= 1024 && !value.chars().any(char::is_control);
        match self {
            Holds::Text | Holds::Docker => expected(short, "a text of one line, at most 1024 characters"),
            Holds::AppId => expected(
                (1..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'),
                "an App's id or client id, as GitHub shows it in the App's settings",
            ),
            Holds::Repository => {
                expected(is_repository(value), "a repository of the registry, such as shop/web, without a tag")
            }
            Holds::Flag => expected(matches!(value, "true" | "false"), "true or false"),
            Holds::Hosts => expected(
                value.len() <= 1024 && value.split(',').all(|host| is_host(host.trim())),
                "hosts, separated by commas: auth.acme.dev or auth.acme.dev:8443, without a scheme",
            ),
            Holds::Reference => value.parse::<AuthRef>().map(drop).map_err(|error| error.to_string()),
            Holds::Health => {
                expected(matches!(value, "healthy" | "degraded" | "unhealthy"), "healthy, degraded or unhealthy")
            }
        }
    }
}

/// The specification's grammar of names, which holds nothing that means something in a URL.
fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        part.bytes().all(|b| inner(b) || b"_.-".contains(&b))
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    };
    (1..=255).contains(&text.len()) && text.split('/').all(part)
}

fn is_host(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(letters)
}

/// An endpoint in normal form: lower-case scheme and host, no slash at its end, no credentials, query or fragment.
///
/// # Errors
/// What the provider's endpoint looks like; never repeats the text, which may hold a password.
pub fn endpoint(provider: IntegrationProvider, text: &str) -> Result<String, InvalidIntegration> {
    let text = text.trim();
    match provider {
        IntegrationProvider::DockerHost => {
            DockerHost::check(text, &BTreeMap::new()).map_err(|why| invalid("endpoint", why))?;
            Ok(text.to_owned())
        }
        IntegrationProvider::Memory => match text {
            "memory:" => Ok(text.to_owned()),
            _ => Err(invalid("endpoint", "an integration in memory is nowhere: leave the endpoint out")),
        },
        IntegrationProvider::Forge(_) => url(text, "https://git.acme.dev"),
        IntegrationProvider::Harbor | IntegrationProvider::Oci => {
            let normal = url(text, "https://registry.acme.dev")?;
            match normal.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
                true => Err(invalid("endpoint", "a registry is a host, without a path: https://registry.acme.dev")),
                false => Ok(normal),
            }
        }
    }
}

fn url(text: &str, example: &str) -> Result<String, InvalidIntegration> {
    let form = || invalid("endpoint", format!("write a URL like {example} (http:// where there is no TLS)"));
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") || text.len() > 1024 {
        return Err(form());
    }
    if rest.contains('@') {
        return Err(invalid(
            "endpoint",
            "it holds a user name or password: leave that out, and give --auth a reference",
        ));
    }
    let rest = rest.trim_end_matches('/');
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\');
    if !is_host(authority) || path.contains(odd) || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(form());
    }
    let authority = authority.to_ascii_lowercase();
    Ok(if path.is_empty() { format!("{scheme}://{authority}") } else { format!("{scheme}://{authority}/{path}") })
}

/// The host of an endpoint in normal form, without its port.
pub fn host_of(endpoint: &str) -> Option<&str> {
    let rest = endpoint.split_once("://")?.1;
    let authority = rest.split('/').next()?;
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => Some(v6),
        None => authority.split(':').next().filter(|host| !host.is_empty()),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{check, endpoint, host_of, keys};
    use crate::integration::kind::IntegrationProvider;

    fn provider(word: &str) -> IntegrationProvider {
        word.parse().expect("a provider")
    }

    fn refused(word: &str, at: &str, auth: Option<&str>, settings: &[(&str, &str)]) -> String {
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let auth = auth.map(|auth| auth.parse().expect("a reference"));
        check(provider(word), at, auth.as_ref(), &settings)
            .map_or_else(|error| error.to_string(), |()| "accepted".into())
    }

    #[test]
    fn endpoints_have_one_form() {
        for (word, written, kept) in [
            ("github", "HTTPS://GitHub.com/", "https://github.com"),
            ("gitlab", "https://git.acme.dev:8443/gitlab/", "https://git.acme.dev:8443/gitlab"),
            ("oci", "http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("docker_host", "unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("memory", "memory:", "memory:"),
        ] {
            assert_eq!(endpoint(provider(word), written), Ok(kept.to_owned()));
        }
        for (word, written) in [
            ("github", "github.com"),
            ("github", "ftp://github.com"),
            ("github", "https://"),
            ("github", "https://git hub.com"),
            ("github", "https://github.com/?token=s3cret"),
            ("github", "https://alice:s3cret@github.com"),
            ("oci", "https://registry.acme.dev/v2"),
            ("docker_host", "https://acme.dev"),
            ("memory", "https://acme.dev"),
        ] {
            let error = endpoint(provider(word), written).expect_err(written).to_string();
            assert!(!error.contains("s3cret") && error.contains("endpoint: "), "{error}");
        }
        assert_eq!(host_of("https://git.acme.dev:8443/x"), Some("git.acme.dev"));
        assert_eq!(host_of("http://[::1]:5000"), Some("::1"));
        assert_eq!(host_of("memory:"), None);
    }

    #[test]
    fn a_value_in_place_of_a_reference_is_refused_and_not_repeated() {
        let said = refused("github", "https://github.com", None, &[("webhook_secret", "hunter2")]);
        assert!(said.contains("settings.webhook_secret: not an auth reference"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn each_provider_takes_its_own_settings() {
        let said = refused("github", "https://github.com", None, &[("app-id", "1")]);
        assert!(said.contains("settings.app-id") && said.contains("did you mean `app_id`?"), "{said}");
        let said = refused("gitlab", "https://gitlab.com", None, &[("app_id", "1")]);
        assert!(said.contains("gitlab has no such setting"), "{said}");
        for (word, at, auth, settings, says) in [
            ("github", "https://github.com", Some("env://K"), &[("app_id", "a b")][..], "client id"),
            ("github", "https://github.com", None, &[("app_id", "1")][..], "private key"),
            ("oci", "https://r.acme.dev", None, &[("test_repository", "a:b")][..], "without a tag"),
            ("oci", "https://r.acme.dev", None, &[("username", "u")][..], "go together"),
            ("oci", "https://r.acme.dev", None, &[("token_hosts", "https://x")][..], "without a scheme"),
            ("oci", "http://r.acme.dev", Some("env://K"), &[("username", "u")][..], "unencrypted"),
            ("docker_host", "unix:///x", None, &[("tls_ca", "/ca.pem")][..], "go together"),
            ("memory", "memory:", None, &[("health", "fine")][..], "healthy, degraded or unhealthy"),
        ] {
            let said = refused(word, at, auth, settings);
            assert!(said.contains(says), "{word} {settings:?}: {said}");
        }
        for (word, at, auth, settings) in [
            ("github", "https://github.com", Some("env://K"), &[("app_id", "1")][..]),
            ("oci", "http://127.0.0.1:5000", Some("env://K"), &[("username", "u")][..]),
            ("oci", "http://r.acme.dev", Some("env://K"), &[("username", "u"), ("allow_unencrypted", "true")][..]),
            ("docker_host", "tcp://web1:2376", None, &[("timeout", "5s")][..]),
            ("memory", "memory:", None, &[("health", "degraded")][..]),
        ] {
            assert_eq!(refused(word, at, auth, settings), "accepted", "{word} {settings:?}");
        }
    }

    #[test]
    fn settings_are_listed_in_order() {
        for provider in IntegrationProvider::ALL {
            let keys = keys(provider);
            assert!(keys.is_sorted(), "{provider}: {keys:?}");
        }
    }
}
