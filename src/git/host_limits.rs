//! At most so many requests at once per host, and when to ask again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests one host gets at once, where the operator says nothing.
pub const PER_HOST: usize = 8;

/// Counts the requests under way per host. Hosts are those that operators typed, so the map stays small.
#[derive(Clone, Debug)]
pub struct HostLimits {
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl HostLimits {
    /// At most so many requests at once per host, and at least one.
    pub fn new(per_host: usize) -> Self {
        HostLimits { per_host: per_host.max(1), hosts: Arc::default() }
    }

    /// Waits until the host has room; the request counts until the permit is dropped. `None` (a local repository)
    /// counts as one host of its own.
    pub async fn enter(&self, host: Option<&str>) -> OwnedSemaphorePermit {
        let semaphore = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let key = host.unwrap_or_default();
            match hosts.get(key) {
                Some(semaphore) => semaphore.clone(),
                None => hosts.entry(key.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))).clone(),
            }
        };
        semaphore.acquire_owned().await.expect("these semaphores are never closed")
    }
}

/// Spaces retries: twice as long after every failure, up to fifteen minutes. Pure; the jitter is injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The longest pause.
    pub const LONGEST: Duration = Duration::from_secs(15 * 60);

    /// How many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The pause before the next attempt: `interval`, doubled per failure, at most [`Backoff::LONGEST`] (or `interval`
    /// where that is longer), and then moved by `jitter` (0.0 to 1.0) to between 90 % and 110 % of that.
    pub fn pause(&self, interval: Duration, jitter: f64) -> Duration {
        let longest = Self::LONGEST.max(interval);
        let doubled = interval.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        doubled.min(longest).mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, HostLimits, PER_HOST};
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_fifteen_minutes() {
        let mut backoff = Backoff::default();
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(backoff.pause(Duration::from_secs(60), 0.5).as_secs());
            backoff.failed();
        }
        assert_eq!(seen, [60, 120, 240, 480, 900, 900, 900]);
        for _ in 0..100 {
            backoff.failed();
        }
        assert_eq!(backoff.pause(Duration::from_secs(60), 1.0).as_secs(), 990);
        backoff.succeeded();
        assert_eq!(backoff.pause(Duration::from_secs(60), 0.0).as_secs(), 54);
        assert_eq!(backoff.pause(Duration::from_secs(3600), 0.5).as_secs(), 3600);
    }

    #[tokio::test]
    async fn a_host_gets_eight_at_once_and_hosts_do_not_share() {
        let limits = HostLimits::new(PER_HOST);
        let mut held = Vec::new();
        for _ in 0..PER_HOST {
            held.push(limits.enter(Some("a")).await);
        }
        let ninth = limits.enter(Some("a"));
        tokio::pin!(ninth);
        assert!(futures_util::poll!(&mut ninth).is_pending());
        let _other = limits.enter(Some("b")).await;
        held.pop();
        drop(ninth.await);
    }
}
