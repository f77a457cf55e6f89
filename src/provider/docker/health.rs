//! How a container is doing, from its inspection alone. Pure: the clock comes in.

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, HealthStatusEnum};
use jiff::Timestamp;

use super::engine::bounded;
use crate::live::Health;
use crate::live::value::RestartPolicy;

/// A container that was started again this often, the last time within [`LOOP_SECONDS`], is looping.
const LOOP_RESTARTS: i64 = 3;
/// How fresh the last of those starts must be.
const LOOP_SECONDS: i64 = 60;

/// Whether it is stopped (or paused, or was never started) although its restart policy would have it run.
pub(super) fn stopped(state: Option<&ContainerState>, restart: RestartPolicy) -> bool {
    let Some(state) = state else { return false };
    match state.status {
        // Nobody but a person pauses, and what was never started has not ended by itself.
        Some(Status::PAUSED | Status::CREATED) => true,
        Some(Status::EXITED | Status::DEAD) => match restart {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { .. } => state.exit_code != Some(0),
        },
        None | Some(Status::EMPTY | Status::RUNNING | Status::RESTARTING | Status::REMOVING | Status::STOPPING) => {
            false
        }
    }
}

/// How the process ended last, for people.
pub(super) fn ended(state: &ContainerState) -> String {
    let code = state.exit_code.unwrap_or(0);
    let error = state.error.as_deref().map(str::trim).filter(|error| !error.is_empty());
    match (state.oom_killed, error) {
        (Some(true), _) => "killed: out of memory".to_owned(),
        (_, Some(error)) => format!("exit code {code}: {}", bounded(error)),
        (_, None) => format!("exit code {code}"),
    }
}

/// Whether it ends and is started again, over and over.
fn looping(inspect: &ContainerInspectResponse, state: &ContainerState, now: Timestamp) -> bool {
    let fresh = state
        .started_at
        .as_deref()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .is_some_and(|started| now.as_second() - started.as_second() < LOOP_SECONDS);
    inspect.restart_count.unwrap_or(0) >= LOOP_RESTARTS && fresh
}

/// How a container is doing.
pub(super) fn health(inspect: &ContainerInspectResponse, now: Timestamp) -> Health {
    let Some(state) = &inspect.state else {
        return Health::Unknown { why: "the Engine does not tell the container's state".to_owned() };
    };
    match state.status {
        Some(Status::RUNNING) if looping(inspect, state, now) => Health::CrashLooping { why: ended(state) },
        Some(Status::RUNNING) => running(state),
        Some(Status::RESTARTING) => Health::CrashLooping { why: ended(state) },
        Some(Status::PAUSED) => Health::Stopped { why: "paused".to_owned() },
        Some(Status::CREATED) => Health::Stopped { why: "never started".to_owned() },
        Some(Status::EXITED | Status::DEAD) => Health::Stopped { why: ended(state) },
        Some(Status::STOPPING) => Health::Stopped { why: "being stopped".to_owned() },
        Some(Status::REMOVING) => Health::Stopped { why: "being removed".to_owned() },
        None | Some(Status::EMPTY) => {
            Health::Unknown { why: "the Engine does not tell the container's state".to_owned() }
        }
    }
}

fn running(state: &ContainerState) -> Health {
    let Some(check) = &state.health else { return Health::Healthy };
    match check.status {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE | HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = check.log.iter().flatten().next_back();
            let output = last.and_then(|entry| entry.output.as_deref()).map(bounded);
            Health::Unhealthy { why: format!("the image's health check fails: {}", output.unwrap_or_default()) }
        }
    }
}
