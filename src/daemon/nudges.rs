//! What a delivery asks to be looked at again. Pure.
//!
//! A delivery is a nudge: of what it says only the place is kept. What is reported is read again from Git and the forge.

use std::collections::BTreeSet;

use crate::commands::grammar::is_addressed;
use crate::forge::event::{CommentAction, CommentOn, Event, EventKind, PullRequestAction};
use crate::git::{Place, RemoteUrl};
use crate::ids::{IntegrationName, ProjectName};
use crate::reporter::Nudge;
use crate::store::records::Project;

/// What the first line of each of Trueup's own comments holds.
const MARK: &str = "trueup:";

/// What follows from one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consequence {
    /// Whether refs may have moved.
    pub(crate) moved: bool,
    /// What else is to be read again.
    pub(crate) nudge: Option<Nudge>,
}

/// What follows from an event for one project.
pub(crate) fn consequence(event: &Event, project: &ProjectName) -> Consequence {
    let project = project.clone();
    match &event.kind {
        EventKind::Push(_) | EventKind::RepositoryRenamed { .. } => Consequence { moved: true, nudge: None },
        EventKind::PullRequest(request) => Consequence {
            moved: request.action == PullRequestAction::Closed { merged: true },
            nudge: Some(Nudge::PullRequest { project, number: request.number }),
        },
        EventKind::Comment(comment) => {
            let nudge = match (comment.action, comment.on) {
                (CommentAction::Created, CommentOn::PullRequest(number)) if is_addressed(&comment.body) => {
                    Some(Nudge::Comment { project, number, comment_id: comment.id })
                }
                // What looks like a comment of Trueup's is gone: whether it is, is looked up at the forge.
                (CommentAction::Deleted, CommentOn::PullRequest(number)) if is_marked(&comment.body) => {
                    Some(Nudge::PullRequest { project, number })
                }
                _ => None,
            };
            Consequence { moved: false, nudge }
        }
        EventKind::CheckRerequested(_) => Consequence { moved: false, nudge: Some(Nudge::Checks { project }) },
        EventKind::Ping { .. }
        | EventKind::Review { .. }
        | EventKind::Check(_)
        | EventKind::Installation(_)
        | EventKind::Release { .. }
        | EventKind::Other => Consequence::default(),
    }
}

/// Whether the first line may be a marker of Trueup's; whose it is does not matter to a nudge.
fn is_marked(body: &str) -> bool {
    body.lines().next().is_some_and(|first| first.contains(MARK))
}

/// The projects whose repository an event is about, found by where that can be cloned from, among those that are reported to
/// one of the integrations that it came through.
pub(crate) fn projects_of(event: &Event, projects: &[Project], via: &BTreeSet<IntegrationName>) -> Vec<ProjectName> {
    let Some(repository) = &event.repository else { return Vec::new() };
    let places: Vec<(String, String)> =
        repository.clone_urls.iter().chain(&repository.web_url).filter_map(|url| place(url)).collect();
    let same = |project: &&Project| place(&project.url).is_some_and(|place| places.contains(&place));
    let theirs = |project: &&Project| project.integration.as_ref().is_some_and(|name| via.contains(name));
    projects.iter().filter(theirs).filter(same).map(|project| project.name.clone()).collect()
}

/// Host and path of a repository, the same however it is reached.
fn place(url: &str) -> Option<(String, String)> {
    let url = RemoteUrl::parse(url).ok()?;
    let path = match url.place() {
        Place::Http(url) => url.path().to_owned(),
        Place::Ssh(place) => place.path.clone(),
        Place::Local(_) => return None,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    Some((url.host()?.to_ascii_lowercase(), path.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_repository_is_the_same_however_it_is_reached() {
        let expected = place("https://github.com/Acme/Shop");
        assert!(expected.is_some());
        for url in
            ["git@github.com:acme/shop.git", "ssh://git@github.com/acme/shop.git", "https://GitHub.com/acme/shop.git/"]
        {
            assert_eq!(place(url), expected, "{url}");
        }
        for url in ["https://github.com/acme/shop2", "https://github.example/acme/shop", "/srv/acme/shop"] {
            assert_ne!(place(url), expected, "{url}");
        }
    }
}
