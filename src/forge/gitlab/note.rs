//! Discussions on lines of a merge request's diff.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::json;

use super::text::NOTES;
use super::wire::{DiffRefs, MergeRequest, Note, User};
use crate::forge::ForgeError;
use crate::forge::api::{LineNote, LineNotes, LineNotesRequest};
use crate::forge::session::{Ask, Session};
use crate::forge::upsert::same_text;

#[derive(Deserialize)]
struct Discussion {
    id: String,
    notes: Vec<Note>,
}

/// A discussion of ours.
struct Standing {
    discussion: String,
    note: Note,
    path: String,
    line: u32,
}

/// Makes exactly these notes stand.
pub(super) async fn write(
    session: &Session<'_>,
    author: &User,
    request: &LineNotesRequest,
) -> Result<LineNotes, ForgeError> {
    let number = request.pull.to_string();
    let place = ["projects", request.repository.as_str(), "merge_requests", &number];
    let mut standing = standing(session, &place, author, &request.marker).await?;
    let mut done = LineNotes::default();
    let mut refs: Option<DiffRefs> = None;
    for note in &request.notes {
        let known = standing.iter().position(|old| old.path == note.path && old.line == note.line);
        match known.map(|index| standing.remove(index)) {
            Some(old) if same_text(&old.note.body, &note.body) && !old.note.resolved => done.unchanged += 1,
            Some(old) => {
                edit(session, &place, &old, note).await?;
                done.edited += 1;
            }
            None => {
                let refs = match &refs {
                    Some(refs) => refs,
                    None => refs.insert(diff_refs(session, &place).await?),
                };
                match create(session, &place, refs, note).await? {
                    true => done.created += 1,
                    false => done.outside += 1,
                }
            }
        }
    }
    for old in standing.iter().filter(|old| !old.note.resolved) {
        resolve(session, &place, &old.discussion, true).await?;
        done.resolved += 1;
    }
    Ok(done)
}

async fn standing(
    session: &Session<'_>,
    place: &[&str; 4],
    author: &User,
    marker: &str,
) -> Result<Vec<Standing>, ForgeError> {
    let mut found = Vec::new();
    let visit = |Discussion { id, notes }: Discussion| {
        if let Some(note) = notes.into_iter().next()
            && note.author.id == author.id
            && note.body.contains(marker)
            && let Some(position) = note.position.clone()
            && let (Some(path), Some(line)) = (position.new_path, position.new_line)
        {
            found.push(Standing { discussion: id, note, path, line });
        }
        ControlFlow::<()>::Continue(())
    };
    session.pages(Ask::get(&[&place[..], &["discussions"]].concat()), NOTES, visit).await?;
    Ok(found)
}

async fn diff_refs(session: &Session<'_>, place: &[&str; 4]) -> Result<DiffRefs, ForgeError> {
    let request: MergeRequest = session.ask(Ask::get(place)).await?.json()?;
    // A new request has none until GitLab has looked at it.
    request.diff_refs.ok_or_else(|| ForgeError::Transient {
        operation: session.operation.clone(),
        reason: "the merge request has no diff yet".into(),
        retry_after: None,
    })
}

/// Begins a discussion; `false` where the line is not part of the diff.
async fn create(
    session: &Session<'_>,
    place: &[&str; 4],
    refs: &DiffRefs,
    note: &LineNote,
) -> Result<bool, ForgeError> {
    let body = json!({
        "body": note.body,
        "position": {
            "position_type": "text",
            "base_sha": refs.base_sha,
            "start_sha": refs.start_sha,
            "head_sha": refs.head_sha,
            "new_path": note.path,
            "old_path": note.path,
            "new_line": note.line,
        },
    });
    match session.ask(Ask::post(&[&place[..], &["discussions"]].concat(), body)).await {
        Ok(_) => Ok(true),
        // GitLab knows no position of that kind: an added line is what such a note may stand on.
        Err(ForgeError::Rejected { reason, .. }) if reason.starts_with("HTTP 400") && reason.contains("line_code") => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn edit(session: &Session<'_>, place: &[&str; 4], old: &Standing, note: &LineNote) -> Result<(), ForgeError> {
    let id = old.note.id.to_string();
    session.ask(Ask::put(&[&place[..], &["notes", &id]].concat(), json!({ "body": note.body }))).await?;
    if old.note.resolved {
        resolve(session, place, &old.discussion, false).await?;
    }
    Ok(())
}

async fn resolve(session: &Session<'_>, place: &[&str; 4], discussion: &str, resolved: bool) -> Result<(), ForgeError> {
    let path = [&place[..], &["discussions", discussion]].concat();
    session.find(Ask::put(&path, json!({ "resolved": resolved }))).await.map(drop)
}
