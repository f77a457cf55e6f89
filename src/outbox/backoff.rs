//! How long a report that failed waits. Pure: chance is given.

use std::time::Duration;

/// Before the second attempt.
const FIRST: Duration = Duration::from_secs(5);
/// The longest wait that Trueup chooses by itself.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// The wait after `attempts` failures: doubled each time, up to half an hour, and between half of it and all of it by
/// `chance` (0 to 1), so that reports that failed together do not come back together. Never shorter than what the forge
/// asked for.
pub(super) fn wait(attempts: u64, asked: Option<Duration>, chance: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let own = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let spread = own.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    match asked {
        // A little later than asked, so that not everyone comes at the very moment.
        Some(asked) => asked.saturating_add(FIRST.mul_f64(chance.clamp(0.0, 1.0))).max(spread),
        None => spread,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait;

    #[test]
    fn later_and_later_and_never_sooner_than_asked() {
        let seconds =
            |attempts, asked: Option<u64>, chance| wait(attempts, asked.map(Duration::from_secs), chance).as_secs_f64();
        assert_eq!(seconds(1, None, 1.0), 5.0);
        assert_eq!(seconds(1, None, 0.0), 2.5);
        assert_eq!(seconds(2, None, 1.0), 10.0);
        assert_eq!(seconds(5, None, 1.0), 80.0);
        assert_eq!(seconds(u64::MAX, None, 1.0), 1800.0);
        assert_eq!(seconds(1, Some(60), 0.0), 60.0);
        assert_eq!(seconds(1, Some(60), 1.0), 65.0);
        assert_eq!(seconds(12, Some(60), 1.0), 1800.0);
    }
}
