//! Gitea's and Forgejo's deliveries (Gitea "Webhooks"; Forgejo "Webhooks"). Pure.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::forge::Headers;
use crate::forge::event::{Event, EventKind, ParseError, Repository, read};
use crate::forge::headers::GITEA_EVENT;
use crate::forge::payload::{
    CommentShape, IssueShape, PullRequestShape, PushShape, RefShape, RepositoryShape, UserShape, must,
};

/// What every event may have.
#[derive(Deserialize)]
struct Envelope {
    action: Option<String>,
    repository: Option<RepositoryShape>,
    sender: Option<UserShape>,
}

pub(in crate::forge) fn parse(headers: &Headers, body: &str) -> Result<Event, ParseError> {
    let name = headers.first(GITEA_EVENT).ok_or(ParseError::NoEvent("X-Gitea-Event or X-Forgejo-Event"))?;
    let Envelope { action, repository, sender } = read(name, body)?;
    let repository = repository.map(Repository::from);
    let kind = match name {
        "push" => EventKind::Push(vec![read::<PushShape>(name, body)?.into()]),
        "create" | "delete" => {
            let change = read::<RefShape>(name, body)?.change(name == "create");
            change.map_or(EventKind::Other, |change| EventKind::Push(vec![change]))
        }
        "pull_request"
        | "pull_request_assign"
        | "pull_request_label"
        | "pull_request_milestone"
        | "pull_request_sync"
        | "pull_request_review_request" => {
            let Request { pull_request, changes } = read(name, body)?;
            let retargeted = changes.is_some_and(|changes| changes.reference.is_some());
            EventKind::PullRequest(pull_request.read(must(action.as_deref(), "action")?, retargeted))
        }
        // The word is also that of a review's comment, which has no comment of its own.
        "issue_comment" | "pull_request_comment" => match read(name, body)? {
            Said { comment: Some(comment), issue: Some(issue), is_pull, .. } => {
                let on_pull_request = is_pull.unwrap_or(issue.pull_request.is_some());
                EventKind::Comment(comment.read(must(action.as_deref(), "action")?, &issue, on_pull_request))
            }
            Said { pull_request: Some(request), review: Some(_), .. } => EventKind::Review { number: request.number },
            _ => return Err(ParseError::Missing("comment and issue")),
        },
        "pull_request_review"
        | "pull_request_approved"
        | "pull_request_rejected"
        | "pull_request_review_approved"
        | "pull_request_review_rejected"
        | "pull_request_review_comment" => {
            EventKind::Review { number: read::<Review>(name, body)?.pull_request.number }
        }
        "release" => EventKind::Release { tag: read::<Released>(name, body)?.release.tag_name },
        _ => EventKind::Other,
    };
    let sender = sender.and_then(UserShape::name);
    Ok(Event { name: name.to_owned(), action, repository, sender, installation: None, kind })
}

#[derive(Deserialize)]
struct Request {
    pull_request: PullRequestShape,
    changes: Option<RequestChanges>,
}

#[derive(Deserialize)]
struct RequestChanges {
    #[serde(rename = "ref")]
    reference: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Said {
    comment: Option<CommentShape>,
    issue: Option<IssueShape>,
    is_pull: Option<bool>,
    pull_request: Option<Numbered>,
    review: Option<IgnoredAny>,
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
struct Released {
    release: ReleaseShape,
}

#[derive(Deserialize)]
struct ReleaseShape {
    tag_name: String,
}
