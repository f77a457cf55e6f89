//! What an operator may set on a `docker` environment, parsed once. Pure: reads no file and resolves no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::live::image::{DEFAULT_REGISTRY, ImageRef};
use crate::live::quantity::Millis;
use crate::secret::AuthRef;

/// Why the settings of a `docker` environment are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerSettingsError {
    /// No such setting.
    #[error("`{key}` is not a setting of the docker provider{}; there are {}", did_you_mean(.suggestion), KEYS.join(", "))]
    UnknownKey {
        /// What was written.
        key: String,
        /// The setting that looks most like it.
        suggestion: Option<String>,
    },
    /// The setting exists, its value does not do.
    #[error("the docker setting `{key}`: {why}")]
    Invalid {
        /// The setting.
        key: String,
        /// What was expected. Never repeats the value of a password.
        why: String,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Every setting, as documentation and errors name them.
pub const KEYS: [&str; 13] = [
    "host",
    "timeout",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "ssh",
    "probe_image",
    "network",
    "insecure_registries",
    "allowed_registries",
    "registry.HOST.username",
    "registry.HOST.password",
    "registry.HOST.token_hosts",
];

/// The Engine's usual socket.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long the Engine may take over a read, unless `timeout` says otherwise.
pub const DEFAULT_TIMEOUT: Millis = Millis(20_000);

/// Where the Engine listens, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    /// A Unix socket of this machine.
    Unix(PathBuf),
    /// `host:port` over TCP, with or without TLS.
    Tcp { authority: String, tls: Option<TlsFiles> },
    /// `docker system dial-stdio` on another machine, through the ssh program.
    Ssh { program: String, destination: String, port: Option<u16> },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { authority, .. } => write!(f, "tcp://{authority}"),
            Address::Ssh { destination, port: None, .. } => write!(f, "ssh://{destination}"),
            Address::Ssh { destination, port: Some(port), .. } => write!(f, "ssh://{destination}:{port}"),
        }
    }
}

/// The files of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TlsFiles {
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Who Trueup is at one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegistryLogin {
    pub(super) username: String,
    pub(super) password: AuthRef,
}

/// The settings of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DockerSettings {
    pub(super) address: Address,
    /// How long the Engine may take over a read.
    pub(super) timeout: Duration,
    pub(super) probe_image: Option<ImageRef>,
    pub(super) network: Option<String>,
    pub(super) insecure_registries: BTreeSet<String>,
    /// Registries that may be at addresses which are not public.
    pub(super) allowed_registries: BTreeSet<String>,
    pub(super) logins: BTreeMap<String, RegistryLogin>,
    /// Hosts besides a registry's own site that may be asked for its tokens, by registry.
    pub(super) token_hosts: BTreeMap<String, Vec<String>>,
}

impl DockerSettings {
    pub(super) fn parse(settings: &BTreeMap<String, String>) -> Result<Self, DockerSettingsError> {
        let mut usernames = BTreeMap::new();
        let mut passwords = BTreeMap::new();
        let mut token_hosts = BTreeMap::new();
        for (key, value) in settings {
            if let Some((host, field)) = key.strip_prefix("registry.").and_then(|rest| rest.rsplit_once('.')) {
                match field {
                    "username" => {
                        usernames.insert(registry_host(key, host)?, value.clone());
                        continue;
                    }
                    "password" => {
                        let reference = value.parse::<AuthRef>().map_err(|e| invalid(key, e.to_string()))?;
                        passwords.insert(registry_host(key, host)?, reference);
                        continue;
                    }
                    "token_hosts" => {
                        let hosts: Result<Vec<_>, _> =
                            value.split(',').map(|host| registry_host(key, host.trim())).collect();
                        token_hosts.insert(registry_host(key, host)?, hosts?);
                        continue;
                    }
                    _ => {}
                }
            }
            if !KEYS[..10].contains(&key.as_str()) {
                return Err(unknown(key));
            }
        }
        let text = |key: &str| settings.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
        let network = match text("network") {
            Some(name) if !valid_engine_name(name) => {
                return Err(invalid("network", "expected letters, digits, `_`, `.` and `-`"));
            }
            name => name.map(str::to_owned),
        };
        let probe_image = match text("probe_image") {
            Some(image) => Some(image.parse::<ImageRef>().map_err(|e| invalid("probe_image", e.to_string()))?),
            None => None,
        };
        let hosts = |key: &str| -> Result<BTreeSet<String>, DockerSettingsError> {
            let written = text(key).unwrap_or_default().split(',').map(str::trim).filter(|host| !host.is_empty());
            written.map(|host| registry_host(key, host)).collect()
        };
        Ok(DockerSettings {
            address: address(settings)?,
            timeout: timeout(text("timeout"))?,
            probe_image,
            network,
            insecure_registries: hosts("insecure_registries")?,
            allowed_registries: hosts("allowed_registries")?,
            logins: logins(usernames, passwords)?,
            token_hosts,
        })
    }
}

