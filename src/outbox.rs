//! The outbox: reports leave the house here, and nowhere else.
//!
//! A report is written to the database first and posted second. Several on one topic are one: the newest. What a forge
//! cannot take now is tried again, later and later; what it refuses is recorded once; where the daemon is offline by its
//! settings nothing is sent, and what would have been is kept for posting by hand. Must not know what a report says.

mod attempt;
mod backoff;
mod desk;
mod posting;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

pub use crate::outbox::desk::{Desk, Forges, Unposted};
pub use crate::outbox::posting::{About, Posting};

use crate::store::{Store, StoreError};

/// Where reports are left; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    store: Store,
    bell: Arc<Notify>,
}

impl Outbox {
    /// The outbox of this database.
    pub fn new(store: Store) -> Self {
        Outbox { store, bell: Arc::default() }
    }

    /// Leaves a report: it is durable when this returns, and posted soon. Nothing is left where the same stands on the
    /// forge already.
    ///
    /// # Errors
    /// A database that refuses, or a project that is gone.
    pub async fn put(&self, about: About, posting: &Posting) -> Result<(), StoreError> {
        let new = posting::new_report(about, posting, Timestamp::now())?;
        if self.store.put_report(new).await?.is_some() {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Whether anything was ever left on the topic of such a report.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn has_any(&self, about: &About, posting: &Posting) -> Result<bool, StoreError> {
        self.store.has_topic(&about.topic(posting)).await
    }

    /// The forge's id of what stands there of a report, where it says the same and nothing newer waits.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn standing(&self, about: &About, posting: &Posting) -> Result<Option<String>, StoreError> {
        Ok(self.store.standing(&about.topic(posting)).await?.and_then(|posted| posted.remote_id))
    }

    /// Leaves a report again whose text is gone from the forge.
    ///
    /// # Errors
    /// A database that refuses, or a project that is gone.
    pub async fn put_anew(&self, about: About, posting: &Posting) -> Result<(), StoreError> {
        self.store.forget_standing(&about.topic(posting)).await?;
        self.put(about, posting).await
    }

    /// Has a report that failed for good, or was skipped, posted after all.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where there is nothing to post any more; [`StoreError::NotFound`].
    pub async fn retry(&self, id: u64) -> Result<(), StoreError> {
        self.store.retry_report(id, Timestamp::now()).await?;
        self.bell.notify_one();
        Ok(())
    }

    /// Resolves when something was left since the last time it was asked.
    async fn rung(&self) {
        self.bell.notified().await;
    }
}
