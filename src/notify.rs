//! Notification webhooks: events as CloudEvents, signed, delivered in order and at least once.
//!
//! The queue is the kept events themselves, with a cursor for each target in the store: a target that is away holds up no
//! other, and after a restart everyone goes on where they were. Must not know what an event is about.

mod deliver;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use deliver::{Delivered, SIGNATURE_HEADER, Sender, sign};

use crate::events::event::chosen;
use crate::events::{Event, Events, ListenError};
use crate::git::Backoff;
use crate::metrics::{AttemptStatus, Metrics};
use crate::settings::NotifyTarget;
use crate::store::records::NotifyCursor;
use crate::store::{Store, StoreError};

/// The pause after a first failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(5);
/// How often an event is tried before it is given up: with doubling pauses of at most 15 minutes, about a day.
const ATTEMPTS_MAX: u64 = 100;
/// How long after a failure of the store it is asked again.
const STORE_AGAIN: Duration = Duration::from_secs(10);
/// The longest wait that a target may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What notifying takes.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// What is told.
    pub events: Events,
    /// Whoever counts.
    pub metrics: Metrics,
    /// Whoever sends.
    pub sender: Sender,
    /// The pause after a first failure.
    pub pause: Duration,
}

impl Parts {
    /// With the usual pauses.
    pub fn new(store: Store, events: Events, metrics: Metrics, sender: Sender) -> Self {
        Parts { store, events, metrics, sender, pause: PAUSE }
    }
}

/// Serves every target until `stop` is cancelled.
pub async fn notify(parts: Parts, targets: Vec<NotifyTarget>, stop: CancellationToken) {
    let keys: Vec<String> = targets.iter().map(key).collect();
    if let Err(error) = parts.store.keep_notify_cursors(&keys).await {
        tracing::warn!(%error, "targets that are no longer configured could not be forgotten");
    }
    let mut serving = JoinSet::new();
    for (target, key) in targets.into_iter().zip(keys) {
        let queue = Queue { parts: parts.clone(), target, key, random: RandomState::new() };
        serving.spawn(queue.run());
    }
    tokio::select! {
        () = stop.cancelled() => {}
        // Serving a target never ends by itself; where there is none, only the end is waited for.
        Some(Err(error)) = serving.join_next() => tracing::error!(%error, "notifying broke off"),
    }
    serving.shutdown().await;
}

/// The name of a target in the store: a hash, as some services name the recipient, and with it who may write there, in
/// the URL.
fn key(target: &NotifyTarget) -> String {
    let hash = digest(&SHA256, target.url.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One target and how far it was served.
struct Queue {
    parts: Parts,
    target: NotifyTarget,
    key: String,
    random: RandomState,
}

impl Queue {
    async fn run(self) {
        loop {
            if let Err(error) = self.serve().await {
                tracing::warn!(host = self.target.host(), %error, "notifications wait, as the store refuses");
            }
            tokio::time::sleep(STORE_AGAIN).await;
        }
    }

    /// Serves the target until the store refuses.
    async fn serve(&self) -> Result<(), StoreError> {
        let mut cursor = self.cursor().await?;
        loop {
            let mut listener = self.parts.events.listen(cursor.event);
            let events = match listener.next().await {
                Ok(events) => events,
                Err(ListenError::Store(error)) => return Err(error),
                Err(ListenError::Missed { after, first }) => {
                    tracing::error!(
                        host = self.target.host(),
                        after,
                        first,
                        "notifications were lost: they waited too long"
                    );
                    cursor = NotifyCursor { event: first.saturating_sub(1), ..NotifyCursor::default() };
                    self.put(&cursor).await?;
                    continue;
                }
            };
            if events.is_empty() {
                listener.more().await;
                continue;
            }
            for event in events {
                if self.target.events.iter().any(|pattern| chosen(pattern, event.kind)) {
                    self.bring(&event, &mut cursor).await?;
                }
                cursor = NotifyCursor { event: event.id, ..NotifyCursor::default() };
                self.put(&cursor).await?;
            }
        }
    }

    /// Where the target is; a new one begins with what comes.
    async fn cursor(&self) -> Result<NotifyCursor, StoreError> {
        match self.parts.store.notify_cursor(&self.key).await? {
            Some(cursor) => Ok(cursor),
            None => {
                let event = self.parts.events.before_last(0).await?;
                let cursor = NotifyCursor { event, ..NotifyCursor::default() };
                self.put(&cursor).await?;
                Ok(cursor)
            }
        }
    }

    async fn put(&self, cursor: &NotifyCursor) -> Result<(), StoreError> {
        self.parts.store.put_notify_cursor(&self.key, cursor.clone()).await
    }

    /// Brings one event there, or gives it up.
    async fn bring(&self, event: &Event, cursor: &mut NotifyCursor) -> Result<(), StoreError> {
        loop {
            if let Some(wait) = cursor.retry_at.and_then(|at| Duration::try_from(at - Timestamp::now()).ok()) {
                tokio::time::sleep(wait).await;
            }
            let delivered = self.parts.sender.send(&self.target, event).await;
            self.parts.metrics.notified(match &delivered {
                Delivered::Done => AttemptStatus::Success,
                Delivered::Later { .. } => AttemptStatus::Transient,
                Delivered::Never { .. } => AttemptStatus::Permanent,
            });
            let host = self.target.host();
            match delivered {
                Delivered::Done => {
                    tracing::debug!(host, event = event.id, kind = event.kind.word(), "notified");
                    return Ok(());
                }
                Delivered::Never { why } => {
                    tracing::error!(
                        host,
                        event = event.id,
                        kind = event.kind.word(),
                        why,
                        "a notification is refused for good"
                    );
                    return Ok(());
                }
                Delivered::Later { why, .. } if cursor.attempts + 1 >= ATTEMPTS_MAX => {
                    tracing::error!(
                        host,
                        event = event.id,
                        why,
                        "a notification is given up after {ATTEMPTS_MAX} attempts"
                    );
                    return Ok(());
                }
                Delivered::Later { why, after } => {
                    let pause = self.pause(cursor.attempts).max(after.unwrap_or_default().min(RETRY_AFTER_MAX));
                    if cursor.attempts == 0 {
                        tracing::warn!(host, event = event.id, why, "a notification waits, and is tried again");
                    }
                    cursor.attempts += 1;
                    cursor.last_error = Some(why);
                    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
                    cursor.retry_at = Timestamp::now().saturating_add(pause).ok();
                    self.put(cursor).await?;
                }
            }
        }
    }

    fn pause(&self, attempts: u64) -> Duration {
        let mut backoff = Backoff::default();
        (0..attempts.min(20)).for_each(|_| backoff.failed());
        let chance = (self.random.hash_one(attempts) >> 11) as f64 / (1_u64 << 53) as f64;
        backoff.pause(self.parts.pause, chance)
    }
}