fn logins(
    usernames: BTreeMap<String, String>,
    mut passwords: BTreeMap<String, AuthRef>,
) -> Result<BTreeMap<String, RegistryLogin>, DockerSettingsError> {
    let mut logins = BTreeMap::new();
    for (host, username) in usernames {
        let Some(password) = passwords.remove(&host) else {
            return Err(invalid(&format!("registry.{host}.username"), format!("set registry.{host}.password too")));
        };
        logins.insert(host, RegistryLogin { username, password });
    }
    match passwords.into_keys().next() {
        Some(host) => Err(invalid(&format!("registry.{host}.password"), format!("set registry.{host}.username too"))),
        None => Ok(logins),
    }
}

fn address(settings: &BTreeMap<String, String>) -> Result<Address, DockerSettingsError> {
    let host = settings.get("host").map_or(DEFAULT_HOST, |host| host.trim());
    let expected = || invalid("host", "expected unix:///path/to/docker.sock, tcp://HOST:PORT or ssh://USER@HOST");
    let tls = tls_files(settings)?;
    if let Some(path) = host.strip_prefix("unix://") {
        if tls.is_some() {
            return Err(invalid("tls_ca", "TLS goes with a tcp:// host only"));
        }
        return path.starts_with('/').then(|| Address::Unix(PathBuf::from(path))).ok_or_else(expected);
    }
    if let Some(authority) = host.strip_prefix("tcp://") {
        let authority = authority.trim_end_matches('/');
        let port = authority.rsplit_once(':').and_then(|(name, port)| (!name.is_empty()).then(|| port.parse::<u16>()));
        if !matches!(port, Some(Ok(_))) || authority.contains(['@', '/', ' ']) {
            return Err(expected());
        }
        return Ok(Address::Tcp { authority: authority.to_owned(), tls });
    }
    if let Some(rest) = host.strip_prefix("ssh://") {
        let (destination, port) = match rest.rsplit_once(':') {
            Some((destination, port)) => (destination, Some(port.parse::<u16>().map_err(|_| expected())?)),
            None => (rest, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
        if destination.is_empty() || destination.starts_with('-') || !destination.chars().all(plain) {
            return Err(expected());
        }
        let program = settings.get("ssh").map_or("ssh", |program| program.trim()).to_owned();
        return Ok(Address::Ssh { program, destination: destination.to_owned(), port });
    }
    Err(expected())
}

fn tls_files(settings: &BTreeMap<String, String>) -> Result<Option<TlsFiles>, DockerSettingsError> {
    let path = |key: &str| settings.get(key).map(PathBuf::from);
    match (path("tls_ca"), path("tls_cert"), path("tls_key")) {
        (None, None, None) => Ok(None),
        (Some(ca), Some(cert), Some(key)) => Ok(Some(TlsFiles { ca, cert, key })),
        (ca, cert, _) => {
            let missing = if ca.is_none() {
                "tls_ca"
            } else if cert.is_none() {
                "tls_cert"
            } else {
                "tls_key"
            };
            Err(invalid(missing, "tls_ca, tls_cert and tls_key go together: give all three or none"))
        }
    }
}

fn timeout(text: Option<&str>) -> Result<Duration, DockerSettingsError> {
    let millis = match text {
        Some(text) => Millis::parse(text).map_err(|e| invalid("timeout", e.to_string()))?,
        None => DEFAULT_TIMEOUT,
    };
    if millis.0 == 0 {
        return Err(invalid("timeout", "expected more than 0s"));
    }
    Ok(millis.duration())
}

/// The registry as image references name it.
fn registry_host(key: &str, host: &str) -> Result<String, DockerSettingsError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(invalid(key, "expected a registry's HOST or HOST:PORT, without a scheme"));
    }
    Ok(match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    })
}

/// Names of networks and volumes (the Engine's `RestrictedNamePattern`).
fn valid_engine_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn invalid(key: &str, why: impl Into<String>) -> DockerSettingsError {
    DockerSettingsError::Invalid { key: key.to_owned(), why: why.into() }
}

fn unknown(key: &str) -> DockerSettingsError {
    let suggestion = similar::get_close_matches(key, &KEYS, 1, 0.6).first().map(|name| (*name).to_owned());
    DockerSettingsError::UnknownKey { key: key.chars().take(80).collect(), suggestion }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
