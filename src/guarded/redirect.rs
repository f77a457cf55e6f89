//! Which redirects are followed, and with what. Pure.

use reqwest::{Method, StatusCode, Url};

/// How many redirects are followed in a row.
pub const REDIRECTS: usize = 5;

/// How far redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Within the host that was asked first; what upgrades to https is within it.
    SameHost,
    /// To any host that may be asked, the credential left behind.
    Checked,
}

/// Why a redirect from what was `typed` to `target` does not stay within the host; `None` where it does.
pub fn leaves_host(typed: &Url, target: &Url) -> Option<&'static str> {
    if let Some(rule) = never(typed, target) {
        return Some(rule);
    }
    if target.host_str() != typed.host_str() {
        return Some("another host than the one that the operator typed");
    }
    let upgraded = typed.scheme() == "http" && target.scheme() == "https" && typed.port().is_none();
    if target.port_or_known_default() != typed.port_or_known_default() && !(upgraded && target.port().is_none()) {
        return Some("another port than the one that the operator typed");
    }
    None
}

/// Why no request ever goes on from `from` to `target`.
fn never(from: &Url, target: &Url) -> Option<&'static str> {
    if !matches!(target.scheme(), "http" | "https") {
        return Some("neither http nor https");
    }
    if from.scheme() == "https" && target.scheme() == "http" {
        return Some("from https to plain http");
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Some("a URL with credentials in it");
    }
    None
}

/// Why a redirect is not followed; `None` where it is. A request that changes something goes on only within its origin
/// and only where the status keeps method and body: its body is not for others, and a create must not become a read.
pub(super) fn refusal(
    redirects: Redirects,
    method: &Method,
    status: StatusCode,
    from: &Url,
    target: &Url,
) -> Option<&'static str> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if let Some(rule) = never(from, target) {
        return Some(rule);
    }
    if !reads && !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return Some("the request changes something, and this redirect would make it a read");
    }
    if !reads && from.origin() != target.origin() {
        return Some("the request changes something, and its body is for the first host only");
    }
    match redirects {
        Redirects::SameHost => leaves_host(from, target),
        Redirects::Checked => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, StatusCode};

    use super::{Redirects, leaves_host, refusal};

    #[test]
    fn redirects_stay_within_the_typed_host() {
        for (typed, target, allowed) in [
            ("https://a.dev/x", "https://a.dev/x.git", true),
            ("http://a.dev/x", "https://a.dev/x", true),
            ("https://a.dev/x", "https://a.dev:443/y", true),
            ("https://a.dev/x", "https://b.dev/x", false),
            ("https://a.dev/x", "https://a.dev:8443/x", false),
            ("https://a.dev/x", "http://a.dev/x", false),
            ("https://a.dev/x", "https://169.254.169.254/x", false),
            ("https://a.dev/x", "https://u:p@a.dev/x", false),
            ("https://a.dev/x", "file:///etc/passwd", false),
            ("http://127.0.0.1:1/x", "http://127.0.0.1:2/x", false),
            ("http://127.0.0.1:1/x", "https://127.0.0.1/x", false),
        ] {
            let rule = leaves_host(&typed.parse().expect("a URL"), &target.parse().expect("a URL"));
            assert_eq!(rule.is_none(), allowed, "{typed} → {target}: {rule:?}");
        }
    }

    #[test]
    fn a_request_that_changes_something_goes_on_within_its_origin_only() {
        for (method, status, target, allowed) in [
            (Method::GET, 302, "https://b.dev/x", true),
            (Method::GET, 307, "https://b.dev/x", true),
            (Method::GET, 302, "http://a.dev/x", false),
            (Method::GET, 302, "https://u@b.dev/x", false),
            (Method::POST, 307, "https://a.dev/y", true),
            (Method::PATCH, 308, "https://a.dev/y", true),
            (Method::POST, 301, "https://a.dev/y", false),
            (Method::POST, 307, "https://b.dev/y", false),
            (Method::POST, 307, "https://a.dev:444/y", false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let (from, to) = ("https://a.dev/x".parse().expect("a URL"), target.parse().expect("a URL"));
            let rule = refusal(Redirects::Checked, &method, status, &from, &to);
            assert_eq!(rule.is_none(), allowed, "{method} {status} → {target}: {rule:?}");
        }
    }
}
