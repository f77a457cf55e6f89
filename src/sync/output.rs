//! A run's output: every line masked, stored, and announced to whoever follows.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::ids::RunId;
use crate::provider::Progress;
use crate::store::Store;

/// Secrets shorter than this are not masked: replacing every `a` would hide everything and protect nothing.
const MASK_MIN: usize = 4;

/// Where a run's lines go. Cloned into everything that has something to say.
#[derive(Clone)]
pub struct Output {
    lines: mpsc::UnboundedSender<String>,
    masked: Arc<Mutex<Vec<SecretString>>>,
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
        let mut masked = self.masked.lock().unwrap_or_else(PoisonError::into_inner);
        masked.extend(values.filter(|value| value.expose_secret().len() >= MASK_MIN));
    }

    /// The text with every known secret masked, also where it was broken into lines.
    pub fn masked(&self, text: &str) -> String {
        let masked = self.masked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = text.to_owned();
        for secret in masked.iter() {
            for part in std::iter::once(secret.expose_secret()).chain(secret.expose_secret().lines()) {
                if part.len() >= MASK_MIN {
                    text = text.replace(part, "***");
                }
            }
        }
        text
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
