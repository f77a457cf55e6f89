//! The labels by which Trueup knows what is its own. Identity only: a label never carries a setting. Pure.

use std::collections::HashMap;

use crate::ids::{EnvironmentRef, RunId, ServiceName};

/// What begins every label of Trueup's; such labels are never reported as leaves.
pub(super) const PREFIX: &str = "dev.trueup.";
pub(super) const PROJECT: &str = "dev.trueup.project";
pub(super) const ENVIRONMENT: &str = "dev.trueup.environment";
pub(super) const SERVICE: &str = "dev.trueup.service";
pub(super) const RELEASE: &str = "dev.trueup.release";
pub(super) const REPLICA: &str = "dev.trueup.replica";
/// On probe containers, which belong to an environment and to no service.
pub(super) const PROBE: &str = "dev.trueup.probe";

/// Which replica a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) service: ServiceName,
    pub(super) index: u32,
    pub(super) release: Option<RunId>,
}

impl Identity {
    /// `None` where the labels name no service. A missing or odd index counts as 1, an odd release as none.
    pub(super) fn of(labels: &HashMap<String, String>) -> Option<Self> {
        Some(Identity {
            service: labels.get(SERVICE)?.parse().ok()?,
            index: labels.get(REPLICA).and_then(|index| index.parse().ok()).filter(|index| *index > 0).unwrap_or(1),
            release: labels.get(RELEASE).and_then(|run| run.parse().ok()),
        })
    }

    /// `web-1`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.service, self.index)
    }
}

/// The labels of everything that belongs to an environment: networks, volumes, containers.
pub(super) fn environment(environment: &EnvironmentRef) -> HashMap<String, String> {
    HashMap::from([
        (PROJECT.to_owned(), environment.project.to_string()),
        (ENVIRONMENT.to_owned(), environment.environment.to_string()),
    ])
}

/// The environment that something with these labels was made for, where that is another than `environment`: names
/// alone do not tell them apart (`shop-prod` + `eu-data` is `shop-prod-eu` + `data`).
pub(super) fn another(environment: &EnvironmentRef, labels: Option<&HashMap<String, String>>) -> Option<String> {
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    let (project, name) = (label(PROJECT), label(ENVIRONMENT));
    let own = project.is_none_or(|project| project == environment.project.as_str())
        && name.is_none_or(|name| name == environment.environment.as_str());
    (!own).then(|| format!("{}/{}", project.unwrap_or("?"), name.unwrap_or("?")))
}

/// The labels of one replica.
pub(super) fn replica(environment_ref: &EnvironmentRef, identity: &Identity) -> HashMap<String, String> {
    let mut labels = environment(environment_ref);
    labels.insert(SERVICE.to_owned(), identity.service.to_string());
    labels.insert(REPLICA.to_owned(), identity.index.to_string());
    if let Some(release) = identity.release {
        labels.insert(RELEASE.to_owned(), release.to_string());
    }
    labels
}

/// The Engine's `label` filter for an environment's own things.
pub(super) fn filter(environment: &EnvironmentRef) -> Vec<String> {
    vec![format!("{PROJECT}={}", environment.project), format!("{ENVIRONMENT}={}", environment.environment)]
}

#[cfg(test)]
mod tests {
    use super::{Identity, another, environment, replica};
    use crate::ids::RunId;

    #[test]
    fn identity_survives_its_labels() {
        let identity = Identity { service: "web".parse().expect("valid"), index: 2, release: Some(RunId(7)) };
        let labels = replica(&"shop/production".parse().expect("valid"), &identity);
        assert_eq!(Identity::of(&labels), Some(identity));
    }

    #[test]
    fn whose_a_volume_is_stands_in_its_labels() {
        let (one, other) = ("shop/prod".parse().expect("valid"), "shop/prod-eu".parse().expect("valid"));
        assert_eq!(another(&one, Some(&environment(&one))), None);
        assert_eq!(another(&one, Some(&environment(&other))), Some("shop/prod-eu".to_owned()));
        assert_eq!(another(&one, Some(&[("team".to_owned(), "a".to_owned())].into())), None);
        assert_eq!(another(&one, Some(&[(super::PROJECT.to_owned(), "shop".to_owned())].into())), None);
        assert_eq!(another(&one, None), None);
    }

    #[test]
    fn what_names_no_service_is_none() {
        assert_eq!(Identity::of(&[("dev.trueup.service".to_owned(), "No Name".to_owned())].into()), None);
        assert_eq!(Identity::of(&[].into()), None);
    }
}
