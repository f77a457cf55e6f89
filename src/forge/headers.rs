//! The headers of a delivery: those that prove it, and those that say what it is. Pure.

use std::collections::BTreeMap;
use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::ForgeKind;

/// What says what a delivery is; kept with it. Signatures and tokens are not among them.
const DESCRIBING: &[&str] = &[
    "content-type",
    "idempotency-key",
    "webhook-id",
    "x-event-key",
    "x-forgejo-delivery",
    "x-forgejo-event",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-github-delivery",
    "x-github-event",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gogs-event",
    "x-request-id",
    "x-request-uuid",
];

/// What proves a delivery; looked at once, and kept nowhere.
const PROVING: &[&str] = &[
    "webhook-signature",
    "webhook-timestamp",
    "x-forgejo-signature",
    "x-gitea-signature",
    "x-gitlab-token",
    "x-hub-signature",
    "x-hub-signature-256",
];

/// Where Gitea, Forgejo and what they come from name the event.
pub(super) const GITEA_EVENT: &[&str] = &["x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event"];

/// The longest value that is kept as it is, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// The headers of one delivery, by their names in lower case. `Debug` shows names only: a value may be a secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, Vec<String>>);

/// A header is there more than once, or is no text: which value was meant is anyone's guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Headers {
    /// Of all headers of a request those that matter here. A value that is no text counts as one that nothing matches.
    pub fn of<'a>(all: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in all {
            let name = name.to_ascii_lowercase();
            if DESCRIBING.contains(&name.as_str()) || PROVING.contains(&name.as_str()) {
                let value = std::str::from_utf8(value).unwrap_or("\u{fffd}");
                known.entry(name).or_default().push(value.trim().to_owned());
            }
        }
        Headers(known)
    }

    /// Those that say what the delivery is, without those that prove it.
    pub fn describing(&self) -> Self {
        let kept = self.0.iter().filter(|(name, _)| DESCRIBING.contains(&name.as_str()));
        let short = |values: &Vec<String>| values.iter().map(|value| cut(value).to_owned()).take(2).collect();
        Headers(kept.map(|(name, values)| (name.clone(), short(values))).collect())
    }

    /// The value of a header; `None` where it is not there.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Ambiguous> {
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(Ambiguous),
        }
    }

    /// The first of these headers that is there once and not empty.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.one(name).ok().flatten()).filter(|value| !value.is_empty())
    }

    /// The event by the forge's word, as its header says it.
    pub fn event(&self, forge: ForgeKind) -> Option<&str> {
        self.first(match forge {
            ForgeKind::Github => &["x-github-event"],
            ForgeKind::Gitlab => &["x-gitlab-event"],
            ForgeKind::Gitea | ForgeKind::Forgejo => GITEA_EVENT,
            ForgeKind::Bitbucket | ForgeKind::BitbucketServer => &["x-event-key"],
        })
    }

    /// The id that the forge gave this delivery and gives it again when it delivers it again; `None` where it gave none.
    pub fn delivery_id(&self, forge: ForgeKind) -> Option<String> {
        let names: &[&str] = match forge {
            ForgeKind::Github => &["x-github-delivery"],
            // The first is what a signature covers; the last is shared by the deliveries of one event to several hooks.
            ForgeKind::Gitlab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
            ForgeKind::Gitea => &["x-gitea-delivery", "x-github-delivery"],
            ForgeKind::Forgejo => &["x-forgejo-delivery", "x-gitea-delivery", "x-github-delivery"],
            ForgeKind::Bitbucket => &["x-request-uuid"],
            ForgeKind::BitbucketServer => &["x-request-id"],
        };
        let id = self.first(names)?;
        if id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(id.to_owned());
        }
        let hash = digest(&SHA256, id.as_bytes());
        Some(hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::{Ambiguous, Headers};
    use crate::forge::ForgeKind;

    #[test]
    fn what_proves_a_delivery_is_neither_kept_nor_shown() {
        let headers = Headers::of([
            ("X-Gitlab-Token", b"s3cret".as_slice()),
            ("X-Gitlab-Event", b"Push Hook".as_slice()),
            ("Authorization", b"Bearer x".as_slice()),
        ]);
        assert_eq!(headers.one("x-gitlab-token"), Ok(Some("s3cret")));
        assert_eq!(format!("{headers:?}"), r#"{"x-gitlab-event", "x-gitlab-token"}"#);
        let kept = serde_json::to_string(&headers.describing()).expect("JSON");
        assert_eq!(kept, r#"{"x-gitlab-event":["Push Hook"]}"#);
    }

    #[test]
    fn a_header_that_is_there_twice_is_none() {
        let headers = Headers::of([("X-Github-Event", b"push".as_slice()), ("x-github-event", b"ping".as_slice())]);
        assert_eq!(headers.one("x-github-event"), Err(Ambiguous));
        assert_eq!(headers.first(&["x-github-event"]), None);
    }

    #[test]
    fn odd_delivery_ids_are_still_told_apart() {
        let id = |value: &str| Headers::of([("X-GitHub-Delivery", value.as_bytes())]).delivery_id(ForgeKind::Github);
        assert_eq!(id("72d3162e-cc78").as_deref(), Some("72d3162e-cc78"));
        assert_eq!(id(""), None);
        let long = id(&"x".repeat(4000)).expect("an id");
        assert!(long.starts_with("sha256:") && long.len() == 71, "{long}");
        assert_ne!(id(&"x".repeat(4001)), Some(long));
    }
}
