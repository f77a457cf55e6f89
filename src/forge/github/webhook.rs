//! GitHub's deliveries (GitHub "Webhook events and payloads"). Pure.

use serde::Deserialize;

use crate::forge::Headers;
use crate::forge::event::{
    Check, Event, EventKind, Installation, InstallationChange, ObjectName, ParseError, RefChange, Repository, read,
};
use crate::forge::payload::{
    CommentShape, IssueShape, PullRequestShape, PushShape, RefShape, RepositoryShape, UserShape, must,
};

/// What every event may have.
#[derive(Deserialize)]
struct Envelope {
    action: Option<String>,
    repository: Option<RepositoryShape>,
    sender: Option<UserShape>,
    installation: Option<InstallationId>,
}

#[derive(Deserialize)]
struct InstallationId {
    id: u64,
}

pub(in crate::forge) fn parse(headers: &Headers, body: &str) -> Result<Event, ParseError> {
    let name = headers.first(&["x-github-event"]).ok_or(ParseError::NoEvent("X-GitHub-Event"))?;
    let Envelope { action, repository, sender, installation } = read(name, body)?;
    let repository = repository.map(Repository::from);
    let installation = installation.map(|installation| installation.id);
    let word = action.as_deref().unwrap_or_default();
    let kind = match name {
        "ping" => EventKind::Ping { hook: read::<Ping>(name, body)?.hook_id },
        "push" => EventKind::Push(vec![read::<PushShape>(name, body)?.into()]),
        "create" | "delete" => {
            let change: Option<RefChange> = read::<RefShape>(name, body)?.change(name == "create");
            change.map_or(EventKind::Other, |change| EventKind::Push(vec![change]))
        }
        "pull_request" => {
            let Request { pull_request, changes } = read(name, body)?;
            let retargeted = changes.is_some_and(|changes| changes.base.is_some());
            EventKind::PullRequest(pull_request.read(must(action.as_deref(), "action")?, retargeted))
        }
        "pull_request_review" => EventKind::Review { number: read::<Review>(name, body)?.pull_request.number },
        "issue_comment" => {
            let Said { comment, issue } = read(name, body)?;
            let on_pull_request = issue.pull_request.is_some();
            EventKind::Comment(comment.read(must(action.as_deref(), "action")?, &issue, on_pull_request))
        }
        "check_run" => check(word, must(read::<Checks>(name, body)?.check_run, "check_run")?),
        "check_suite" => check(word, must(read::<Checks>(name, body)?.check_suite, "check_suite")?),
        "installation" | "installation_repositories" => {
            let id = must(installation, "installation")?;
            EventKind::Installation(read::<Installed>(name, body)?.read(id, name, must(action.as_deref(), "action")?))
        }
        "repository" => renamed(word, repository.as_ref(), body)?,
        "release" => EventKind::Release { tag: read::<Released>(name, body)?.release.tag_name },
        _ => EventKind::Other,
    };
    Ok(Event {
        name: name.to_owned(),
        action,
        repository,
        sender: sender.and_then(UserShape::name),
        installation,
        kind,
    })
}

#[derive(Deserialize)]
struct Ping {
    hook_id: Option<u64>,
}

#[derive(Deserialize)]
struct Request {
    pull_request: PullRequestShape,
    changes: Option<RequestChanges>,
}

#[derive(Deserialize)]
struct RequestChanges {
    base: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Review {
    pull_request: Numbered,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

#[derive(Deserialize)]
struct Said {
    comment: CommentShape,
    issue: IssueShape,
}

#[derive(Deserialize)]
struct Checks {
    check_run: Option<CheckShape>,
    check_suite: Option<CheckShape>,
}

#[derive(Deserialize)]
struct CheckShape {
    head_sha: ObjectName,
    status: Option<String>,
    conclusion: Option<String>,
}

fn check(action: &str, shape: CheckShape) -> EventKind {
    let CheckShape { head_sha, status, conclusion } = shape;
    let check = Check { head: Some(head_sha), reference: None, status, conclusion };
    if action == "rerequested" { EventKind::CheckRerequested(check) } else { EventKind::Check(check) }
}

#[derive(Deserialize)]
struct Installed {
    repositories: Option<Vec<Named>>,
    repositories_added: Option<Vec<Named>>,
    repositories_removed: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

impl Installed {
    fn read(self, id: u64, event: &str, action: &str) -> Installation {
        let names = |list: Option<Vec<Named>>| list.unwrap_or_default().into_iter().map(|one| one.full_name).collect();
        Installation {
            id,
            change: match (event, action) {
                ("installation_repositories", _) => InstallationChange::Repositories,
                (_, "created") => InstallationChange::Created,
                (_, "deleted") => InstallationChange::Deleted,
                (_, "suspend") => InstallationChange::Suspended,
                (_, "unsuspend") => InstallationChange::Unsuspended,
                _ => InstallationChange::Other,
            },
            repositories: names(self.repositories),
            added: names(self.repositories_added),
            removed: names(self.repositories_removed),
        }
    }
}

#[derive(Deserialize)]
struct Released {
    release: ReleaseShape,
}

#[derive(Deserialize)]
struct ReleaseShape {
    tag_name: String,
}

#[derive(Deserialize)]
struct Renamed {
    changes: RenameChanges,
}

#[derive(Deserialize)]
struct RenameChanges {
    repository: Option<RenamedRepository>,
    owner: Option<RenamedOwner>,
}

#[derive(Deserialize)]
struct RenamedRepository {
    name: From,
}

#[derive(Deserialize)]
struct From {
    from: String,
}

#[derive(Deserialize)]
struct RenamedOwner {
    from: OldOwner,
}

#[derive(Deserialize)]
struct OldOwner {
    user: Option<UserShape>,
    organization: Option<UserShape>,
}

fn renamed(action: &str, repository: Option<&Repository>, body: &str) -> Result<EventKind, ParseError> {
    if !matches!(action, "renamed" | "transferred") {
        return Ok(EventKind::Other);
    }
    let now = must(repository, "repository")?;
    let (owner, name) = now.full_name.split_once('/').ok_or(ParseError::Missing("repository.full_name"))?;
    let changes = read::<Renamed>("repository", body)?.changes;
    let before = match action {
        "renamed" => format!("{owner}/{}", must(changes.repository, "changes.repository")?.name.from),
        _ => {
            let OldOwner { user, organization } = must(changes.owner, "changes.owner")?.from;
            let old = user.or(organization).and_then(UserShape::name);
            format!("{}/{name}", must(old, "changes.owner.from")?)
        }
    };
    Ok(EventKind::RepositoryRenamed { from: before })
}
