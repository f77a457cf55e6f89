//! How a registry asks for credentials (RFC 9110, 11.6.1; the distribution project's token authentication), and which host
//! may be asked for a token. Pure.

use std::net::IpAddr;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user name and a password with each request.
    Basic,
    /// A token of this realm.
    Bearer {
        /// The URL that gives tokens.
        realm: String,
        /// Which service the token is for.
        service: Option<String>,
        /// What the token has to allow.
        scope: Option<String>,
    },
}

/// Reads a `WWW-Authenticate` header: its first scheme that is known here.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    if header.len() > 8192 {
        return None;
    }
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest;
    while let Some((name, value, after)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// The first `name=value` or `name="value"`, and what comes after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Whether a registry's credentials may go to `realm`, a URL that the registry named: on the registry's own host, on one
/// above or beneath it, on Docker Hub's own, or on one that the operator listed. Never unencrypted where the registry
/// itself is spoken to encrypted, and unencrypted to this machine only.
pub(super) fn may_ask(registry: &reqwest::Url, realm: &reqwest::Url, allowed: &[String]) -> bool {
    let (Some(registry_host), Some(host)) = (registry.host_str(), realm.host_str()) else { return false };
    let encrypted = realm.scheme() == "https" || realm.scheme() == "http" && registry.scheme() == "http";
    let credentials = !realm.username().is_empty() || realm.password().is_some();
    if !encrypted || credentials {
        return false;
    }
    let with_port = realm.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let listed = allowed.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(&with_port));
    let hub = registry_host == HUB && host == HUB_TOKENS;
    registry_host == host || beneath(registry_host, host) || beneath(host, registry_host) || hub || listed
}

/// Where Docker Hub answers, and where it gives tokens.
pub(super) const HUB: &str = "registry-1.docker.io";
const HUB_TOKENS: &str = "auth.docker.io";

/// Whether `host` is a name beneath `above`, which has at least two labels itself and is no address.
fn beneath(host: &str, above: &str) -> bool {
    let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let within = host.strip_suffix(above).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
    within && above.trim_matches('.').contains('.') && !is_address(host) && !is_address(above)
}

#[cfg(test)]
mod tests {
    use super::{Challenge, may_ask, parse};

    #[test]
    fn challenges_of_real_registries() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        for (header, expected) in [
            (r#"Basic realm="test""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull"),
                ),
            ),
            (
                r#"Bearer realm="https://harbor.acme.dev/service/token", service="harbor-registry", error="invalid_token""#,
                bearer("https://harbor.acme.dev/service/token", Some("harbor-registry"), None),
            ),
            (r#"bearer realm=https://x.dev/t,scope="a,b""#, bearer("https://x.dev/t", None, Some("a,b"))),
            (r#"Bearer realm="a\"b""#, bearer("a\"b", None, None)),
            ("Negotiate", None),
            ("Bearer service=x", None),
            (r#"Bearer realm="unended"#, None),
            ("", None),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_come_from_the_same_site_or_from_nowhere() {
        for (registry, realm, allowed, may) in [
            ("https://harbor.acme.dev", "https://harbor.acme.dev/service/token", "", true),
            ("https://harbor.acme.dev", "https://harbor.acme.dev:8443/token", "", true),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "", true),
            ("https://acme.dev", "https://auth.acme.dev/token", "", true),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", "", true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", "", true),
            ("https://r.acme.dev", "https://auth.acme.dev/token", "auth.acme.dev", true),
            ("https://r.acme.dev", "https://auth.acme.dev:8443/t", "auth.acme.dev:8443", true),
            ("https://r.acme.dev", "https://auth.acme.dev/token", "", false),
            ("https://harbor.acme.dev", "http://harbor.acme.dev/service/token", "", false),
            ("https://harbor.acme.dev", "https://evil.example/token", "", false),
            ("https://harbor.acme.dev", "https://evil-harbor.acme.dev/token", "", false),
            ("https://harbor.acme.dev", "https://harbor.acme.dev.evil.example/token", "", false),
            ("https://harbor.acme.dev", "https://alice:pw@harbor.acme.dev/token", "", false),
            ("https://acme.dev", "https://dev/token", "", false),
            ("https://harbor.acme.dev", "http://169.254.169.254/latest/meta-data", "", false),
            ("http://10.0.0.1", "http://0.0.1/token", "", false),
        ] {
            let url = |text: &str| reqwest::Url::parse(text).expect("a URL");
            let allowed: Vec<String> = (!allowed.is_empty()).then(|| allowed.to_owned()).into_iter().collect();
            assert_eq!(may_ask(&url(registry), &url(realm), &allowed), may, "{registry} {realm} {allowed:?}");
        }
    }
}
