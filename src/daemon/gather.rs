//! Deliveries that come together are acted on together. Pure: the time is handed in.
//!
//! A project is acted on once it was quiet for a moment, and at the latest a second after the first of its deliveries: a
//! single push is acted on almost at once, a hundred of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::daemon::nudges::Consequence;
use crate::ids::ProjectName;
use crate::reporter::Nudge;

/// How long a project is quiet before it is acted on.
const QUIET: Duration = Duration::from_millis(50);
/// How long the first of several deliveries waits at most.
const LONGEST: Duration = Duration::from_secs(1);

/// What deliveries of one project have asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gathered {
    first: Instant,
    last: Instant,
    /// The deliveries.
    pub(crate) deliveries: Vec<u64>,
    /// Whether refs may have moved.
    pub(crate) moved: bool,
    /// What else is to be read again, each once.
    pub(crate) nudges: BTreeSet<Nudge>,
}

/// What was asked for and not yet acted on, by project.
#[derive(Debug, Default)]
pub(crate) struct Gathering(BTreeMap<ProjectName, Gathered>);

impl Gathering {
    /// Adds what one delivery asks for.
    pub(crate) fn add(&mut self, project: ProjectName, delivery: u64, asked: Consequence, now: Instant) {
        let Consequence { moved, nudge } = asked;
        let fresh =
            || Gathered { first: now, last: now, deliveries: Vec::new(), moved: false, nudges: BTreeSet::new() };
        let gathered = self.0.entry(project).or_insert_with(fresh);
        gathered.last = now;
        gathered.moved |= moved;
        gathered.nudges.extend(nudge);
        gathered.deliveries.push(delivery);
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(ProjectName, Gathered)> {
        let due: Vec<ProjectName> =
            self.0.iter().filter(|(_, gathered)| gathered.due() <= now).map(|(project, _)| project.clone()).collect();
        due.into_iter().filter_map(|project| self.0.remove_entry(&project)).collect()
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().map(Gathered::due).min()
    }
}

impl Gathered {
    fn due(&self) -> Instant {
        (self.last + QUIET).min(self.first + LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Gathering, LONGEST, QUIET};
    use crate::daemon::nudges::Consequence;
    use crate::reporter::Nudge;

    fn pushed() -> Consequence {
        Consequence { moved: true, nudge: None }
    }

    #[test]
    fn a_single_push_waits_a_moment_and_a_hundred_are_one() {
        let now = Instant::now();
        let mut gathering = Gathering::default();
        gathering.add("a".parse().unwrap(), 1, pushed(), now);
        assert_eq!(gathering.next(), Some(now + QUIET));
        for delivery in 2..=100 {
            gathering.add("a".parse().unwrap(), delivery, pushed(), now + QUIET / 2);
        }
        assert!(gathering.due(now + QUIET).is_empty());
        let due = gathering.due(now + QUIET * 2);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].1.deliveries.len(), due[0].1.moved), (100, true));
        assert_eq!(gathering.next(), None);
    }

    #[test]
    fn who_is_never_quiet_is_heard_all_the_same() {
        let now = Instant::now();
        let mut gathering = Gathering::default();
        for tick in 0..200 {
            gathering.add("a".parse().unwrap(), tick, pushed(), now + Duration::from_millis(10) * tick as u32);
        }
        assert_eq!(gathering.next(), Some(now + LONGEST));
    }

    #[test]
    fn projects_do_not_wait_for_each_other_and_nudges_are_told_once() {
        let now = Instant::now();
        let mut gathering = Gathering::default();
        let project: crate::ids::ProjectName = "a".parse().unwrap();
        let nudge = Nudge::PullRequest { project: project.clone(), number: 7 };
        for delivery in [1, 2] {
            let asked = Consequence { moved: false, nudge: Some(nudge.clone()) };
            gathering.add(project.clone(), delivery, asked, now);
        }
        gathering.add("b".parse().unwrap(), 3, pushed(), now + QUIET);
        let due = gathering.due(now + QUIET);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].1.nudges.len(), due[0].1.deliveries.as_slice()), (1, [1, 2].as_slice()));
    }
}
