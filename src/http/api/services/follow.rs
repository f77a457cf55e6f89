//! A service's output as it comes: of the replicas that it has, and of those that a sync makes while someone listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::http::api::services::logs::LINES_MAX;
use crate::http::dto::LogLine;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::{Health, LiveReplica, Observed, ReplicaId};
use crate::pass::Passes;
use crate::provider::SharedProvider;
use crate::secret::mask::Mask;

/// Lines that wait for a slow reader before the replica's stream is slowed down.
const QUEUE: usize = 256;
/// Time between two looks for new replicas where the provider does not tell of changes, or cannot just now.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Time after which a look is taken although the provider told of no change.
const LOOK_AT_LATEST: Duration = Duration::from_secs(30);
/// Changes that are looked at together.
const AT_ONCE: usize = 256;

/// Whose output is followed.
pub(super) struct Followed {
    pub(super) passes: Passes,
    pub(super) provider: SharedProvider,
    pub(super) id: EnvironmentRef,
    pub(super) service: ServiceName,
}

/// One replica's stream.
struct Stream {
    /// Ends with the replica's process, or with whoever listens.
    task: JoinHandle<()>,
    /// Whether it brought anything. One that did not was not begun when it was first seen.
    said: Arc<AtomicBool>,
}

type Changes = Option<BoxStream<'static, Vec<Result<(), String>>>>;

impl Followed {
    /// The last `lines` of these replicas, then whatever any replica of the service prints, until `shutdown`.
    pub(super) fn answer(
        self,
        replicas: Vec<LiveReplica>,
        mask: Mask,
        lines: usize,
        shutdown: CancellationToken,
    ) -> Response {
        let (sink, source) = mpsc::channel::<LogLine>(QUEUE);
        let ended = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = self.run(replicas, mask, lines, &sink) => {}
                () = sink.closed() => {}
                () = ended.cancelled() => {}
            }
        });
        let events = ReceiverStream::new(source)
            .map(|line| Event::default().event("line").json_data(&line))
            .take_until(shutdown.cancelled_owned());
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    async fn run(&self, replicas: Vec<LiveReplica>, mask: Mask, lines: usize, sink: &mpsc::Sender<LogLine>) {
        let mut streams: BTreeMap<ReplicaId, Stream> = BTreeMap::new();
        let mask = Arc::new(mask);
        for replica in replicas {
            streams.insert(replica.id.clone(), self.begin(replica, &mask, lines, sink));
        }
        let mut changes = self.changes();
        loop {
            self.look(&mut streams, sink).await;
            changed(&mut changes).await;
            if changes.is_none() {
                changes = self.changes();
            }
        }
    }

    fn changes(&self) -> Changes {
        self.provider.changes().map(|changes| changes.ready_chunks(AT_ONCE).boxed())
    }

    /// Begins with the replicas that run and are not followed. What cannot be seen now is looked at again.
    async fn look(&self, streams: &mut BTreeMap<ReplicaId, Stream>, sink: &mpsc::Sender<LogLine>) {
        let Observed::Known(mut services) = self.provider.observe().await.services else { return };
        let mask = match self.passes.mask(&self.id, &services).await {
            Ok(mask) => Arc::new(mask),
            Err(error) => {
                // Without its secrets known, nothing of a new replica is passed on.
                tracing::warn!(environment = %self.id, %error, "new replicas are not followed yet");
                return;
            }
        };
        let replicas = services.remove(&self.service).unwrap_or_default().replicas;
        streams.retain(|id, stream| !stream.task.is_finished() || replicas.iter().any(|replica| replica.id == *id));
        for replica in replicas {
            if matches!(replica.health, Health::Stopped { .. }) {
                continue;
            }
            let lines = match streams.get(&replica.id) {
                Some(stream) if !stream.task.is_finished() => continue,
                // It was started again: what it said before was passed on.
                Some(stream) if stream.said.load(Ordering::Relaxed) => 0,
                Some(_) | None => LINES_MAX,
            };
            streams.insert(replica.id.clone(), self.begin(replica, &mask, lines, sink));
        }
    }

    fn begin(&self, replica: LiveReplica, mask: &Arc<Mask>, lines: usize, sink: &mpsc::Sender<LogLine>) -> Stream {
        let (provider, mask, sink) = (self.provider.clone(), Arc::clone(mask), sink.clone());
        let said = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let (own, mut printed) = mpsc::channel::<String>(QUEUE);
            let name = replica.name.clone();
            let pass_on = async move {
                loop {
                    let text = tokio::select! {
                        text = printed.recv() => text,
                        () = sink.closed() => None,
                    };
                    let Some(text) = text else { return };
                    heard.store(true, Ordering::Relaxed);
                    if sink.send(LogLine { replica: name.clone(), text: mask.apply(&text) }).await.is_err() {
                        return;
                    }
                }
            };
            let (ended, ()) = tokio::join!(provider.follow_logs(&replica.id, lines, own), pass_on);
            if let Err(error) = ended {
                tracing::debug!(replica = replica.name, %error, "following ended");
            }
        });
        Stream { task, said }
    }
}

/// Waits until it is worth looking again. `None` is left where the provider's changes ended.
async fn changed(changes: &mut Changes) {
    let Some(stream) = changes else { return tokio::time::sleep(LOOK_EVERY).await };
    match tokio::time::timeout(LOOK_AT_LATEST, stream.next()).await {
        Ok(Some(told)) if told.iter().all(Result::is_ok) => {}
        Err(_elapsed) => {}
        Ok(_) => {
            *changes = None;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
