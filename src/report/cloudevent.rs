//! Drift from outside as an event: CloudEvents 1.0 in its JSON form ("structured mode", media type
//! `application/cloudevents+json`).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::report::drift::DriftReport;

/// The media type of an event's body.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The type of an event that says that something was changed outside.
pub const DETECTED: &str = "dev.trueup.drift.detected";
/// The type of an event that says that nothing is any more.
pub const RESOLVED: &str = "dev.trueup.drift.resolved";

/// The event. `id` tells it apart from every other of this source; the same event sent again has the same.
pub fn event(report: &DriftReport, installation: &str, id: &str, time: Timestamp) -> Value {
    let environment = &report.environment;
    let data = json!({
        "project": environment.project,
        "environment": environment.environment,
        "plan": report.plan,
        "services": report.services,
    });
    let kind = if report.is_in_sync() { RESOLVED } else { DETECTED };
    envelope(installation, id, kind, &environment.to_string(), time, &data)
}

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
