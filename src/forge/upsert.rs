//! The flow by which a text stands on a forge exactly once: edit the known one; else find the one with the marker; else
//! create. A create whose reply was lost is found by its marker when it is tried again.

use async_trait::async_trait;

use crate::forge::ForgeError;
use crate::forge::api::{Change, Upserted};

/// A text that stands on the forge.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) url: Option<String>,
}

impl Standing {
    pub(crate) fn after(self, change: Change) -> Upserted {
        Upserted { id: self.id, url: self.url, change }
    }
}

/// A place on a forge where texts stand: the comments of a request, the issues of a repository.
#[async_trait]
pub(crate) trait Texts: Sync {
    /// Replaces a text; `None` where it is gone.
    async fn edit(&self, id: &str, body: &str) -> Result<Option<Standing>, ForgeError>;

    /// The oldest text with this marker that this very account wrote, and what it says. Others may copy the marker, and
    /// an account that may write may edit theirs.
    async fn find(&self, marker: &str) -> Result<Option<(Standing, String)>, ForgeError>;

    /// Creates a text.
    async fn create(&self, body: &str) -> Result<Standing, ForgeError>;
}

/// Makes `body` stand exactly once.
pub(crate) async fn upsert(
    texts: &dyn Texts,
    operation: &str,
    known_id: Option<&str>,
    marker: &str,
    body: &str,
) -> Result<Upserted, ForgeError> {
    if marker.is_empty() || !body.contains(marker) {
        return Err(ForgeError::rejected(
            operation,
            "the text does not hold its marker, so it would not be found again",
        ));
    }
    if let Some(id) = known_id
        && let Some(standing) = texts.edit(id, body).await?
    {
        return Ok(standing.after(Change::Edited));
    }
    if let Some((standing, says)) = texts.find(marker).await? {
        if same_text(&says, body) {
            return Ok(standing.after(Change::Unchanged));
        }
        if let Some(standing) = texts.edit(&standing.id, body).await? {
            return Ok(standing.after(Change::Edited));
        }
    }
    Ok(texts.create(body).await?.after(Change::Created))
}

/// The text that is known, or else the one with the marker.
pub(crate) async fn known_or_found(
    texts: &dyn Texts,
    known_id: Option<&str>,
    marker: &str,
) -> Result<Option<String>, ForgeError> {
    match known_id {
        Some(id) => Ok(Some(id.to_owned())),
        None => Ok(texts.find(marker).await?.map(|(standing, _)| standing.id)),
    }
}

/// Whether two texts are one, whichever line ends and final newlines a forge keeps.
pub(crate) fn same_text(a: &str, b: &str) -> bool {
    a.trim_end().lines().eq(b.trim_end().lines())
}
