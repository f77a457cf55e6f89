//! What Harbor says of itself beside being a registry: its version and the health of its parts (Harbor's API 2.0,
//! `/api/v2.0/health`, which takes no credentials).

use std::time::Duration;

use serde::Deserialize;

use crate::integration::Examination;
use crate::oci::fetch_json;

#[derive(Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    status: String,
}

/// Adds what Harbor says of its health.
pub(super) async fn look(endpoint: &str, limit: Duration, found: Examination) -> Examination {
    match fetch_json::<Health>(&format!("{endpoint}/api/v2.0/health"), limit).await {
        Ok(health) => judge(&health, found),
        Err(why) => found.warning(
            format!("Harbor does not say how it is: {why}"),
            "if this is another registry, register it with the provider `oci`",
        ),
    }
}

fn judge(health: &Health, found: Examination) -> Examination {
    let ill: Vec<&str> = health
        .components
        .iter()
        .filter(|component| component.status != "healthy")
        .map(|component| component.name.as_str())
        .filter(|name| name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)))
        .take(10)
        .collect();
    match (health.status.as_str(), ill.is_empty()) {
        ("healthy", true) => found.ok("Harbor says that all its parts are healthy"),
        (_, true) => found.warning("Harbor says that it is not healthy", "look at Harbor's own logs"),
        (_, false) => found.warning(
            format!("Harbor says that of its parts these are not healthy: {}", ill.join(", ")),
            "look at the logs of these parts of Harbor",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, judge};
    use crate::integration::{Examination, TestReport};
    use crate::store::records::IntegrationHealth;

    #[test]
    fn parts_that_are_ill_are_named() {
        let said = |text: &str| {
            let health: Health = serde_json::from_str(text).expect("valid");
            TestReport::of(judge(&health, Examination::default()), 0)
        };
        let good = said(r#"{"status":"healthy","components":[{"name":"core","status":"healthy"}]}"#);
        assert_eq!(good.status, IntegrationHealth::Healthy);
        let ill = said(
            r#"{"status":"unhealthy","components":[{"name":"core","status":"healthy"},{"name":"redis","status":"unhealthy"}]}"#,
        );
        assert_eq!(ill.status, IntegrationHealth::Degraded);
        assert!(ill.reason().is_some_and(|why| why.ends_with("not healthy: redis")), "{ill:?}");
    }
}
