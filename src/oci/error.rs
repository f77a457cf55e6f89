//! Why a registry did not say what it was asked.

use serde::Deserialize;

/// Why a registry did not say what it was asked. No text of the registry's is repeated but its error codes; nothing that was
/// sent is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answered, or not in time.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It is at an address that is not public, and the operator did not name it.
    #[error("it is not asked: {0}")]
    NotPublic(String),
    /// It has no such repository or tag, or shows it to nobody without credentials.
    #[error("it has nothing of that name")]
    Missing,
    /// It refuses whoever asks.
    #[error("it refuses access{}", if *.with_login { " with these credentials" } else { " without credentials" })]
    Denied {
        /// Whether credentials were sent.
        with_login: bool,
    },
    /// It sends for its tokens to a host that is none of its own.
    #[error(
        "it names {host} as the place for its tokens, which is not of the same site; if that is right, allow that host (token_hosts)"
    )]
    ForeignRealm {
        /// The host.
        host: String,
    },
    /// It asks to be asked less.
    #[error("it asks to be asked less often{}", .retry_after.map(|seconds| format!(" (for {seconds} s)")).unwrap_or_default())]
    RateLimited {
        /// For how many seconds, where it says so.
        retry_after: Option<u64>,
    },
    /// Another answer that is none.
    #[error("it answered {status}{}", if .codes.is_empty() { String::new() } else { format!(" ({})", .codes) })]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error codes that it gave, separated by commas.
        codes: String,
    },
    /// What answered is no registry, or speaks another version.
    #[error("what answers there is no OCI registry: {0}")]
    NotARegistry(&'static str),
}

/// The body of a registry's error (OCI distribution spec, "Error Codes").
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
}

/// The codes of an error's body, as far as they are codes.
pub(super) fn codes(body: &[u8]) -> String {
    let entries = serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.errors).unwrap_or_default();
    let plain = |code: &String| {
        (1..=40).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    entries.into_iter().map(|entry| entry.code).filter(plain).take(3).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::codes;

    #[test]
    fn only_codes_are_taken_from_a_body() {
        assert_eq!(
            codes(br#"{"errors":[{"code":"NAME_UNKNOWN","message":"<b>x</b>"},{"code":"oh no"}]}"#),
            "NAME_UNKNOWN"
        );
        assert_eq!(codes(b"<html>"), "");
    }
}
