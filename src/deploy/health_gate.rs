//! The health gate: a replica passes, or the deploy fails with the reason. Nothing passes unprobed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::live::ReplicaId;
use crate::provider::{Check, Probe, ProbeOutcome, Provider, StepError};

/// Until the first success a replica is probed at least this often, so that a quick start is seen quickly.
const EAGER: Duration = Duration::from_millis(200);
/// How often a replica's state is read while it is waited for.
const STATE: Duration = Duration::from_millis(150);
/// How long a service without any check must run before it counts as started.
pub const SETTLE: Duration = Duration::from_secs(1);
/// How often its restart policy may start a replica again before the gate calls that a failure.
const RESTARTS: u32 = 2;

/// Why a replica did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateFailure {
    /// Its process ended, or ends over and over.
    #[error("it does not stay up: {0}")]
    Ended(String),
    /// Its probe did not pass in time.
    #[error("its health check did not pass within {}: {last}", crate::live::quantity::Millis(waited.as_millis() as u64))]
    Unhealthy {
        /// How long was waited.
        waited: Duration,
        /// What the last probe said.
        last: String,
    },
    /// The probe could not be carried out.
    #[error("its health check could not be carried out: {0}")]
    Impossible(String),
    /// The provider could not be asked.
    #[error("its state could not be read: {0}")]
    Unseen(String),
}

/// Whose replica is waited for: it decides from where its restarts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// By the run that waits: each of its restarts is one of this deploy.
    ByThisRun,
    /// Before it: what its restart policy did until now says nothing of this change.
    Before,
}

/// How long a replica may take to pass: its start period, then as many failing probes as make it unhealthy.
pub fn patience(check: &Check) -> Duration {
    let probes = check.unhealthy_threshold.max(check.healthy_threshold);
    check.start_period.duration() + check.interval.duration() * probes + check.timeout.duration()
}

/// Waits until a replica passes its check.
///
/// # Errors
/// [`GateFailure`] as soon as it is certain, at the latest after [`patience`].
pub async fn pass(provider: &dyn Provider, replica: &ReplicaId, check: &Check, made: Made) -> Result<(), GateFailure> {
    let started = Instant::now();
    let patience = patience(check);
    let settled = match check.probe {
        Probe::Running => SETTLE,
        Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. } => Duration::ZERO,
    };
    let mut last = "no probe has answered yet".to_owned();
    let mut successes = 0;
    let mut next_probe = started;
    let mut last_end = None;
    let mut counted_from = match made {
        Made::ByThisRun => Some(0),
        Made::Before => None,
    };
    loop {
        let state = match provider.state(replica).await {
            Ok(state) => state,
            Err(StepError::Gone(_)) => return Err(GateFailure::Ended("it was removed".to_owned())),
            Err(error) => return Err(GateFailure::Unseen(error.to_string())),
        };
        // A count that shrinks began anew, as an engine does when someone starts the replica by hand.
        let from = counted_from.map_or(state.restarts, |from: u32| from.min(state.restarts));
        counted_from = Some(from);
        let restarts = state.restarts - from;
        // An engine forgets how the last try ended as soon as the next one begins.
        if !state.running && state.ended.is_some() {
            last_end.clone_from(&state.ended);
        }
        let ended = || last_end.clone().or(state.ended.clone()).unwrap_or_else(|| "it does not run".to_owned());
        if restarts >= RESTARTS || (!state.running && state.restarts == 0 && started.elapsed() > STATE) {
            return Err(GateFailure::Ended(ended()));
        }
        if Instant::now() >= next_probe && state.running && started.elapsed() >= settled {
            match provider.probe(replica, check).await {
                ProbeOutcome::Passed => {
                    successes += 1;
                    if successes >= check.healthy_threshold {
                        return Ok(());
                    }
                    next_probe = Instant::now() + check.interval.duration();
                }
                ProbeOutcome::Failed(why) => {
                    successes = 0;
                    last = why;
                    next_probe = Instant::now() + EAGER.min(check.interval.duration());
                }
                ProbeOutcome::Pending => {
                    "the image's health check is starting".clone_into(&mut last);
                    next_probe = Instant::now() + EAGER;
                }
                ProbeOutcome::Impossible(why) => return Err(GateFailure::Impossible(why)),
            }
        }
        if started.elapsed() >= patience + settled {
            return Err(match state.running {
                true => GateFailure::Unhealthy { waited: started.elapsed(), last },
                false => GateFailure::Ended(ended()),
            });
        }
        sleep(STATE.min(next_probe.saturating_duration_since(Instant::now()).max(Duration::from_millis(20)))).await;
    }
}
