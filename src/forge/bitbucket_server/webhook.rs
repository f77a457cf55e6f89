//! Bitbucket Data Center's deliveries (Bitbucket Data Center "Event payload"). Pure.

use serde::Deserialize;

use crate::forge::Headers;
use crate::forge::event::{
    Comment, CommentAction, CommentOn, Event, EventKind, ObjectName, ParseError, PullRequest, PullRequestAction,
    RefChange, Repository, Side, read,
};
use crate::forge::payload::{is_fork, must};

/// What every event may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    event_key: Option<String>,
    actor: Option<UserShape>,
    repository: Option<RepositoryShape>,
}

#[derive(Deserialize)]
struct UserShape {
    name: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryShape {
    slug: String,
    project: ProjectShape,
    public: Option<bool>,
    links: Option<Links>,
}

#[derive(Deserialize)]
struct ProjectShape {
    key: String,
}

#[derive(Deserialize)]
struct Links {
    clone: Option<Vec<Link>>,
    #[serde(rename = "self")]
    own: Option<Vec<Link>>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

impl RepositoryShape {
    fn full_name(&self) -> String {
        format!("{}/{}", self.project.key, self.slug)
    }

    fn read(&self) -> Repository {
        let hrefs = |links: Option<&Vec<Link>>| -> Vec<String> {
            links.into_iter().flatten().map(|link| link.href.clone()).collect()
        };
        let links = self.links.as_ref();
        Repository {
            full_name: self.full_name(),
            clone_urls: hrefs(links.and_then(|links| links.clone.as_ref())),
            web_url: hrefs(links.and_then(|links| links.own.as_ref())).into_iter().next(),
            private: self.public.map(|public| !public),
            default_branch: None,
        }
    }
}

pub(in crate::forge) fn parse(headers: &Headers, body: &str) -> Result<Event, ParseError> {
    let header = headers.first(&["x-event-key"]);
    let Envelope { event_key, actor, repository } = read(header.unwrap_or("Bitbucket"), body)?;
    let name = header.map(str::to_owned).or(event_key).ok_or(ParseError::NoEvent("X-Event-Key"))?;
    let mut repository = repository.map(|repository| repository.read());
    let sender = actor.and_then(|actor| actor.name);
    let kind = match name.as_str() {
        "diagnostics:ping" => EventKind::Ping { hook: None },
        "repo:refs_changed" | "mirror:repo_synchronized" => {
            must(repository.as_ref(), "repository")?;
            EventKind::Push(read::<Changes>(&name, body)?.changes.into_iter().map(Change::read).collect())
        }
        "repo:modified" => {
            let Modified { old, new } = read(&name, body)?;
            let before = old.full_name();
            let now = new.read();
            let renamed = before != now.full_name;
            repository = Some(now);
            if renamed { EventKind::RepositoryRenamed { from: before } } else { EventKind::Other }
        }
        _ => match name.strip_prefix("pr:") {
            Some(verb) => {
                let Request { pull_request, previous_target, comment } = read(&name, body)?;
                repository = Some(pull_request.to_ref.repository.read());
                match verb.strip_prefix("comment:") {
                    Some(what) => {
                        let comment = must(comment, "comment")?;
                        EventKind::Comment(comment.read(what, pull_request.id, sender.clone()))
                    }
                    None => {
                        let target = &pull_request.to_ref.id;
                        let retargeted = previous_target.is_some_and(|previous| previous.id != *target);
                        EventKind::PullRequest(pull_request.read(verb, retargeted))
                    }
                }
            }
            None => EventKind::Other,
        },
    };
    let action = name.split_once(':').map(|(_, verb)| verb.to_owned());
    Ok(Event { name, action, repository, sender, installation: None, kind })
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(rename = "ref")]
    reference: RefShape,
    from_hash: ObjectName,
    to_hash: ObjectName,
}

#[derive(Deserialize)]
struct RefShape {
    id: String,
}

impl Change {
    fn read(self) -> RefChange {
        let (before, after) = (self.from_hash.unless_zero(), self.to_hash.unless_zero());
        RefChange {
            reference: self.reference.id,
            created: before.is_none(),
            deleted: after.is_none(),
            before,
            after,
            forced: None,
            checkout: None,
            commits: 0,
            commits_total: None,
        }
    }
}

#[derive(Deserialize)]
struct Modified {
    old: RepositoryShape,
    new: RepositoryShape,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    pull_request: RequestShape,
    previous_target: Option<RefShape>,
    comment: Option<CommentShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestShape {
    id: u64,
    title: Option<String>,
    state: Option<String>,
    draft: Option<bool>,
    from_ref: SideShape,
    to_ref: SideShape,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SideShape {
    id: String,
    latest_commit: Option<ObjectName>,
    repository: RepositoryShape,
}

impl From<SideShape> for Side {
    fn from(shape: SideShape) -> Self {
        Side { reference: Some(shape.id), commit: shape.latest_commit, repository: Some(shape.repository.full_name()) }
    }
}

impl RequestShape {
    fn read(self, verb: &str, retargeted: bool) -> PullRequest {
        let (head, base) = (Side::from(self.from_ref), Side::from(self.to_ref));
        PullRequest {
            action: match verb {
                "opened" => PullRequestAction::Opened,
                "from_ref_updated" => PullRequestAction::Updated,
                "reopened" => PullRequestAction::Reopened,
                "merged" => PullRequestAction::Closed { merged: true },
                "declined" | "deleted" => PullRequestAction::Closed { merged: false },
                "modified" if retargeted => PullRequestAction::Retargeted,
                _ => PullRequestAction::Other,
            },
            number: self.id,
            state: self.state,
            title: self.title,
            draft: self.draft.unwrap_or(false),
            fork: is_fork(head.repository.as_deref(), base.repository.as_deref()),
            head,
            base,
        }
    }
}

#[derive(Deserialize)]
struct CommentShape {
    id: u64,
    text: String,
    author: Option<UserShape>,
}

impl CommentShape {
    fn read(self, what: &str, number: u64, actor: Option<String>) -> Comment {
        Comment {
            id: self.id,
            action: match what {
                "added" => CommentAction::Created,
                "edited" => CommentAction::Edited,
                "deleted" => CommentAction::Deleted,
                _ => CommentAction::Other,
            },
            on: CommentOn::PullRequest(number),
            body: self.text,
            author: self.author.and_then(|author| author.name).or(actor),
            association: None,
        }
    }
}
