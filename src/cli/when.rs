//! Times as people read them: how long ago, and when exactly.
//!
//! Pure in effect: the caller says what time it is and where, so that the same input always prints the same.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The moment and the place that times are told from.
#[derive(Clone, Debug)]
pub(super) struct Viewpoint {
    /// Now.
    pub(super) now: Timestamp,
    /// The reader's time zone.
    pub(super) zone: TimeZone,
}

impl Viewpoint {
    /// The reader of this process: the system's clock and time zone.
    pub(super) fn of_process() -> Self {
        Viewpoint { now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// `12 min ago`, or `in 3 s` for what a skewed clock puts ahead.
    pub(super) fn ago(&self, at: Timestamp) -> String {
        let seconds = self.now.as_second() - at.as_second();
        if seconds < 0 { format!("in {}", span(-seconds)) } else { format!("{} ago", span(seconds)) }
    }

    /// `2026-11-21 03:12:07 UTC`, in the reader's time zone.
    pub(super) fn exact(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// Both: `12 min ago (2026-11-21 03:12:07 UTC)`.
    pub(super) fn both(&self, at: Timestamp) -> String {
        format!("{} ({})", self.ago(at), self.exact(at))
    }
}

/// A span of whole seconds in its one largest unit, or two where one is coarse: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub(super) fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{Viewpoint, span};

    #[test]
    fn spans_read_well() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_600, "1 h"),
            (3_900, "1 h 5 min"),
            (86_400, "1 d"),
            (100_000, "1 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn both_forms_are_told_from_the_readers_place() {
        let now: Timestamp = "2026-11-21T03:12:07Z".parse().expect("valid");
        let view = Viewpoint { now, zone: TimeZone::UTC };
        let at: Timestamp = "2026-11-21T03:00:07Z".parse().expect("valid");
        assert_eq!(view.both(at), "12 min ago (2026-11-21 03:00:07 UTC)");
        assert_eq!(view.ago("2026-11-21T03:12:10Z".parse().expect("valid")), "in 3 s");
    }
}
