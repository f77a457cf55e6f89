//! What is registered, and so what there is to ask, to look at and to listen to.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::daemon::jobs::{self, Job, Read};
use crate::daemon::keeper::Keeper;
use crate::daemon::places::{Place, PlaceKey, places};
use crate::git::{Backoff, RemoteUrl};
use crate::ids::EnvironmentRef;
use crate::store::StoreError;
use crate::store::records::Environment;

/// Between two first polls at the start.
const STAGGER: Duration = Duration::from_millis(10);

/// What is known of one environment.
pub(super) struct Site {
    pub(super) registered: Environment,
    /// The host of its repository; `None` for one of this machine.
    pub(super) host: Option<String>,
    /// Which reading the next look rests on.
    pub(super) read: Read,
    /// Whether this process has read its file.
    pub(super) known: bool,
    pub(super) backoff: Backoff,
    /// What the last failure said, so that it is logged once.
    pub(super) said: Option<String>,
    pub(super) looked_at: Option<Instant>,
    pub(super) listener: Option<AbortHandle>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

pub(super) struct Polled {
    pub(super) place: Place,
    pub(super) watch: Option<AbortHandle>,
}

impl Drop for Polled {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Keeper {
    pub(super) async fn reload_if_due(&mut self) {
        let now = Instant::now();
        if self.reload_at.is_none_or(|at| at > now) {
            return;
        }
        self.reload_at = None;
        while self.listeners.try_join_next().is_some() {}
        if let Err(error) = self.reload(now).await {
            tracing::warn!(%error, "what is registered could not be read; it is tried again");
            self.reload_at = Some(now + self.tools.pace.poll.min(Duration::from_secs(10)));
        }
    }

    /// Takes in what is registered now.
    async fn reload(&mut self, now: Instant) -> Result<(), StoreError> {
        let projects = self.tools.store.projects().await?;
        let environments = self.tools.store.environments(None).await?;
        let wanted = places(&projects, &environments);
        let there: BTreeSet<&EnvironmentRef> = environments.iter().map(|environment| &environment.id).collect();
        let passes = &self.tools.passes;
        self.sites.retain(|id, _| {
            there.contains(id) || {
                passes.forget(id);
                false
            }
        });
        let nudged = std::mem::take(&mut self.nudged);
        for environment in environments {
            let host = wanted.iter().find(|(_, place)| place.environments.contains(&environment.id));
            let host = host.and_then(|(key, _)| key.host.clone());
            self.register(environment, host, &nudged);
        }
        self.places.retain(|key, _| wanted.contains_key(key));
        let mut fresh = 0;
        for (key, place) in wanted {
            let touched = place.environments.iter().any(|id| nudged.contains(id));
            match self.places.get_mut(&key) {
                Some(known) => {
                    let grown = !place.environments.is_subset(&known.place.environments);
                    known.place.environments = place.environments;
                    known.place.project = place.project;
                    if touched || grown {
                        known.place.tip = None;
                        self.ask(key, now);
                    }
                }
                None => {
                    self.settle_place(key, place, now + STAGGER * fresh);
                    fresh += 1;
                }
            }
        }
        for project in projects.iter().filter(|project| project.disabled) {
            let ids: Vec<EnvironmentRef> = self.sites.keys().filter(|id| id.project == project.name).cloned().collect();
            // Notes that it is switched off, and is not looked at again.
            ids.into_iter().for_each(|id| self.want_look(id, Read::Fresh, now));
        }
        Ok(())
    }

    fn register(&mut self, environment: Environment, host: Option<String>, nudged: &BTreeSet<EnvironmentRef>) {
        let id = environment.id.clone();
        if self.sites.get(&id).is_some_and(|site| site.registered.created_at != environment.created_at) {
            // Removed and registered anew in between: nothing of the one before holds for it.
            self.tools.passes.forget(&id);
            self.sites.remove(&id);
        }
        let unchanged = self.sites.get(&id).is_some_and(|site| site.registered == environment);
        if unchanged && !nudged.contains(&id) {
            return;
        }
        let known = self.sites.get(&id).is_some_and(|site| site.known);
        let listener = self.listeners.spawn(jobs::listen(self.tools.clone(), id.clone(), self.asks.clone()));
        let site = Site {
            registered: environment,
            host,
            read: Read::Fresh,
            known,
            backoff: Backoff::default(),
            said: None,
            looked_at: None,
            listener: Some(listener),
        };
        self.sites.insert(id, site);
    }

    fn settle_place(&mut self, key: PlaceKey, place: Place, first: Instant) {
        let url = RemoteUrl::parse(&key.url).ok();
        let watch = url
            .filter(|url| url.local_path().is_some())
            .map(|url| self.listeners.spawn(jobs::watch(self.tools.clone(), url, key.clone(), self.asks.clone())));
        self.places.insert(key.clone(), Polled { place, watch });
        self.ask(key, first);
    }

    /// Has a place asked, or, where the daemon asks nobody by itself, its environments looked at over what was read last.
    fn ask(&mut self, key: PlaceKey, when: Instant) {
        if self.may_ask(&key) {
            self.schedule.want(Job::Poll(key), when);
            return;
        }
        let ids: Vec<EnvironmentRef> =
            self.places.get(&key).map(|polled| polled.place.environments.iter().cloned().collect()).unwrap_or_default();
        ids.into_iter().for_each(|id| self.want_look(id, Read::Recalled, when));
    }
}
