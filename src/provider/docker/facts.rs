//! What an image supplies by itself, in the form in which it is subtracted from a container. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{HealthConfig, ImageInspect};

use crate::live::image::ContentDigest;

/// One image as the Engine knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ImageFacts {
    /// The Engine's id, `sha256:…`.
    pub(super) id: String,
    /// Every digest that names this content: the id and the registries' digests.
    pub(super) content: BTreeSet<ContentDigest>,
    /// Whether a registry knows it.
    pub(super) has_repo_digests: bool,
    pub(super) env: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
    pub(super) user: String,
    pub(super) working_dir: String,
    pub(super) volumes: BTreeSet<String>,
    pub(super) exposed_ports: BTreeSet<String>,
    pub(super) stop_signal: Option<String>,
    pub(super) healthcheck: Option<HealthConfig>,
    pub(super) shell: Option<Vec<String>>,
}

impl ImageFacts {
    pub(super) fn of(image: ImageInspect) -> Self {
        let id = image.id.unwrap_or_default();
        let repo_digests = image.repo_digests.unwrap_or_default();
        let digests = repo_digests.iter().filter_map(|digest| digest.split_once('@')?.1.parse().ok());
        let content: BTreeSet<ContentDigest> = digests.chain(content_of_id(&id)).collect();
        let config = image.config.unwrap_or_default();
        ImageFacts {
            id,
            content,
            has_repo_digests: !repo_digests.is_empty(),
            env: env_map(config.env.as_deref().unwrap_or_default()),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default().iter().map(|path| clean_path(path)).collect(),
            exposed_ports: config.exposed_ports.unwrap_or_default().into_iter().collect(),
            stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
            healthcheck: config.healthcheck,
            shell: config.shell,
        }
    }
}

/// An image id as a digest; Podman writes it without its algorithm.
pub(super) fn content_of_id(id: &str) -> Option<ContentDigest> {
    id.parse().or_else(|_| format!("sha256:{id}").parse()).ok()
}

/// `K=V` lists as a map, the last of equal keys counting. An entry without `=` unsets and is left out.
pub(super) fn env_map(list: &[String]) -> BTreeMap<String, String> {
    list.iter().filter_map(|entry| entry.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// An absolute path without trailing or doubled slashes and `.` parts, as the Engine cleans them.
pub(super) fn clean_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{clean_path, content_of_id, env_map};

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [("/data/", "/data"), ("//a//b/./c", "/a/b/c"), ("/", "/")] {
            assert_eq!(clean_path(path), clean);
        }
    }

    #[test]
    fn env_keeps_the_last_and_drops_what_is_unset() {
        let map = env_map(&["A=1".into(), "A=2=3".into(), "B".into(), "C=".into()]);
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [("A".into(), "2=3".into()), ("C".into(), String::new())]);
    }

    #[test]
    fn ids_with_and_without_algorithm() {
        let hex = "ab".repeat(32);
        assert_eq!(content_of_id(&hex), content_of_id(&format!("sha256:{hex}")));
        assert_eq!(content_of_id("sha256:12"), None);
    }
}
