//! One attempt to post: a posting, a forge, and what becomes of it.

use crate::forge::ForgeError;
use crate::forge::api::{Forge, Report, Upserted};
use crate::metrics::AnnotationOperation;
use crate::outbox::posting::Posting;
use crate::store::records::Posted;

/// What stands on the forge after an attempt that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) id: Option<String>,
    pub(super) url: Option<String>,
}

impl From<Upserted> for Stands {
    fn from(upserted: Upserted) -> Self {
        Stands { id: Some(upserted.id), url: upserted.url }
    }
}

/// Posts once. `stands` is what an earlier posting on the topic left.
pub(super) async fn post(forge: &dyn Forge, posting: Posting, stands: Option<&Posted>) -> Report<Stands> {
    let known = stands.and_then(|posted| posted.remote_id.clone());
    let result: Result<Stands, ForgeError> = match posting {
        Posting::Comment(mut request) | Posting::Answer(mut request) => {
            request.known_id = known;
            forge.upsert_comment(&request).await.map(Stands::from)
        }
        Posting::Status(request) => forge.set_status(&request).await.map(|()| Stands::default()),
        Posting::CheckRun(request) => forge.upsert_check_run(&request).await.map(Stands::from),
        Posting::LineNotes(request) => forge.note_lines(&request).await.map(|_| Stands::default()),
        Posting::Issue(mut request) => {
            request.known_id = known;
            forge.upsert_issue(&request).await.map(Stands::from)
        }
        Posting::CloseIssue { repository, marker } => {
            let closed = forge.close_issue(&repository, known.as_deref(), &marker).await;
            // The id stays known: the issue is opened again where the same drifts again.
            closed.map(|()| Stands { id: known, url: None })
        }
    };
    Report::from(result)
}

/// The operation's name among the metrics.
pub(super) fn operation(posting: &Posting) -> AnnotationOperation {
    match posting {
        Posting::Comment(_) | Posting::Answer(_) => AnnotationOperation::Comment,
        Posting::Status(_) => AnnotationOperation::Status,
        Posting::CheckRun(_) => AnnotationOperation::CheckRun,
        Posting::LineNotes(_) => AnnotationOperation::Discussion,
        Posting::Issue(_) | Posting::CloseIssue { .. } => AnnotationOperation::Issue,
    }
}
