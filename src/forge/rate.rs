//! When a forge that answered with a limit may be asked again. Knows no clock: the moment is given.
//!
//! Sources: RFC 9110 section 10.2.3 (Retry-After); GitHub's "Rate limits for the REST API" (X-RateLimit-*, and a
//! minute at least for secondary limits that name no time); GitLab's "User and IP rate limits" (RateLimit-*).

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

/// The longest wait that is believed: limits of all these forges are by the hour or shorter.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// GitHub's wait for a secondary limit that names no time.
const SECONDARY: Duration = Duration::from_secs(60);

/// What an answer says of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A limit is used up; ask again after this, where it says.
    Reached(Option<Duration>),
    /// No limit is in the way.
    Free,
}

/// What an answer of `status` with these headers and message says of limits at the moment `now`.
pub(crate) fn limit(status: u16, headers: &HeaderMap, message: &str, now: Timestamp) -> Limit {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let retry_after = text("retry-after").and_then(|value| wait(value, now));
    if status == 429 {
        return Limit::Reached(retry_after.or_else(|| reset(&text, now)));
    }
    if status == 503 {
        return retry_after.map_or(Limit::Free, |wait| Limit::Reached(Some(wait)));
    }
    if status != 403 {
        return Limit::Free;
    }
    let words = message.to_ascii_lowercase();
    if words.contains("secondary rate limit") || words.contains("abuse detection") {
        return Limit::Reached(Some(retry_after.unwrap_or(SECONDARY)));
    }
    let used_up = ["x-ratelimit-remaining", "ratelimit-remaining"].iter().any(|name| text(name) == Some("0"));
    if used_up || retry_after.is_some() {
        return Limit::Reached(retry_after.or_else(|| reset(&text, now)));
    }
    Limit::Free
}

/// Retry-After: seconds or a date.
fn wait(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(until(date, now))
}

/// The moment at which the window begins anew, in seconds since the epoch.
fn reset<'a>(text: &impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Option<Duration> {
    let value = text("x-ratelimit-reset").or_else(|| text("ratelimit-reset"))?.parse::<i64>().ok()?;
    Timestamp::from_second(value).ok().map(|moment| until(moment, now))
}

fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or(Duration::ZERO).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Limit, limit};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn every_way_of_saying_later_is_understood() {
        let now = "2026-11-21T12:00:00Z".parse().expect("a moment");
        let reached = |seconds| Limit::Reached(Some(Duration::from_secs(seconds)));
        let secondary = "You have exceeded a secondary rate limit. Please wait";
        for (status, pairs, message, expected) in [
            (429, &[("retry-after", "7")][..], "", reached(7)),
            (429, &[("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT")], "", reached(30)),
            (429, &[("retry-after", "Sat, 21 Nov 2026 11:00:00 GMT")], "", reached(0)),
            (429, &[("ratelimit-reset", "1795262460")], "", reached(60)),
            (429, &[("retry-after", "soon")], "", Limit::Reached(None)),
            (429, &[("retry-after", "99999999999")], "", reached(7200)),
            (429, &[], "", Limit::Reached(None)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795262520")], "", reached(120)),
            (403, &[("x-ratelimit-remaining", "12")], "Resource not accessible", Limit::Free),
            (403, &[("retry-after", "5")], secondary, reached(5)),
            (403, &[("x-ratelimit-remaining", "4000")], secondary, reached(60)),
            (403, &[], "Must have admin rights", Limit::Free),
            (503, &[("retry-after", "9")], "", reached(9)),
            (503, &[], "", Limit::Free),
            (200, &[("x-ratelimit-remaining", "0")], "", Limit::Free),
        ] {
            assert_eq!(limit(status, &headers(pairs), message, now), expected, "{status} {pairs:?} {message}");
        }
    }
}
