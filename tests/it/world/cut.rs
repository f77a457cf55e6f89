//! A wire to the real Engine that can be cut and mended: a Unix socket whose bytes go to Docker's.

use std::path::Path;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The wire; gone when dropped.
pub struct Wire {
    directory: TempDir,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    pub fn new() -> Wire {
        let directory = super::house::scratch();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let (whole, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, state.clone()));
            }
        });
        Wire { directory, whole, task }
    }

    /// The setting `host`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// Ends what is carried and carries nothing more.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Something that cuts it.
    pub fn knife(&self) -> watch::Sender<bool> {
        self.whole.clone()
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut near: UnixStream, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow_and_update() {
        return;
    }
    let Ok(mut far) = UnixStream::connect(Path::new("/var/run/docker.sock")).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
