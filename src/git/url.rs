//! A repository's URL, parsed once. Holds no password and no token, so it may be shown anywhere.
//!
//! Pure: whether a host is allowed is the settings' matter ([`GitSettings`](crate::git::GitSettings)), not the parser's.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    text: String,
    place: Place,
}

/// A URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `https://` or `http://`; the URL has no user, no query and no fragment.
    Http(reqwest::Url),
    /// `ssh://` or `user@host:path`.
    Ssh(SshPlace),
    /// `file://` or an absolute path of this machine.
    Local(PathBuf),
}

/// A repository behind `ssh`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SshPlace {
    /// The account, `None` for ssh's own choice.
    pub user: Option<String>,
    /// The host.
    pub host: String,
    /// The port, `None` for ssh's own choice.
    pub port: Option<u16>,
    /// The path there.
    pub path: String,
}

/// Why a text is no repository URL. Never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// None of the accepted forms.
    #[error(
        "not a repository URL: write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH or an absolute path"
    )]
    Form,
    /// A user name, password or token in the URL.
    #[error(
        "the URL holds a user name, password or token: write it without the part before `@`, and give credentials by auth reference (--auth env://NAME or file:///PATH)"
    )]
    Credentials,
    /// A query or fragment.
    #[error("the URL has a `?` or `#` part, which a repository's URL has not")]
    Query,
    /// A host, user or path that a command line could take for an option.
    #[error("the URL's user, host or path begins with `-` or holds control characters")]
    Suspicious,
}

impl RemoteUrl {
    /// Parses `https://`, `http://`, `ssh://`, `user@host:path`, `file://` or an absolute path.
    ///
    /// # Errors
    /// Another form, or credentials within the URL.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.len() > 4096 || text.chars().any(char::is_control) {
            return Err(InvalidUrl::Suspicious);
        }
        if text.starts_with('/') {
            return Ok(local(text.to_owned()));
        }
        match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => http(text),
                "ssh" | "git+ssh" | "ssh+git" => ssh_url(rest),
                "file" => rest
                    .strip_prefix("localhost")
                    .unwrap_or(rest)
                    .starts_with('/')
                    .then(|| local(rest.strip_prefix("localhost").unwrap_or(rest).to_owned()))
                    .ok_or(InvalidUrl::Form),
                _ => Err(InvalidUrl::Form),
            },
            None => scp_like(text),
        }
    }

    /// The URL taken apart.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The URL as text, in normal form; holds no credentials.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host whose limits count; `None` for a local repository.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Http(url) => url.host_str(),
            Place::Ssh(place) => Some(&place.host),
            Place::Local(_) => None,
        }
    }

    /// The path of a local repository.
    pub fn local_path(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Local(path) => Some(path),
            Place::Http(_) | Place::Ssh(_) => None,
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for RemoteUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        RemoteUrl::parse(text)
    }
}

/// Whether a URL's host is this machine, by name or by address.
pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn local(path: String) -> RemoteUrl {
    let trimmed = path.trim_end_matches('/');
    let path = if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() };
    RemoteUrl { text: path.clone(), place: Place::Local(PathBuf::from(path)) }
}

fn http(text: &str) -> Result<RemoteUrl, InvalidUrl> {
    let mut url = reqwest::Url::parse(text).map_err(|_| InvalidUrl::Form)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidUrl::Query);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(InvalidUrl::Form);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if path.is_empty() {
        return Err(InvalidUrl::Form);
    }
    url.set_path(&path);
    Ok(RemoteUrl { text: url.to_string(), place: Place::Http(url) })
}

fn ssh_url(rest: &str) -> Result<RemoteUrl, InvalidUrl> {
    let (authority, path) = rest.split_once('/').ok_or(InvalidUrl::Form)?;
    let (user, host) = split_user(authority)?;
    let (host, port) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(InvalidUrl::Form)?)),
        None => match host.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        },
    };
    let port = port.map(|port| port.parse::<u16>().map_err(|_| InvalidUrl::Form)).transpose()?;
    // `ssh://host/~user/path` names a path below that user's home, as Git reads it.
    let path = if path.starts_with('~') { path.to_owned() } else { format!("/{path}") };
    ssh(user, host, port, path)
}

fn scp_like(text: &str) -> Result<RemoteUrl, InvalidUrl> {
    let (authority, path) = text.split_once(':').ok_or(InvalidUrl::Form)?;
    // `helper::address` runs a program of that name in Git; it is no host here.
    if authority.contains('/') || path.starts_with(':') {
        return Err(InvalidUrl::Form);
    }
    let (user, host) = split_user(authority)?;
    ssh(user, host, None, path.to_owned())
}

