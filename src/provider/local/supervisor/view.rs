//! What a replica looks like now: what its keeper published, held against `/proc`, its cgroup and its files.

use std::io;
use std::sync::PoisonError;

use jiff::Timestamp;

use crate::ids::SourceHash;
use crate::live::Observed;
use crate::provider::local::supervisor::checkout::{Differences, source_now};
use crate::provider::local::supervisor::environment;
use crate::provider::local::supervisor::keeper::{Ground, Published};
use crate::provider::local::supervisor::policy::{CRASH_LOOP_AFTER, Ending, Pace};
use crate::provider::local::supervisor::record::State;
use crate::provider::local::supervisor::replica::{Phase, View};

/// How many changed files are named.
const FILES_SHOWN: usize = 5;

/// Looks at a replica. Reads files: not for an async thread.
///
/// # Errors
/// The kept files of the replica cannot be read.
pub(super) fn look(ground: &Ground, id: &str, published: &Published) -> io::Result<View> {
    let Published { spec, state, phase, given, snapshot } = published;
    let blueprint = &spec.blueprint;
    let running = state.process.as_ref().filter(|_| *phase == Phase::Running);
    let (env, memory, cpu, paused) = match running {
        Some(process) => (
            environment::now(process.pid, &given.values),
            ground.limits.memory(id, process, blueprint.memory),
            ground.limits.cpu(id, blueprint.cpu),
            process.stat()?.is_some_and(|stat| matches!(stat.state, 'T' | 't')),
        ),
        // Nothing is in force on what does not run: what it would be started with counts.
        None => (
            Observed::Known(given.values.clone()),
            Observed::Known(blueprint.memory),
            Observed::Known(blueprint.cpu),
            false,
        ),
    };
    let differences = snapshot.lock().unwrap_or_else(PoisonError::into_inner).differences(&ground.layout.checkout(id));
    let (source, changed_files) = source(blueprint.source.as_ref(), differences);
    Ok(View {
        id: id.to_owned(),
        blueprint: blueprint.clone(),
        port: spec.port,
        pid: running.map(|process| process.pid),
        phase: *phase,
        restarts: state.restarts,
        crash_looping: crash_loops(*phase, state, ground.pace, Timestamp::now()),
        ended: state.ended.as_ref().map(Ending::to_string),
        failed: state.ended.as_ref().is_some_and(Ending::is_failure),
        paused,
        given_env: given.values.0.keys().cloned().collect(),
        env,
        supplied_env: given.supplied.clone(),
        memory,
        cpu,
        source,
        changed_files,
    })
}

/// Whether it ends soon after each start, over and over. One that runs long enough to count as steady has left that
/// behind, though only its next end sets the count back.
fn crash_loops(phase: Phase, state: &State, pace: Pace, now: Timestamp) -> bool {
    let steady = || state.started_at.is_some_and(|at| now.duration_since(at).unsigned_abs() >= pace.steady);
    match phase {
        Phase::Running => state.quick_ends >= CRASH_LOOP_AFTER && !steady(),
        Phase::Waiting => state.quick_ends >= CRASH_LOOP_AFTER,
        Phase::Prepared | Phase::Stopped | Phase::Ended => false,
    }
}

fn source(
    prepared: Option<&SourceHash>,
    differences: io::Result<Differences>,
) -> (Observed<Option<SourceHash>>, Vec<String>) {
    match differences {
        Ok(differences) => {
            let files = differences.files.iter().take(FILES_SHOWN).map(|(path, _)| path.display().to_string());
            (Observed::Known(prepared.map(|prepared| source_now(prepared, &differences))), files.collect())
        }
        Err(error) => (Observed::Unknown(format!("its checkout cannot be read: {error}")), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::crash_loops;
    use crate::provider::local::supervisor::policy::Pace;
    use crate::provider::local::supervisor::record::State;
    use crate::provider::local::supervisor::replica::Phase;

    #[test]
    fn a_replica_that_runs_steadily_has_left_its_crash_loop() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
        let started = |seconds| State {
            started_at: Some(now - SignedDuration::from_secs(seconds)),
            quick_ends: 3,
            ..State::prepared()
        };
        let pace = Pace::default();
        assert!(crash_loops(Phase::Running, &started(2), pace, now));
        assert!(!crash_loops(Phase::Running, &started(11), pace, now));
        assert!(crash_loops(Phase::Waiting, &State { started_at: None, ..started(0) }, pace, now));
        assert!(!crash_loops(Phase::Running, &State { quick_ends: 2, ..started(2) }, pace, now));
        assert!(!crash_loops(Phase::Ended, &started(2), pace, now));
    }
}
