//! When to pass: timers, watches, events, backoff, and the daemon as a whole.
//!
//! Decides when something is looked at, never what is done about it: nothing here, and nothing that it calls, holds a
//! permit to change what runs.

mod background;
mod gather;
mod intake;
mod jobs;
mod keeper;
mod nudges;
mod outcomes;
mod places;
mod registrations;
mod run;
mod schedule;

pub use crate::daemon::background::{Background, Pace, Tools};
pub use crate::daemon::intake::{Intake, Moved};
pub use crate::daemon::run::run;
