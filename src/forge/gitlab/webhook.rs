//! GitLab's deliveries, of projects, groups and system hooks (GitLab "Webhook events", "System hooks"). Pure.
//!
//! The event is told by the body; the header's words differ between kinds of hooks.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::forge::event::{
    Check, Comment, CommentAction, CommentOn, Event, EventKind, ObjectName, ParseError, PullRequest, PullRequestAction,
    RefChange, Repository, Side, read,
};
use crate::forge::payload::must;

/// Visibility from which everyone may read: 0 is private, 10 internal.
const PUBLIC: u64 = 20;

/// What every event may have.
#[derive(Deserialize)]
struct Envelope {
    object_kind: Option<String>,
    event_name: Option<String>,
    project: Option<ProjectShape>,
    user: Option<UserShape>,
    user_username: Option<String>,
}

#[derive(Deserialize)]
struct UserShape {
    username: Option<String>,
}

#[derive(Deserialize)]
struct ProjectShape {
    path_with_namespace: Option<String>,
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
    visibility_level: Option<u64>,
    default_branch: Option<String>,
}

impl ProjectShape {
    fn read(self) -> Option<Repository> {
        let clone_urls = self.git_http_url.into_iter().chain(self.git_ssh_url).collect();
        let full_name = self.path_with_namespace?;
        let private = self.visibility_level.map(|level| level < PUBLIC);
        Some(Repository { full_name, clone_urls, web_url: self.web_url, private, default_branch: self.default_branch })
    }
}

pub(in crate::forge) fn parse(body: &str) -> Result<Event, ParseError> {
    let Envelope { object_kind, event_name, project, user, user_username } = read("GitLab", body)?;
    let name = must(object_kind.or(event_name).filter(|name| !name.is_empty()), "object_kind")?;
    let mut repository = project.and_then(ProjectShape::read);
    let mut action = None;
    let kind = match name.as_str() {
        "push" | "tag_push" => EventKind::Push(vec![read::<PushShape>(&name, body)?.read()]),
        "repository_update" => {
            let changes = read::<Updated>(&name, body)?.changes;
            EventKind::Push(changes.into_iter().map(PushShape::read).collect())
        }
        "merge_request" => {
            let MergeRequest { object_attributes, changes } = read(&name, body)?;
            action.clone_from(&object_attributes.action);
            let retargeted = changes.is_some_and(|changes| changes.target_branch.is_some());
            EventKind::PullRequest(object_attributes.read(retargeted))
        }
        "note" => {
            let note: Note = read(&name, body)?;
            action.clone_from(&note.object_attributes.action);
            EventKind::Comment(note.read(user.as_ref().and_then(|user| user.username.clone()))?)
        }
        "pipeline" => {
            let Pipeline { object_attributes: PipelineShape { sha, status, reference } } = read(&name, body)?;
            EventKind::Check(Check { head: sha, reference, status, conclusion: None })
        }
        "project_rename" | "project_transfer" => {
            let Renamed { path_with_namespace, old_path_with_namespace } = read(&name, body)?;
            repository = Some(Repository {
                full_name: path_with_namespace,
                clone_urls: Vec::new(),
                web_url: None,
                private: None,
                default_branch: None,
            });
            EventKind::RepositoryRenamed { from: old_path_with_namespace }
        }
        "release" => {
            let Released { tag, action: what } = read(&name, body)?;
            action = what;
            EventKind::Release { tag }
        }
        _ => EventKind::Other,
    };
    let sender = user.and_then(|user| user.username).or(user_username);
    Ok(Event { name, action, repository, sender, installation: None, kind })
}

#[derive(Deserialize)]
struct PushShape {
    #[serde(rename = "ref")]
    reference: String,
    before: ObjectName,
    after: ObjectName,
    checkout_sha: Option<ObjectName>,
    total_commits_count: Option<u64>,
    #[serde(default)]
    commits: Option<Vec<IgnoredAny>>,
}

impl PushShape {
    fn read(self) -> RefChange {
        let (before, after) = (self.before.unless_zero(), self.after.unless_zero());
        RefChange {
            reference: self.reference,
            created: before.is_none(),
            deleted: after.is_none(),
            before,
            after,
            forced: None,
            checkout: self.checkout_sha,
            commits: self.commits.map_or(0, |commits| commits.len()),
            commits_total: self.total_commits_count,
        }
    }
}

