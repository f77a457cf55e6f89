//! Events: what happened, kept for a while and told to whoever listens.
//!
//! An event is stored before it is told, and whoever listens reads it from the store: a listener that is slow, or was away,
//! is never waited for and goes on where it was, as long as what it missed is still kept. Must not know who listens.

pub mod event;

use std::sync::Arc;

use tokio::sync::watch;

pub use event::{Event, EventType, NewEvent};

use crate::store::{Store, StoreError};

/// Events that a listener is handed at a time.
const PAGE: usize = 100;

/// Tells events; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    store: Store,
    newest: Arc<watch::Sender<u64>>,
}

impl Events {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Events { store, newest: Arc::new(watch::Sender::new(0)) }
    }

    /// Keeps an event and tells it. What is changed in the same breath is better stored with its event in one
    /// transaction, and told with [`Events::tell`].
    ///
    /// # Errors
    /// A database that refuses; nobody is told then.
    pub async fn publish(&self, event: NewEvent) -> Result<Event, StoreError> {
        let event = self.store.add_event(event).await?;
        self.tell(&event);
        Ok(event)
    }

    /// Tells an event that is stored already.
    pub fn tell(&self, event: &Event) {
        self.newest.send_modify(|newest| *newest = event.id.max(*newest));
    }

    /// Listens from `after` on: to the events that are kept with a higher number, and then to those that come.
    pub fn listen(&self, after: u64) -> Listener {
        Listener { store: self.store.clone(), newest: self.newest.subscribe(), seen: after }
    }

    /// The number after which the last `count` kept events come.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn before_last(&self, count: usize) -> Result<u64, StoreError> {
        self.store.event_before_last(count).await
    }
}

/// One that listens.
#[derive(Debug)]
pub struct Listener {
    store: Store,
    newest: watch::Receiver<u64>,
    seen: u64,
}

impl Listener {
    /// The next events, in order; empty where there are none yet.
    ///
    /// # Errors
    /// A database that refuses, or [`Missed`] where what comes next is no longer kept.
    pub async fn next(&mut self) -> Result<Vec<Event>, ListenError> {
        // Marked first: what comes while the page is read wakes the next wait.
        self.newest.mark_unchanged();
        let events = self.store.events_after(self.seen, PAGE).await?;
        let Some((first, last)) = events.first().zip(events.last()) else { return Ok(Vec::new()) };
        // Numbers are given without gaps, so a gap is what was let go of. Who has seen nothing misses nothing.
        if self.seen > 0 && first.id > self.seen + 1 {
            return Err(ListenError::Missed { after: self.seen, first: first.id });
        }
        self.seen = last.id;
        Ok(events)
    }

    /// Waits until there may be more; at once where there may be already.
    pub async fn more(&mut self) {
        // The sender lives as long as the daemon; a wait that outlives it has nothing to wait for.
        if self.newest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why a listener hears no more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ListenError {
    /// It was too far behind.
    #[error("the events between {after} and {first} are no longer kept")]
    Missed {
        /// Up to where it had heard.
        after: u64,
        /// The oldest that is kept.
        first: u64,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
