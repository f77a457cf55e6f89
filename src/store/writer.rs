//! The one thread that writes. Requests that wait together share a transaction (and its one fsync); each has its own
//! savepoint, so that one that fails undoes itself and nothing else.

use std::fs::File;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Requests that may wait before those who ask are slowed down.
const QUEUE: usize = 256;
/// The most requests of one transaction.
const BATCH: usize = 64;

/// The writer's end that callers hold.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `lock` is let go when it ends.
    pub(super) fn spawn(connection: Connection, lock: File) -> Result<Self, StoreError> {
        let (queue, mut jobs) = mpsc::channel::<Box<dyn Job>>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                while let Some(first) = jobs.blocking_recv() {
                    let mut batch = vec![first];
                    while batch.len() < BATCH
                        && let Ok(next) = jobs.try_recv()
                    {
                        batch.push(next);
                    }
                    carry_out(&connection, batch);
                }
                drop(connection);
                drop(lock);
            })
            .map_err(|error| StoreError::Database(format!("no thread for writing: {error}")))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction and returns when that is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let ended = || StoreError::Database("the writer has ended; restart the daemon".into());
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, reply };
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send(Box::new(task)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

/// One request.
trait Job: Send {
    /// Does the work within the open savepoint; whether it is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells who asked: the work's own result, or why it was not kept.
    fn reply(self: Box<Self>, failed: Option<StoreError>);
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn reply(self: Box<Self>, failed: Option<StoreError>) {
        let never = || Err(StoreError::Database("the request was not carried out".into()));
        let result = match (failed, self.result) {
            // The work's own refusal says more than that its transaction failed too.
            (Some(_), Some(Err(own))) => Err(own),
            (Some(failed), _) => Err(failed),
            (None, result) => result.unwrap_or_else(never),
        };
        if self.reply.send(result).is_err() {
            tracing::debug!("nobody waits for this write any more");
        }
    }
}

fn carry_out(connection: &Connection, mut batch: Vec<Box<dyn Job>>) {
    let failed = transaction(connection, &mut batch).err();
    if failed.is_some()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction could not be rolled back");
    }
    for job in batch {
        job.reply(failed.clone());
    }
}

fn transaction(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for job in batch {
        connection.execute_batch("SAVEPOINT request")?;
        let keep = job.run(connection);
        if connection.is_autocommit() {
            // SQLite undid the whole transaction by itself (disk full, I/O error): nothing of this batch is stored. The
            // request that met the fault says which it was.
            return Err(StoreError::Database("a fault undid the transaction; nothing of it is stored".into()));
        }
        connection.execute_batch(if keep { "RELEASE request" } else { "ROLLBACK TO request; RELEASE request" })?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}
