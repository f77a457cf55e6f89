//! Check runs with annotations. GitHub takes 50 annotations a request and adds those of every update to the run's, so a
//! run holds one content only: its digest is the run's `external_id`, and a run that was interrupted goes on where its
//! count of annotations says.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::ForgeError;
use crate::forge::api::{Annotation, AnnotationLevel, Change, CheckConclusion, CheckRunRequest, Upserted, cut};
use crate::forge::session::{Ask, Session};

/// Annotations per request.
const BATCH: usize = 50;
/// The longest title of an annotation, in characters.
const TITLE: usize = 255;
/// The longest message of an annotation and the longest summary, in bytes (64 KiB).
const TEXT: usize = 64 << 10;

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    status: String,
    #[serde(default)]
    output: Output,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    annotations_count: usize,
}

/// Writes the run.
pub(super) async fn upsert(session: &Session<'_>, request: &CheckRunRequest) -> Result<Upserted, ForgeError> {
    let place = ["repos", request.repository.owner(), request.repository.name()];
    let digest = digest(request);
    let standing = find(session, &place, request, &digest).await?;
    let (mut written, mut run, change) = match standing {
        Some(run) if run.status == "completed" => return Ok(upserted(run, Change::Unchanged)),
        Some(run) => (run.output.annotations_count.min(request.annotations.len()), Some(run), Change::Edited),
        None => (0, None, Change::Created),
    };
    loop {
        let batch = &request.annotations[written..request.annotations.len().min(written + BATCH)];
        written += batch.len();
        let mut body = content(request, batch, written == request.annotations.len());
        let ask = match &run {
            None => {
                body["head_sha"] = json!(request.commit.as_str());
                body["external_id"] = json!(digest);
                Ask::post(&[&place[..], &["check-runs"]].concat(), body)
            }
            Some(run) => Ask::patch(&[&place[..], &["check-runs", &run.id.to_string()]].concat(), body),
        };
        let answered: Run = session.ask(ask).await?.json()?;
        if written == request.annotations.len() {
            return Ok(upserted(answered, change));
        }
        run = Some(answered);
    }
}

fn upserted(run: Run, change: Change) -> Upserted {
    Upserted { id: run.id.to_string(), url: run.html_url, change }
}

/// The newest run of this name and content.
async fn find(
    session: &Session<'_>,
    place: &[&str; 3],
    request: &CheckRunRequest,
    digest: &str,
) -> Result<Option<Run>, ForgeError> {
    let path = [&place[..], &["commits", request.commit.as_str(), "check-runs"]].concat();
    // `latest` is the newest of each name and App; an older one of the same content is hidden behind it.
    let ask = Ask::get(&path).query("check_name", &request.name).query("filter", "latest").query("per_page", 100);
    let runs: Runs = session.ask(ask).await?.json()?;
    let found = runs.check_runs.into_iter().try_for_each(|run| {
        if run.external_id.as_deref() == Some(digest) { ControlFlow::Break(run) } else { ControlFlow::Continue(()) }
    });
    Ok(found.break_value())
}

fn digest(request: &CheckRunRequest) -> String {
    // The derived form has no maps, so it is the same each time.
    let text = serde_json::to_vec(request).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(request: &CheckRunRequest, batch: &[Annotation], complete: bool) -> Value {
    let annotations: Vec<Value> = batch.iter().map(annotation).collect();
    let mut body = json!({
        "name": request.name,
        "output": {
            "title": request.title,
            "summary": bytes(&request.summary, TEXT),
            "annotations": annotations,
        },
    });
    if let Some(url) = &request.details_url {
        body["details_url"] = json!(url);
    }
    if complete {
        body["status"] = json!("completed");
        body["conclusion"] = json!(match request.conclusion {
            CheckConclusion::Success => "success",
            CheckConclusion::Neutral => "neutral",
            CheckConclusion::Failure => "failure",
            CheckConclusion::Cancelled => "cancelled",
        });
    } else {
        body["status"] = json!("in_progress");
    }
    body
}

fn annotation(annotation: &Annotation) -> Value {
    json!({
        "path": annotation.path,
        "start_line": annotation.start_line,
        "end_line": annotation.end_line.max(annotation.start_line),
        "annotation_level": match annotation.level {
            AnnotationLevel::Notice => "notice",
            AnnotationLevel::Warning => "warning",
            AnnotationLevel::Failure => "failure",
        },
        "title": cut(&annotation.title, TITLE),
        "message": bytes(&annotation.message, TEXT),
    })
}

/// A text cut to so many bytes, between characters.
fn bytes(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
