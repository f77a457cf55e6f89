//! One notification on its way: its body, its signature, the request, and what the answer means.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use ring::hmac;
use secrecy::ExposeSecret as _;

use crate::events::Event;
use crate::guarded::{AllowedHosts, Bounds, GuardSettings, GuardedClient, GuardedRequest, Redirects};
use crate::report::cloudevent::{self, MEDIA_TYPE};
use crate::secret::{AuthRef, Secrets};
use crate::settings::NotifyTarget;

/// The header with the signature: `sha256=` and the HMAC-SHA-256 of the body in lower-case hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-trueup-signature-256";
/// How long a target may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// What is read of an answer at most, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is there.
    Done,
    /// Not yet; trying again may help.
    Later {
        /// Why not.
        why: String,
        /// How long the target asks to wait.
        after: Option<Duration>,
    },
    /// The target refuses it for good.
    Never {
        /// Why.
        why: String,
    },
}

/// Sends notifications; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    secrets: Secrets,
    installation: String,
}

impl Sender {
    /// In the name of an installation.
    pub fn new(secrets: Secrets, installation: String) -> Self {
        Sender { secrets, installation }
    }

    /// Sends one event to a target. What is to be signed and cannot be is not sent.
    pub async fn send(&self, target: &NotifyTarget, event: &Event) -> Delivered {
        let body = Bytes::from(body(event, &self.installation));
        let signature = match &target.secret {
            None => None,
            Some(reference) => match self.signature(reference, target, &body).await {
                Ok(signature) => Some(signature),
                Err(why) => return Delivered::Later { why, after: None },
            },
        };
        match post(&target.url, body, signature).await {
            Ok(answer) => answer,
            Err(why) => Delivered::Later { why, after: None },
        }
    }

    async fn signature(&self, reference: &AuthRef, target: &NotifyTarget, body: &[u8]) -> Result<HeaderValue, String> {
        let purpose = format!("notifications to {}", target.host());
        let secret = self.secrets.resolve(reference, &purpose, "trueup").await.map_err(|error| error.to_string())?;
        let signature = sign(secret.expose_secret().as_bytes(), body);
        HeaderValue::from_str(&signature).map_err(|error| error.to_string())
    }
}

/// The signature of a body, as it stands in the header.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// An event as a CloudEvent in JSON. Sent again, it has the same id.
fn body(event: &Event, installation: &str) -> Vec<u8> {
    let kind = format!("dev.trueup.{}", event.kind);
    cloudevent::envelope(installation, &event.id.to_string(), &kind, &event.subject, event.at, &event.data)
        .to_string()
        .into_bytes()
}

/// Posts a signed body to a URL that the operator wrote down, and reads what the answer means.
async fn post(url: &str, body: Bytes, signature: Option<HeaderValue>) -> Result<Delivered, String> {
    let mut url = Url::parse(url).map_err(|_| "the URL cannot be read".to_owned())?;
    let allowed = AllowedHosts::none().typed(&url);
    let client = GuardedClient::new(GuardSettings::new(allowed)).map_err(|error| error.to_string())?;
    // Some services take their key in the query; it stays there and in no error.
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))]);
    if let Some(signature) = signature {
        headers.insert(HeaderName::from_static(SIGNATURE_HEADER), signature);
    }
    url.set_fragment(None);
    let request = GuardedRequest { method: Method::POST, url, headers, credential: None, body: Some(body) };
    let bounds = Bounds { time: LIMIT, bytes: ANSWER_BYTES_MAX, redirects: Redirects::SameHost };
    let answer = match client.fetch(request, bounds).await {
        Ok(answer) => answer,
        // The error names the URL, whose path may be confidential.
        Err(error) if error.is_transient() => return Err("it cannot be reached, or did not answer in time".to_owned()),
        Err(crate::guarded::GuardedError::TooLarge { .. }) => return Ok(Delivered::Done),
        Err(_) => return Ok(Delivered::Never { why: "it redirects to where a notification does not go".to_owned() }),
    };
    let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(meaning(answer.status, after.map(Duration::from_secs)))
}

fn meaning(status: StatusCode, after: Option<Duration>) -> Delivered {
    let why = format!("it answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Delivered::Done,
        408 | 425 | 429 | 500..=599 => Delivered::Later { why, after },
        _ => Delivered::Never { why },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::StatusCode;
    use serde_json::json;

    use super::{Delivered, body, meaning, sign};
    use crate::events::{Event, EventType};

    #[test]
    fn a_body_is_a_cloud_event() {
        let event = Event {
            id: 7,
            at: Timestamp::UNIX_EPOCH,
            kind: EventType::IntegrationRemoved,
            subject: "integrations/x".into(),
            data: json!({"name": "x"}),
        };
        let read: serde_json::Value = serde_json::from_slice(&body(&event, "0011")).expect("JSON");
        let expected = json!({
            "specversion": "1.0", "id": "7", "source": "urn:trueup:0011", "type": "dev.trueup.integration.removed",
            "subject": "integrations/x", "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json",
            "data": {"name": "x"}
        });
        assert_eq!(read, expected);
    }

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_the_bodys_hmac() {
        assert_eq!(
            sign(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn answers_mean_done_later_or_never() {
        let status = |code| StatusCode::from_u16(code).expect("a status");
        assert_eq!(meaning(status(202), None), Delivered::Done);
        for code in [408, 425, 429, 500, 502, 503] {
            let after = Some(Duration::from_secs(7));
            assert!(matches!(meaning(status(code), after), Delivered::Later { after: Some(_), .. }), "{code}");
        }
        for code in [301, 400, 401, 403, 404, 410, 413] {
            assert!(matches!(meaning(status(code), None), Delivered::Never { .. }), "{code}");
        }
    }
}
