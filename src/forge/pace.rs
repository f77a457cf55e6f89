//! How fast content may be written. Knows no clock: the moments are given.
//!
//! GitHub allows 80 requests that create content a minute and 500 an hour ("Best practices for using the REST API").

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts writes in sliding windows.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    windows: &'static [(Duration, usize)],
    /// The moments of the writes within the longest window, oldest first.
    written: VecDeque<Instant>,
}

/// What GitHub allows one installation.
pub(crate) const GITHUB: &[(Duration, usize)] = &[(Duration::from_secs(60), 80), (Duration::from_secs(3600), 500)];

impl Pace {
    /// At most so many writes in each of these spans.
    pub(crate) fn new(windows: &'static [(Duration, usize)]) -> Self {
        Pace { windows, written: VecDeque::new() }
    }

    /// Takes room for one write at the moment `now`.
    ///
    /// # Errors
    /// How long to wait until there is room; nothing is taken.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let longest = self.windows.iter().map(|(span, _)| *span).max().unwrap_or_default();
        while self.written.front().is_some_and(|at| now.saturating_duration_since(*at) >= longest) {
            self.written.pop_front();
        }
        let mut wait = Duration::ZERO;
        for (span, count) in self.windows {
            // The write that has to leave this window before there is room.
            if let Some(at) = self.written.len().checked_sub(*count).and_then(|index| self.written.get(index)) {
                wait = wait.max(span.saturating_sub(now.saturating_duration_since(*at)));
            }
        }
        if wait.is_zero() {
            self.written.push_back(now);
            return Ok(());
        }
        Err(wait)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{GITHUB, Pace};

    #[test]
    fn eighty_a_minute_and_five_hundred_an_hour() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(GITHUB);
        for _ in 0..80 {
            assert_eq!(pace.take(at(0)), Ok(()));
        }
        assert_eq!(pace.take(at(20)), Err(Duration::from_secs(40)));
        let mut written = 80;
        let mut minute = 1;
        while pace.take(at(60 * minute)).is_ok() {
            written += 1;
            if (written - 80) % 80 == 0 {
                minute += 1;
            }
        }
        assert_eq!(written, 500, "the hour is full");
        assert_eq!(pace.take(at(60 * minute)), Err(Duration::from_secs(3600 - 60 * minute)));
        assert_eq!(pace.take(at(3600)), Ok(()));
    }
}
