//! What is polled: one place per URL, credential and ref, however many environments track it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::{Backoff, RemoteUrl};
use crate::ids::{CommitSha, EnvironmentRef};
use crate::pass::tracked_ref;
use crate::secret::AuthRef;
use crate::store::records::{Environment, Project};

/// One ref of one repository, asked with one credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlaceKey {
    pub(crate) url: String,
    pub(crate) auth: Option<AuthRef>,
    pub(crate) user: Option<String>,
    pub(crate) reference: String,
    /// The URL's host; `None` for a repository of this machine, or a URL that is none.
    pub(crate) host: Option<String>,
}

/// What is known of a place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A project that is there: whose credential is resolved.
    pub(crate) project: Project,
    /// The environments that track it.
    pub(crate) environments: BTreeSet<EnvironmentRef>,
    /// Where the ref stood when all of them had last read it.
    pub(crate) tip: Option<CommitSha>,
    /// Failures to ask.
    pub(crate) backoff: Backoff,
    /// Failures to read what it moved to.
    pub(crate) unread: Backoff,
}

/// The places of what is registered; disabled projects have none.
pub(crate) fn places(projects: &[Project], environments: &[Environment]) -> BTreeMap<PlaceKey, Place> {
    let enabled: BTreeMap<_, _> =
        projects.iter().filter(|project| !project.disabled).map(|project| (&project.name, project)).collect();
    let mut places: BTreeMap<PlaceKey, Place> = BTreeMap::new();
    for environment in environments {
        let Some(project) = enabled.get(&environment.id.project).copied() else { continue };
        let key = PlaceKey {
            url: project.url.clone(),
            auth: project.auth.clone(),
            user: project.user.clone(),
            reference: tracked_ref(project, environment),
            host: RemoteUrl::parse(&project.url).ok().and_then(|url| url.host().map(str::to_owned)),
        };
        let fresh = || Place {
            project: project.clone(),
            environments: BTreeSet::new(),
            tip: None,
            backoff: Backoff::default(),
            unread: Backoff::default(),
        };
        places.entry(key).or_insert_with(fresh).environments.insert(environment.id.clone());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::places;
    use crate::store::records::{Environment, Project};
    use jiff::Timestamp;

    fn project(name: &str, url: &str) -> Project {
        Project {
            name: name.parse().unwrap(),
            url: url.into(),
            auth: None,
            user: None,
            tracked: None,
            config_path: ".trueup.yml".into(),
            disabled: false,
            webhook_secret: None,
            integration: None,
            repository: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn environment(id: &str, tracked: Option<&str>) -> Environment {
        Environment {
            id: id.parse().unwrap(),
            provider: "memory".into(),
            settings: Default::default(),
            tracked: tracked.map(Into::into),
            secrets: Default::default(),
            values: Default::default(),
            allow_host_paths: Vec::new(),
            allow_untracked: false,
            report_detail: Default::default(),
            plan_forks: false,
            drift_issue: false,
            comment_commands: Default::default(),
            run_as: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn one_place_per_url_credential_and_ref() {
        let mut projects = vec![project("a", "/x"), project("b", "/x"), project("c", "/x"), project("d", "/x")];
        projects[2].auth = Some("env://TOKEN".parse().unwrap());
        projects[3].disabled = true;
        let environments = [
            environment("a/one", None),
            environment("a/two", None),
            environment("a/three", Some("release")),
            environment("b/one", None),
            environment("c/one", None),
            environment("d/one", None),
        ];
        let sizes: Vec<usize> =
            places(&projects, &environments).values().map(|place| place.environments.len()).collect();
        assert_eq!(sizes, [3, 1, 1], "a and b share, `release` and the credential do not, d is off");
    }
}
