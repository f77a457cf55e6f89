//! What is due when. Pure: the time is handed in.
//!
//! A job is in it at most once; one that is at work is not begun again, but remembered if it is asked for meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Jobs by the time at which they are due.
#[derive(Debug)]
pub(crate) struct Schedule<J> {
    order: BTreeSet<(Instant, J)>,
    due: BTreeMap<J, Instant>,
    at_work: BTreeMap<J, Option<Instant>>,
}

impl<J> Default for Schedule<J> {
    fn default() -> Self {
        Schedule { order: BTreeSet::new(), due: BTreeMap::new(), at_work: BTreeMap::new() }
    }
}

impl<J: Clone + Ord> Schedule<J> {
    /// Wants a job at `when`, or sooner where it is due sooner. One at work is wanted once more when it is done.
    pub(crate) fn want(&mut self, job: J, when: Instant) {
        if let Some(again) = self.at_work.get_mut(&job) {
            *again = Some(again.map_or(when, |earlier| earlier.min(when)));
            return;
        }
        if let Some(known) = self.due.get(&job).copied() {
            if known <= when {
                return;
            }
            self.order.remove(&(known, job.clone()));
        }
        self.due.insert(job.clone(), when);
        self.order.insert((when, job));
    }

    /// Whether a job is due some time, or at work.
    pub(crate) fn holds(&self, job: &J) -> bool {
        self.due.contains_key(job) || self.at_work.contains_key(job)
    }

    /// Takes a job out; one at work ends and is not wanted again.
    pub(crate) fn cancel(&mut self, job: &J) {
        if let Some(when) = self.due.remove(job) {
            self.order.remove(&(when, job.clone()));
        }
        if let Some(again) = self.at_work.get_mut(job) {
            *again = None;
        }
    }

    /// When the next job is due that `may` begin.
    pub(crate) fn next(&self, may: impl Fn(&J) -> bool) -> Option<Instant> {
        self.order.iter().find(|(_, job)| may(job)).map(|(when, _)| *when)
    }

    /// Begins a job that is due at `now` and that `may` begin.
    pub(crate) fn begin(&mut self, now: Instant, may: impl Fn(&J) -> bool) -> Option<J> {
        let found = self.order.iter().take_while(|(when, _)| *when <= now).find(|(_, job)| may(job))?.clone();
        self.order.remove(&found);
        self.due.remove(&found.1);
        self.at_work.insert(found.1.clone(), None);
        Some(found.1)
    }

    /// Ends a job; it is due again at `next`, or sooner where it was asked for meanwhile.
    pub(crate) fn end(&mut self, job: J, next: Option<Instant>) {
        let again = self.at_work.remove(&job).flatten();
        if let Some(when) = again.into_iter().chain(next).min() {
            self.want(job, when);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use std::time::{Duration, Instant};

    #[test]
    fn jobs_come_in_the_order_of_their_time_and_once() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut schedule = Schedule::default();
        schedule.want("b", later);
        schedule.want("a", now);
        schedule.want("b", now + Duration::from_secs(9));
        assert_eq!(schedule.begin(now, |_| true), Some("a"));
        assert_eq!(schedule.begin(now, |_| true), None);
        assert_eq!(schedule.next(|_| true), Some(later));
        schedule.want("b", now);
        assert_eq!(schedule.begin(now, |job| *job != "b"), None);
        assert_eq!(schedule.begin(now, |_| true), Some("b"));
        assert_eq!(schedule.next(|_| true), None);
    }

    #[test]
    fn what_is_asked_for_while_it_is_at_work_is_done_once_more() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut schedule = Schedule::default();
        schedule.want("a", now);
        assert_eq!(schedule.begin(now, |_| true), Some("a"));
        schedule.want("a", now);
        schedule.want("a", now);
        assert_eq!(schedule.begin(now, |_| true), None, "it is at work");
        schedule.end("a", Some(later));
        assert_eq!(schedule.begin(now, |_| true), Some("a"));
        schedule.end("a", Some(later));
        assert_eq!(schedule.next(|_| true), Some(later));
        schedule.cancel(&"a");
        assert!(!schedule.holds(&"a"));
    }
}