#[derive(Deserialize)]
struct Updated {
    changes: Vec<PushShape>,
}

#[derive(Deserialize)]
struct MergeRequest {
    object_attributes: MergeRequestShape,
    changes: Option<MergeRequestChanges>,
}

#[derive(Deserialize)]
struct MergeRequestChanges {
    target_branch: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct MergeRequestShape {
    iid: u64,
    title: Option<String>,
    action: Option<String>,
    state: Option<String>,
    draft: Option<bool>,
    work_in_progress: Option<bool>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    /// There where the head moved.
    oldrev: Option<ObjectName>,
    last_commit: Option<CommitShape>,
    source: Option<SideShape>,
    target: Option<SideShape>,
}

#[derive(Deserialize)]
struct CommitShape {
    id: ObjectName,
}

#[derive(Deserialize)]
struct SideShape {
    path_with_namespace: Option<String>,
}

impl MergeRequestShape {
    fn read(self, retargeted: bool) -> PullRequest {
        let merged = self.state.as_deref() == Some("merged");
        let action = match self.action.as_deref() {
            Some("open") => PullRequestAction::Opened,
            Some("reopen") => PullRequestAction::Reopened,
            Some("merge") => PullRequestAction::Closed { merged: true },
            Some("close") => PullRequestAction::Closed { merged },
            Some("update") if retargeted => PullRequestAction::Retargeted,
            Some("update") if self.oldrev.is_some() => PullRequestAction::Updated,
            Some(_) | None => PullRequestAction::Other,
        };
        // The source project is gone, or hidden, where its id is missing.
        let fork = self.source_project_id.is_none() || self.source_project_id != self.target_project_id;
        let path = |side: Option<SideShape>| side.and_then(|side| side.path_with_namespace);
        PullRequest {
            action,
            number: self.iid,
            state: self.state,
            title: self.title,
            draft: self.draft.or(self.work_in_progress).unwrap_or(false),
            head: Side {
                reference: Some(self.source_branch),
                commit: self.last_commit.map(|commit| commit.id),
                repository: path(self.source),
            },
            base: Side { reference: Some(self.target_branch), commit: None, repository: path(self.target) },
            fork,
        }
    }
}

#[derive(Deserialize)]
struct Note {
    object_attributes: NoteShape,
    merge_request: Option<Numbered>,
    issue: Option<Numbered>,
}

#[derive(Deserialize)]
struct NoteShape {
    id: u64,
    note: String,
    noteable_type: Option<String>,
    action: Option<String>,
    /// Written by GitLab itself.
    system: Option<bool>,
}

#[derive(Deserialize)]
struct Numbered {
    iid: u64,
}

impl Note {
    fn read(self, author: Option<String>) -> Result<Comment, ParseError> {
        let Note { object_attributes: note, merge_request, issue } = self;
        let on = match note.noteable_type.as_deref() {
            Some("MergeRequest") => CommentOn::PullRequest(must(merge_request, "merge_request")?.iid),
            Some("Issue") => CommentOn::Issue(must(issue, "issue")?.iid),
            Some("Commit") => CommentOn::Commit,
            Some(_) | None => CommentOn::Other,
        };
        let action = match note.action.as_deref() {
            // Older GitLabs send notes only when they are written, and no word for it.
            _ if note.system == Some(true) => CommentAction::Other,
            Some("create") | None => CommentAction::Created,
            Some("update") => CommentAction::Edited,
            Some(_) => CommentAction::Other,
        };
        Ok(Comment { id: note.id, action, on, body: note.note, author, association: None })
    }
}

#[derive(Deserialize)]
struct Pipeline {
    object_attributes: PipelineShape,
}

#[derive(Deserialize)]
struct PipelineShape {
    sha: Option<ObjectName>,
    status: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Renamed {
    path_with_namespace: String,
    old_path_with_namespace: String,
}

#[derive(Deserialize)]
struct Released {
    tag: String,
    action: Option<String>,
}
