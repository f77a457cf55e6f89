//! All replicas of this supervisor: found again at its start, made and removed on request, each with its keeper.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::ids::EnvironmentRef;
use crate::provider::local::supervisor::keeper::{Ground, Keeper, Order, Published, Task};
use crate::provider::local::supervisor::prepare;
use crate::provider::local::supervisor::protocol::{Fault, Listing, Unseen};
use crate::provider::local::supervisor::record::{self, Wanted};
use crate::provider::local::supervisor::replica::{Blueprint, EnvValues, View, place_of};
use crate::provider::local::supervisor::view;
use crate::settings::PortRange;

/// The replicas.
#[derive(Debug)]
pub(super) struct Registry {
    ground: Arc<Ground>,
    ports: PortRange,
    replicas: tokio::sync::Mutex<Replicas>,
    // One at a time, so that no port is given out twice.
    preparing: tokio::sync::Mutex<Option<u16>>,
}

#[derive(Debug, Default)]
struct Replicas {
    kept: BTreeMap<String, Kept>,
    // Replicas whose files cannot be read: known to be there, and nothing else is known of them.
    unreadable: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Kept {
    orders: mpsc::Sender<Order>,
    published: Arc<Mutex<Published>>,
    keeper: JoinHandle<()>,
}

impl Registry {
    /// Finds every replica again.
    ///
    /// # Errors
    /// The folders cannot be read.
    pub(super) async fn open(ground: Arc<Ground>, ports: PortRange) -> io::Result<Self> {
        let mut replicas = Replicas::default();
        for entry in std::fs::read_dir(ground.layout.replicas())? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().into_owned();
            if id.ends_with(prepare::UNFINISHED) || id.ends_with(prepare::GONE) {
                record::delete_folder(&entry.path())?;
                continue;
            }
            let found = async {
                let mut keeper = Keeper::open(Arc::clone(&ground), &id)?;
                keeper.adopt().await?;
                io::Result::Ok(keeper)
            };
            match found.await {
                Ok(keeper) => {
                    replicas.kept.insert(id, keep(keeper));
                }
                Err(error) => {
                    tracing::error!(replica = %id, %error, "cannot be taken over");
                    replicas.unreadable.insert(id, error.to_string());
                }
            }
        }
        prepare::sweep(&ground.layout, |id| replicas.kept.contains_key(id) || replicas.unreadable.contains_key(id))?;
        let replicas = tokio::sync::Mutex::new(replicas);
        Ok(Registry { ground, ports, replicas, preparing: tokio::sync::Mutex::default() })
    }

    /// What all keepers share.
    pub(super) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// The ports that may be given out.
    pub(super) fn ports(&self) -> PortRange {
        self.ports
    }

    /// How many ports of a range are free now.
    pub(super) async fn free_ports(&self, range: PortRange) -> usize {
        let taken = self.taken_ports().await;
        range.ports().filter(|port| !taken.contains(port)).count()
    }

    async fn taken_ports(&self) -> std::collections::BTreeSet<u16> {
        self.replicas.lock().await.kept.values().map(|kept| kept.published().spec.port).collect()
    }

    /// Looks at every replica of an environment. One that cannot be looked at is unseen by itself.
    ///
    /// # Errors
    /// Looking broke off.
    pub(super) async fn list(&self, environment: &EnvironmentRef) -> Result<Listing, Fault> {
        let mut unseen = Vec::new();
        let mut published: Vec<(String, Published)> = Vec::new();
        {
            let replicas = self.replicas.lock().await;
            for (id, why) in &replicas.unreadable {
                let why = self.unreadable(id, why);
                unseen.extend(place_of(environment, id).map(|(service, index)| Unseen { service, index, why }));
            }
            let kept = replicas.kept.iter().map(|(id, kept)| (id.clone(), kept.published()));
            published.extend(kept.filter(|(_, published)| published.spec.blueprint.environment == *environment));
        }
        let ground = Arc::clone(&self.ground);
        let looked = tokio::task::spawn_blocking(move || {
            let mut listing = Listing { seen: Vec::new(), unseen };
            for (id, published) in &published {
                let Blueprint { service, index, .. } = &published.spec.blueprint;
                match view::look(&ground, id, published) {
                    Ok(view) => listing.seen.push(view),
                    Err(error) => {
                        let unseen = Unseen { service: service.clone(), index: *index, why: error.to_string() };
                        listing.unseen.push(unseen);
                    }
                }
            }
            listing
        });
        looked.await.map_err(|error| Fault::failed(error.to_string()))
    }

    /// Why a replica cannot be had, and what to do about it.
    fn unreadable(&self, id: &str, why: &str) -> String {
        format!(
            "the supervisor cannot read what it kept of {id}: {why}. End its processes by hand, remove {} and restart the \
             supervisor",
            self.ground.layout.replica(id).display()
        )
    }

    /// What a replica's keeper published last.
    ///
    /// # Errors
    /// There is no such replica, or it is there and cannot be read.
    pub(super) async fn published(&self, id: &str) -> Result<Published, Fault> {
        let replicas = self.replicas.lock().await;
        if let Some(why) = replicas.unreadable.get(id) {
            return Err(Fault::refused(self.unreadable(id, why)));
        }
        replicas.kept.get(id).map(Kept::published).ok_or_else(|| Fault::gone(id))
    }