fn split_user(authority: &str) -> Result<(Option<String>, &str), InvalidUrl> {
    match authority.rsplit_once('@') {
        None => Ok((None, authority)),
        Some((user, _)) if user.contains([':', '@']) => Err(InvalidUrl::Credentials),
        Some((user, host)) => Ok((Some(user.to_owned()), host)),
    }
}

fn ssh(user: Option<String>, host: &str, port: Option<u16>, path: String) -> Result<RemoteUrl, InvalidUrl> {
    let path = path.trim_end_matches('/').to_owned();
    if host.is_empty() || path.is_empty() || user.as_deref() == Some("") {
        return Err(InvalidUrl::Form);
    }
    if [host, path.as_str(), user.as_deref().unwrap_or_default()].iter().any(|part| part.starts_with('-')) {
        return Err(InvalidUrl::Suspicious);
    }
    if host.contains([' ', '/', '\\', '\'', '"']) || user.as_deref().is_some_and(|user| user.contains([' ', '/'])) {
        return Err(InvalidUrl::Form);
    }
    let authority = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let text = match (port, path.starts_with('/')) {
        (Some(port), true) => format!("ssh://{authority}{shown}:{port}{path}"),
        (Some(port), false) => format!("ssh://{authority}{shown}:{port}/{path}"),
        (None, true) => format!("ssh://{authority}{shown}{path}"),
        (None, false) => format!("{authority}{shown}:{path}"),
    };
    Ok(RemoteUrl { text, place: Place::Ssh(SshPlace { user, host: host.to_owned(), port, path }) })
}

#[cfg(test)]
mod tests {
    use super::{InvalidUrl, Place, RemoteUrl, SshPlace};

    fn ssh(user: Option<&str>, host: &str, port: Option<u16>, path: &str) -> Place {
        Place::Ssh(SshPlace { user: user.map(Into::into), host: host.into(), port, path: path.into() })
    }

    #[test]
    fn every_accepted_form() {
        for (text, shown, place) in [
            (
                "ssh://git@acme.dev/shop.git",
                "ssh://git@acme.dev/shop.git",
                ssh(Some("git"), "acme.dev", None, "/shop.git"),
            ),
            ("ssh://acme.dev:2222/a/b/", "ssh://acme.dev:2222/a/b", ssh(None, "acme.dev", Some(2222), "/a/b")),
            ("ssh://[::1]:22/a", "ssh://[::1]:22/a", ssh(None, "::1", Some(22), "/a")),
            ("ssh://u@h/~me/a", "u@h:~me/a", ssh(Some("u"), "h", None, "~me/a")),
            ("git@acme.dev:shop.git", "git@acme.dev:shop.git", ssh(Some("git"), "acme.dev", None, "shop.git")),
            ("file:///srv/shop", "/srv/shop", Place::Local("/srv/shop".into())),
            ("/srv/shop/", "/srv/shop", Place::Local("/srv/shop".into())),
        ] {
            let parsed = RemoteUrl::parse(text).unwrap();
            assert_eq!((parsed.as_str(), parsed.place()), (shown, &place), "{text}");
        }
        let https = RemoteUrl::parse("HTTPS://Acme.dev:443/shop.git/").unwrap();
        assert_eq!((https.as_str(), https.host()), ("https://acme.dev/shop.git", Some("acme.dev")));
    }

    #[test]
    fn everything_else_is_refused_without_repeating_it() {
        for (text, why) in [
            ("https://user:hunter2@acme.dev/x", InvalidUrl::Credentials),
            ("https://ghp_hunter2@acme.dev/x", InvalidUrl::Credentials),
            ("ssh://git:hunter2@acme.dev/x", InvalidUrl::Credentials),
            ("https://acme.dev/x?token=hunter2", InvalidUrl::Query),
            ("https://acme.dev", InvalidUrl::Form),
            ("ftp://acme.dev/hunter2", InvalidUrl::Form),
            ("ext::sh -c hunter2", InvalidUrl::Form),
            ("shop", InvalidUrl::Form),
            ("../shop", InvalidUrl::Form),
            ("file://host/shop", InvalidUrl::Form),
            ("ssh://-oProxyCommand=hunter2/x", InvalidUrl::Suspicious),
            ("-hunter2:x", InvalidUrl::Suspicious),
            ("git@acme.dev:-x", InvalidUrl::Suspicious),
            ("https://acme.dev/\nx", InvalidUrl::Suspicious),
        ] {
            let refused = RemoteUrl::parse(text).unwrap_err();
            assert_eq!(refused, why, "{text}");
            assert!(!refused.to_string().contains("hunter2"));
        }
    }
}
