//! A run that is held at its first journal boundary until it is let go, as one that takes its time; or that dies there.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trueup::sync::journal::{Boundary, Step};

/// Lets a held run go on; where it is dropped instead, the run dies as its process would.
pub struct Hand {
    held: Receiver<()>,
    go: Sender<()>,
}

struct Hold {
    at: fn(&Step, bool) -> bool,
    told: Mutex<Option<Sender<()>>>,
    go: Mutex<Receiver<()>>,
}

/// Holds the first run at the first boundary of which `at` is true. Needs a runtime of several threads.
pub fn hold(at: fn(&Step, bool) -> bool) -> (Arc<dyn Boundary>, Hand) {
    let (told, held) = channel();
    let (go, gone) = channel();
    (Arc::new(Hold { at, told: Mutex::new(Some(told)), go: Mutex::new(gone) }), Hand { held, go })
}

impl Boundary for Hold {
    fn reached(&self, step: &Step, done: bool) {
        if !(self.at)(step, done) {
            return;
        }
        let Some(told) = self.told.lock().unwrap().take() else { return };
        told.send(()).unwrap();
        let go = tokio::task::block_in_place(|| self.go.lock().unwrap().recv());
        if go.is_err() {
            // Unwinding without the panic hook: that it ends here is wanted.
            std::panic::resume_unwind(Box::new("the process ended"));
        }
    }
}

impl Hand {
    /// Waits until a run is held.
    pub fn holds(&self) {
        tokio::task::block_in_place(|| self.held.recv_timeout(Duration::from_secs(60))).unwrap();
    }

    /// Lets it go on.
    pub fn let_go(self) {
        self.go.send(()).unwrap();
    }
}
