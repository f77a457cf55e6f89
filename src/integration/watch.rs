//! Looks at every integration at its interval, spread so that many do not come at once, and at a new or changed one right
//! away. Nothing waits for it, and one that does not answer holds up no other.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ids::IntegrationName;
use crate::integration::Catalog;
use crate::store::StoreError;
use crate::store::records::Integration as Registered;

/// Integrations that are looked at at once.
const AT_ONCE: usize = 8;
/// How long after a failure to read what is registered that is tried again.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Who looks, for the audit log.
const ACTOR: &str = "trueup";

/// How often integrations are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two looks at one.
    pub interval: Duration,
    /// The most by which a look is earlier or later.
    pub jitter: Duration,
}

impl Pace {
    /// The time until the next look; `chance` is from 0.0 to 1.0.
    fn next(self, chance: f64) -> Duration {
        self.interval.saturating_sub(self.jitter) + self.jitter.mul_f64(2.0 * chance)
    }
}

/// One that is looked at.
struct Watched {
    registered: Registered,
    due: Instant,
    at_work: bool,
}

struct Watch {
    catalog: Catalog,
    pace: Pace,
    known: BTreeMap<IntegrationName, Watched>,
    looks: JoinSet<IntegrationName>,
    random: RandomState,
    draws: u64,
}

/// Watches until `stop` is cancelled.
pub async fn watch(catalog: Catalog, pace: Pace, stop: CancellationToken) {
    let watch =
        Watch { catalog, pace, known: BTreeMap::new(), looks: JoinSet::new(), random: RandomState::new(), draws: 0 };
    watch.run(stop).await;
}

impl Watch {
    async fn run(mut self, stop: CancellationToken) {
        let mut read_at = Some(Instant::now());
        loop {
            if read_at.is_some_and(|at| at <= Instant::now()) {
                read_at = match self.read().await {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::warn!(%error, "the integrations could not be read; it is tried again");
                        Some(Instant::now() + READ_AGAIN)
                    }
                };
            }
            self.begin_due();
            let next = self.next().into_iter().chain(read_at).min();
            let sleep = async {
                match next {
                    Some(when) => tokio::time::sleep_until(when.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.catalog.changed() => read_at = Some(Instant::now()),
                Some(ended) = self.looks.join_next() => self.ended(ended),
                () = sleep => {}
            }
        }
        self.looks.shutdown().await;
    }

    /// Takes in what is registered now; what is new or changed is due at once.
    async fn read(&mut self) -> Result<(), StoreError> {
        let registered = self.catalog.store().integrations().await?;
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.known);
        for registered in registered {
            let known = before.remove(&registered.name);
            let same = known.as_ref().is_some_and(|known| known.registered == registered);
            let at_work = known.as_ref().is_some_and(|known| known.at_work);
            let due = known.filter(|_| same).map_or(now, |known| known.due);
            self.known.insert(registered.name.clone(), Watched { registered, due, at_work });
        }
        Ok(())
    }

    fn next(&self) -> Option<Instant> {
        if self.looks.len() >= AT_ONCE {
            return None;
        }
        self.known.values().filter(|watched| !watched.at_work).map(|watched| watched.due).min()
    }

    fn begin_due(&mut self) {
        let now = Instant::now();
        let ready = self.known.iter().filter(|(_, watched)| !watched.at_work && watched.due <= now);
        let mut due: Vec<(Instant, IntegrationName)> =
            ready.map(|(name, watched)| (watched.due, name.clone())).collect();
        // Whoever has waited longest comes first, so that none waits for ever.
        due.sort();
        due.truncate(AT_ONCE.saturating_sub(self.looks.len()));
        for (_, name) in due {
            let pause = self.pace.next(self.chance());
            let Some(watched) = self.known.get_mut(&name) else { continue };
            watched.at_work = true;
            watched.due = now + pause;
            let (catalog, registered) = (self.catalog.clone(), watched.registered.clone());
            self.looks.spawn(async move {
                match catalog.look(&registered, ACTOR).await {
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(integrationId = %name, %error, "a look came to nothing")
                    }
                }
                name
            });
        }
    }

    fn ended(&mut self, ended: Result<IntegrationName, tokio::task::JoinError>) {
        match ended {
            Ok(name) => {
                if let Some(watched) = self.known.get_mut(&name) {
                    watched.at_work = false;
                }
            }
            // Which one it was is not told; each is due again at its time.
            Err(error) => {
                tracing::error!(%error, "looking at an integration broke off; it is tried again");
                self.known.values_mut().for_each(|watched| watched.at_work = false);
            }
        }
    }

    /// A random number from 0.0 to 1.0. Nothing but the spread of timers rests on it.
    fn chance(&mut self) -> f64 {
        self.draws += 1;
        (self.random.hash_one(self.draws) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn looks_are_spread_within_the_jitter() {
        let pace = Pace { interval: Duration::from_secs(60), jitter: Duration::from_secs(6) };
        assert_eq!(pace.next(0.0), Duration::from_secs(54));
        assert_eq!(pace.next(0.5), Duration::from_secs(60));
        assert_eq!(pace.next(1.0), Duration::from_secs(66));
    }
}
