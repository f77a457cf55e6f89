//! Events as others read them: CloudEvents 1.0 in its JSON form ("structured mode", media type
//! `application/cloudevents+json`).

use jiff::Timestamp;
use serde_json::{Value, json};

/// The media type of an event's body.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// An event around its data. `kind` is its type, such as `dev.trueup.drift.detected`.
pub fn envelope(installation: &str, id: &str, kind: &str, subject: &str, time: Timestamp, data: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("urn:trueup:{installation}"),
        "type": kind,
        "subject": subject,
        "time": time.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    })
}
