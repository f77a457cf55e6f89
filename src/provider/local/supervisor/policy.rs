//! Whether a replica that ended starts again, and when. Pure: what happened and how often goes in, a decision comes out.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::live::value::RestartPolicy;

/// How a replica's main process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// By the kernel, for want of memory within its limit.
    OutOfMemory,
    /// While no supervisor that was its parent ran: the kernel tells only a parent how a process ended.
    Unseen,
    /// It could not be started.
    NotStarted(String),
}

impl Ending {
    /// Whether `on-failure` counts it. An end that nobody saw is no known success, so it does.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Ending::Exited(0))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exit code {code}"),
            Ending::Signalled(signal) => match rustix::process::Signal::from_named_raw(*signal) {
                Some(named) => write!(f, "killed by signal {signal} ({})", signal_name(named)),
                None => write!(f, "killed by signal {signal}"),
            },
            Ending::OutOfMemory => f.write_str("killed: out of memory within its limit"),
            Ending::Unseen => f.write_str(
                "ended, how is not known: the supervisor that started it was itself restarted, and only a parent is told",
            ),
            Ending::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

fn signal_name(signal: rustix::process::Signal) -> &'static str {
    use rustix::process::Signal;
    [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == signal).then_some(name))
    .unwrap_or("a signal of its own")
}

/// Whether the policy starts it again, after `restarts` restarts so far.
pub fn starts_again(policy: RestartPolicy, ending: &Ending, restarts: u32) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max } => ending.is_failure() && max.is_none_or(|max| restarts < max),
    }
}

/// How restarts are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before the first restart; doubles with each that follows soon.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Having run so long, a replica counts as steady and the pauses begin anew.
    pub steady: Duration,
}

impl Default for Pace {
    /// 100 ms, doubling up to a minute; steady after ten seconds (as Docker's restart manager does it).
    fn default() -> Self {
        Pace { first: Duration::from_millis(100), longest: Duration::from_secs(60), steady: Duration::from_secs(10) }
    }
}

impl Pace {
    /// The pause before the next start, after `quick` ends in a row that each came soon after a start (from 1).
    pub fn pause(&self, quick: u32) -> Duration {
        let doublings = quick.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// Quick ends in a row from which a replica counts as crash-looping.
pub const CRASH_LOOP_AFTER: u32 = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ending, Pace, starts_again};
    use crate::live::value::RestartPolicy;

    #[test]
    fn each_policy_decides_each_ending() {
        let endings = [
            Ending::Exited(0),
            Ending::Exited(1),
            Ending::Signalled(9),
            Ending::OutOfMemory,
            Ending::Unseen,
            Ending::NotStarted("no such file".into()),
        ];
        for ending in &endings {
            assert!(!starts_again(RestartPolicy::No, ending, 0), "{ending}");
            assert!(starts_again(RestartPolicy::Always, ending, 1000), "{ending}");
            assert!(starts_again(RestartPolicy::UnlessStopped, ending, 1000), "{ending}");
            let failed = *ending != Ending::Exited(0);
            assert_eq!(starts_again(RestartPolicy::OnFailure { max: None }, ending, 1000), failed, "{ending}");
            assert_eq!(starts_again(RestartPolicy::OnFailure { max: Some(2) }, ending, 1), failed, "{ending}");
            assert!(!starts_again(RestartPolicy::OnFailure { max: Some(2) }, ending, 2), "{ending}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pace = Pace::default();
        let pauses: Vec<u128> = (1..=12).map(|quick| pace.pause(quick).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(pace.pause(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn endings_read_well() {
        assert_eq!(Ending::Signalled(9).to_string(), "killed by signal 9 (SIGKILL)");
        assert_eq!(Ending::Exited(3).to_string(), "exit code 3");
    }
}
