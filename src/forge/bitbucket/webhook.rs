//! Bitbucket Cloud's deliveries (Bitbucket Cloud "Event payloads"). Pure.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::forge::Headers;
use crate::forge::event::{
    Comment, CommentAction, CommentOn, Event, EventKind, ObjectName, ParseError, PullRequest, PullRequestAction,
    RefChange, Repository, Side, read,
};
use crate::forge::payload::{is_fork, must};

/// What every event may have.
#[derive(Deserialize)]
struct Envelope {
    repository: Option<RepositoryShape>,
    actor: Option<UserShape>,
}

#[derive(Deserialize)]
struct UserShape {
    nickname: Option<String>,
    display_name: Option<String>,
}

impl UserShape {
    fn name(self) -> Option<String> {
        self.nickname.or(self.display_name).filter(|name| !name.is_empty())
    }
}

#[derive(Deserialize)]
struct RepositoryShape {
    full_name: String,
    is_private: Option<bool>,
    links: Option<Links>,
    mainbranch: Option<Named>,
}

#[derive(Deserialize)]
struct Links {
    html: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl From<RepositoryShape> for Repository {
    fn from(shape: RepositoryShape) -> Self {
        let RepositoryShape { full_name, is_private, links, mainbranch } = shape;
        Repository {
            // Payloads do not say where to clone from; on Bitbucket Cloud that follows from the name.
            clone_urls: vec![
                format!("https://bitbucket.org/{full_name}.git"),
                format!("git@bitbucket.org:{full_name}.git"),
            ],
            web_url: links.and_then(|links| links.html).map(|link| link.href),
            full_name,
            private: is_private,
            default_branch: mainbranch.map(|branch| branch.name),
        }
    }
}

pub(in crate::forge) fn parse(headers: &Headers, body: &str) -> Result<Event, ParseError> {
    let name = headers.first(&["x-event-key"]).ok_or(ParseError::NoEvent("X-Event-Key"))?;
    let Envelope { repository, actor } = read(name, body)?;
    let sender = actor.and_then(UserShape::name);
    let (noun, verb) = name.split_once(':').unwrap_or((name, ""));
    let kind = match (noun, verb) {
        ("repo", "push") => {
            let changes = read::<Push>(name, body)?.push.changes;
            EventKind::Push(changes.into_iter().filter_map(Change::read).collect())
        }
        ("repo", "updated") => {
            match read::<RepositoryUpdate>(name, body)?.changes.and_then(|changes| changes.full_name) {
                Some(Moved { old }) => EventKind::RepositoryRenamed { from: old },
                None => EventKind::Other,
            }
        }
        ("pullrequest", verb) => match verb.strip_prefix("comment_") {
            Some(what) => EventKind::Comment(read::<Said>(name, body)?.read(what, sender.clone())),
            None => EventKind::PullRequest(read::<Request>(name, body)?.pullrequest.read(verb)),
        },
        _ => EventKind::Other,
    };
    let repository = repository.map(Repository::from);
    if !matches!(kind, EventKind::Other) {
        must(repository.as_ref(), "repository")?;
    }
    let action = (!verb.is_empty()).then(|| verb.to_owned());
    Ok(Event { name: name.to_owned(), action, repository, sender, installation: None, kind })
}

#[derive(Deserialize)]
struct Push {
    push: Changes,
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    new: Option<Tip>,
    old: Option<Tip>,
    forced: Option<bool>,
    commits: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Tip {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    hash: ObjectName,
}

impl Change {
    /// `None` where nothing came and nothing went.
    fn read(self) -> Option<RefChange> {
        let reference = {
            let tip = self.new.as_ref().or(self.old.as_ref())?;
            let folder = if matches!(tip.kind.as_str(), "tag" | "annotated_tag") { "refs/tags" } else { "refs/heads" };
            format!("{folder}/{}", tip.name)
        };
        Some(RefChange {
            reference,
            created: self.old.is_none(),
            deleted: self.new.is_none(),
            before: self.old.map(|tip| tip.target.hash),
            after: self.new.map(|tip| tip.target.hash),
            forced: self.forced,
            checkout: None,
            commits: self.commits.map_or(0, |commits| commits.len()),
            commits_total: None,
        })
    }
}

#[derive(Deserialize)]
struct RepositoryUpdate {
    changes: Option<RepositoryChanges>,
}

#[derive(Deserialize)]
struct RepositoryChanges {
    full_name: Option<Moved>,
}

#[derive(Deserialize)]
struct Moved {
    old: String,
}

#[derive(Deserialize)]
struct Request {
    pullrequest: RequestShape,
}

#[derive(Deserialize)]
struct RequestShape {
    id: u64,
    title: Option<String>,
    state: Option<String>,
    draft: Option<bool>,
    source: SideShape,
    destination: SideShape,
}

#[derive(Deserialize)]
struct SideShape {
    branch: Option<BranchShape>,
    commit: Option<Target>,
    repository: Option<NamedRepository>,
}

#[derive(Deserialize)]
struct BranchShape {
    name: Option<String>,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

impl From<SideShape> for Side {
    fn from(shape: SideShape) -> Self {
        Side {
            reference: shape.branch.and_then(|branch| branch.name),
            commit: shape.commit.map(|commit| commit.hash),
            repository: shape.repository.map(|repository| repository.full_name),
        }
    }
}

impl RequestShape {
    fn read(self, verb: &str) -> PullRequest {
        let (head, base) = (Side::from(self.source), Side::from(self.destination));
        PullRequest {
            action: match verb {
                "created" => PullRequestAction::Opened,
                // A new head and a new title come under the same word.
                "updated" => PullRequestAction::Updated,
                "fulfilled" => PullRequestAction::Closed { merged: true },
                "rejected" => PullRequestAction::Closed { merged: false },
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
struct Said {
    pullrequest: Numbered,
    comment: CommentShape,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct CommentShape {
    id: u64,
    content: Content,
    user: Option<UserShape>,
}

#[derive(Deserialize)]
struct Content {
    raw: String,
}

impl Said {
    fn read(self, what: &str, actor: Option<String>) -> Comment {
        Comment {
            id: self.comment.id,
            action: match what {
                "created" => CommentAction::Created,
                "updated" => CommentAction::Edited,
                "deleted" => CommentAction::Deleted,
                _ => CommentAction::Other,
            },
            on: CommentOn::PullRequest(self.pullrequest.id),
            body: self.comment.content.raw,
            author: self.comment.user.and_then(UserShape::name).or(actor),
            association: None,
        }
    }
}