    /// Looks at one replica.
    ///
    /// # Errors
    /// There is none of that id, or it cannot be read.
    pub(super) async fn look(&self, id: &str) -> Result<View, Fault> {
        let published = self.published(id).await?;
        let (ground, id) = (Arc::clone(&self.ground), id.to_owned());
        let looked = tokio::task::spawn_blocking(move || view::look(&ground, &id, &published));
        looked.await.map_err(|error| Fault::failed(error.to_string()))?.map_err(|e| Fault::failed(e.to_string()))
    }

    /// Has a replica's keeper do something.
    ///
    /// # Errors
    /// There is no such replica, or the keeper's reason.
    pub(super) async fn order(&self, id: &str, task: Task) -> Result<(), Fault> {
        let orders = self.replicas.lock().await.kept.get(id).map(|kept| kept.orders.clone());
        let orders = orders.ok_or_else(|| Fault::gone(id))?;
        let (answer, outcome) = oneshot::channel();
        orders.send((task, answer)).await.map_err(|_| Fault::gone(id))?;
        outcome.await.map_err(|_| Fault::failed(format!("the keeper of {id} ended over it; the log says why")))?
    }

    /// Makes a replica from a checkout in the staging folder. One of the same id that was never started goes first: an
    /// earlier call of the same run left it.
    ///
    /// # Errors
    /// Why not; nothing is left of it. One of the same id that was ever started is none that this run left: run numbers
    /// begin anew where the daemon's database was restored from a backup.
    pub(super) async fn prepare(&self, blueprint: Blueprint, env: EnvValues) -> Result<View, Fault> {
        let id = blueprint.id();
        match self.published(&id).await {
            Ok(there) if there.state.wanted != Wanted::Prepared => {
                return Err(Fault::refused(format!(
                    "a replica {id} is there and was started, so an earlier run of the same number made it (the \
                     daemon's database may be an older one): nothing was touched; sync again, which takes the next number"
                )));
            }
            Ok(_never_started) => match self.remove(&id).await {
                Ok(()) => {}
                Err(fault) if fault == Fault::gone(&id) => {}
                Err(fault) => return Err(fault),
            },
            Err(fault) if fault == Fault::gone(&id) => {}
            Err(fault) => return Err(fault),
        }
        let mut last = self.preparing.lock().await;
        let range = prepare::allowed_range(blueprint.ports, self.ports)?;
        let port = prepare::free_port(range, &self.taken_ports().await, *last)?;
        let ground = Arc::clone(&self.ground);
        let keeper = tokio::task::spawn_blocking(move || prepare::prepare(&ground, blueprint, &env, port))
            .await
            .map_err(|error| Fault::failed(error.to_string()))??;
        *last = Some(port);
        self.replicas.lock().await.kept.insert(id.clone(), keep(keeper));
        drop(last);
        self.look(&id).await
    }

    /// Stops a replica and deletes all that belongs to it.
    ///
    /// # Errors
    /// There is none of that id, or it cannot be stopped or deleted.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Fault> {
        if let Some(why) = self.replicas.lock().await.unreadable.get(id) {
            return Err(Fault::refused(self.unreadable(id, why)));
        }
        self.order(id, Task::Stop).await?;
        let Some(kept) = self.replicas.lock().await.kept.remove(id) else { return Err(Fault::gone(id)) };
        drop(kept.orders);
        kept.keeper.await.map_err(|error| Fault::failed(error.to_string()))?;
        let failed = |error: io::Error| Fault::failed(error.to_string());
        self.ground.limits.leave(id).map_err(failed)?;
        prepare::delete(&self.ground.layout, id).map_err(failed)?;
        let environment =
            kept.published.lock().unwrap_or_else(PoisonError::into_inner).spec.blueprint.environment.clone();
        if self.ground.changes.send(environment).is_err() {
            tracing::trace!(replica = id, "no one watches");
        }
        Ok(())
    }

    /// Every replica's id.
    pub(super) async fn ids(&self) -> Vec<String> {
        self.replicas.lock().await.kept.keys().cloned().collect()
    }

    /// Cuts back the logs that have outgrown the limit.
    pub(super) async fn rotate_logs(&self, limit: u64) {
        let logs: Vec<_> = self.ids().await.iter().map(|id| self.ground.layout.log(id)).collect();
        let rotated = tokio::task::spawn_blocking(move || {
            for log in logs {
                if let Err(error) = crate::provider::local::supervisor::log::rotate(&log, limit) {
                    tracing::error!(log = %log.display(), %error, "the log could not be cut back");
                }
            }
        });
        if let Err(error) = rotated.await {
            tracing::error!(%error, "cutting back the logs failed");
        }
    }

    /// Lets go of all replicas: their keepers end, their processes go on.
    pub(super) async fn let_go(&self) {
        let kept = std::mem::take(&mut self.replicas.lock().await.kept);
        for (id, kept) in kept {
            drop(kept.orders);
            if let Err(error) = kept.keeper.await {
                tracing::error!(replica = %id, %error, "its keeper failed");
            }
        }
    }
}

impl Kept {
    fn published(&self) -> Published {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn keep(keeper: Keeper) -> Kept {
    let published = keeper.published();
    let (orders, inbox) = mpsc::channel(16);
    Kept { orders, published, keeper: tokio::spawn(keeper.run(inbox)) }
}
