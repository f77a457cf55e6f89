//! A run's output: every line masked, stored, and announced to whoever follows.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::ids::RunId;
use crate::provider::Progress;
use crate::secret::mask::Mask;
use crate::store::Store;

/// Where a run's lines go. Cloned into everything that has something to say.
#[derive(Clone)]
pub struct Output {
    lines: mpsc::UnboundedSender<String>,
    masked: Arc<Mutex<Mask>>,
}

impl Output {
    /// Opens a run's output. `announced` counts up with every stored line. The handle ends once every clone is dropped
    /// and everything is stored.
    pub fn open(store: Store, run: RunId, announced: Arc<watch::Sender<u64>>) -> (Self, JoinHandle<()>) {
        let (lines, mut incoming) = mpsc::unbounded_channel::<String>();
        let writer = tokio::spawn(async move {
            while let Some(text) = incoming.recv().await {
                match store.append_line(run, Timestamp::now(), &text).await {
                    Ok(seq) => announced.send_modify(|last| *last = (*last).max(seq)),
                    Err(error) => tracing::error!(%run, %error, "a line of the run's output is lost"),
                }
            }
        });
        (Output { lines, masked: Arc::default() }, writer)
    }

    /// From now on these values print as `***`.
    pub fn mask(&self, values: impl Iterator<Item = SecretString>) {
        self.masked.lock().unwrap_or_else(PoisonError::into_inner).add(values);
    }

    /// The text with every known secret masked, also where it was broken into lines.
    pub fn masked(&self, text: &str) -> String {
        self.masked.lock().unwrap_or_else(PoisonError::into_inner).apply(text)
    }
}

impl Progress for Output {
    fn line(&self, text: &str) {
        for line in self.masked(text).lines() {
            if self.lines.send(line.to_owned()).is_err() {
                tracing::warn!("a line of a run's output came after its end");
            }
        }
    }
}
