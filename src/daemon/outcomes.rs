//! What follows from how a poll or a look went: when it is due again, and what else is.

use std::time::{Duration, Instant};

use crate::daemon::jobs::{Failure, Job, Read};
use crate::daemon::keeper::Keeper;
use crate::daemon::places::PlaceKey;
use crate::ids::{CommitSha, EnvironmentRef};

impl Keeper {
    /// Takes in where a ref stands; returns when to ask again.
    pub(super) fn polled(
        &mut self,
        key: &PlaceKey,
        asked: Result<CommitSha, String>,
        now: Instant,
    ) -> Option<Duration> {
        let jitter = self.jitter();
        let polled = self.places.get_mut(key)?;
        let ids: Vec<EnvironmentRef> = polled.place.environments.iter().cloned().collect();
        match asked {
            Ok(commit) => {
                let moved = polled.place.tip.as_ref() != Some(&commit) || polled.place.backoff.failures() > 0;
                polled.place.tip = Some(commit);
                polled.place.backoff.succeeded();
                let pause = polled.place.unread.pause(self.tools.pace.poll, jitter);
                if moved {
                    ids.into_iter().for_each(|id| self.want_look(id, Read::Fresh, now));
                }
                Some(pause)
            }
            Err(why) => {
                polled.place.backoff.failed();
                let pause = polled.place.backoff.pause(self.tools.pace.poll, jitter);
                if polled.place.backoff.failures() == 1 {
                    tracing::warn!(url = key.url, reference = key.reference, why, "a repository cannot be asked");
                }
                for id in ids {
                    if self.sites.get(&id).is_some_and(|site| !site.known) {
                        self.want_look(id, Read::Recalled, now);
                    }
                }
                Some(pause)
            }
        }
    }

    /// Takes in how a look went; returns when to look again.
    pub(super) fn looked(
        &mut self,
        id: &EnvironmentRef,
        read: bool,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Option<Duration> {
        let (jitter, pace) = (self.jitter(), self.tools.pace);
        let site = self.sites.get_mut(id)?;
        let (why, again) = match result {
            Ok(()) => {
                site.known = true;
                site.backoff.succeeded();
                site.said = None;
                let pause = site.backoff.pause(pace.observe, jitter);
                if read {
                    self.read(id);
                }
                return Some(pause);
            }
            Err(Failure::Gone) => {
                self.reload_at = Some(now);
                return None;
            }
            // Switched on again, or read, it comes back by itself.
            Err(Failure::Disabled | Failure::NeverRead) => return None,
            Err(Failure::Unread(why)) => {
                if read {
                    self.unread(id, now);
                }
                (why, false)
            }
            Err(Failure::Invalid(why)) => (why, false),
            Err(Failure::Other(why)) => (why, true),
        };
        let site = self.sites.get_mut(id)?;
        if read && again {
            // What moved was not read: the next look has to ask again, or it would never be seen.
            site.read = Read::Fresh;
        }
        site.backoff.failed();
        let pause = site.backoff.pause(pace.observe, jitter);
        if site.said.as_ref() != Some(&why) {
            tracing::warn!(environment = %id, why, "a look came to nothing");
            site.said = Some(why);
        }
        if site.known {
            return Some(pause);
        }
        if read && !again {
            // What an earlier process read is better than nothing.
            self.want_look(id.clone(), Read::Recalled, now);
            return None;
        }
        site.read = Read::Fresh;
        again.then_some(pause)
    }

    /// The places of an environment were read.
    fn read(&mut self, id: &EnvironmentRef) {
        let tracked = self.places.values_mut().filter(|polled| polled.place.environments.contains(id));
        tracked.for_each(|polled| polled.place.unread.succeeded());
    }

    /// The ref had moved, and what it moved to could not be read: the place is asked again, later and later.
    fn unread(&mut self, id: &EnvironmentRef, now: Instant) {
        let jitter = self.jitter();
        for (key, polled) in &mut self.places {
            if polled.place.environments.contains(id) {
                polled.place.tip = None;
                polled.place.unread.failed();
                let pause = polled.place.unread.pause(self.tools.pace.poll, jitter);
                self.schedule.cancel(&Job::Poll(key.clone()));
                self.schedule.want(Job::Poll(key.clone()), now + pause);
            }
        }
    }
}
