//! Looking at what runs: list by label, inspect each, inspect their images, convert.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use super::DockerProvider;
use super::convert;
use super::engine::EngineError;
use super::labels::{self, Identity};
use crate::ids::ServiceName;
use crate::live::{Live, LiveReplica, LiveService, Observed};

/// How many inspections are under way at once.
const AT_ONCE: usize = 8;
/// How many containers may give no answer before the Engine as a whole counts as out of reach: each has cost a whole
/// limit.
const SILENT: usize = AT_ONCE;
/// How often the list is taken anew where containers vanish between list and inspection.
const ROUNDS: usize = 3;

/// What looking at one listed container came to.
enum Look {
    Replica(ServiceName, Box<LiveReplica>),
    /// It is there, and the Engine would not show it.
    Unseen(Identity, EngineError),
    /// It went meanwhile.
    Gone,
    /// Its labels name no service.
    Foreign,
}

/// A container of the list, with the labels that the list shows.
struct Listed {
    id: String,
    labels: HashMap<String, String>,
}

impl DockerProvider {
    pub(super) async fn look(&self) -> Live {
        let services = match self.looks().await {
            Ok(looks) => Observed::Known(by_service(looks)),
            Err(error) => Observed::Unknown(error.to_string()),
        };
        Live { services }
    }

    /// Every replica of the environment, those that were created and never started among them.
    async fn looks(&self) -> Result<Vec<Look>, EngineError> {
        for _ in 1..ROUNDS {
            let looks = self.look_at(self.list().await?).await?;
            // A container that went may have a successor that the list does not hold yet.
            if !looks.iter().any(|look| matches!(look, Look::Gone)) {
                return Ok(looks);
            }
        }
        self.look_at(self.list().await?).await
    }

    /// The containers that carry the environment's labels and a service's.
    async fn list(&self) -> Result<Vec<Listed>, EngineError> {
        let mut wanted = labels::filter(&self.environment);
        wanted.push(labels::SERVICE.to_owned());
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.engine.read(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        let listed = |container: ContainerSummary| match (container.id, container.labels) {
            (Some(id), Some(labels)) => Ok(Listed { id, labels }),
            (id, _) => Err(self.engine.incomplete(id.as_deref().unwrap_or("a container of the list"))),
        };
        containers.into_iter().map(listed).collect()
    }

    /// Looks at each. One that the Engine does not show is unseen by itself; an Engine that no longer answers is an error.
    async fn look_at(&self, listed: Vec<Listed>) -> Result<Vec<Look>, EngineError> {
        let mut looks = stream::iter(listed).map(|listed| self.look_at_one(listed)).buffered(AT_ONCE);
        let mut seen = Vec::new();
        let mut silent = 0;
        while let Some(look) = looks.next().await {
            if let Look::Unseen(_, error @ EngineError::Unreachable(_)) = &look {
                silent += 1;
                if silent >= SILENT {
                    return Err(error.clone());
                }
            }
            seen.push(look);
        }
        drop(looks);
        if silent > 0 {
            // Only some containers gave no answer, or the Engine went meanwhile: asked for the list again, it tells.
            self.list().await?;
        }
        Ok(seen)
    }

    async fn look_at_one(&self, listed: Listed) -> Look {
        let Listed { id, labels } = listed;
        let Some(identity) = Identity::of(&labels) else {
            tracing::warn!(container = %id, "the label dev.trueup.service names no service; the container is left alone");
            return Look::Foreign;
        };
        match self.replica(&id, &identity).await {
            Ok(Some(replica)) => Look::Replica(identity.service, Box::new(replica)),
            Ok(None) => Look::Gone,
            Err(error) => Look::Unseen(identity, error),
        }
    }

    async fn replica(&self, id: &str, identity: &Identity) -> Result<Option<LiveReplica>, EngineError> {
        let Some(inspect) = self.inspect(id).await? else { return Ok(None) };
        let image = match inspect.image.as_deref() {
            Some(image) => self.engine.image_of(image).await?,
            None => None,
        };
        let prefix = self.volume_prefix();
        Ok(Some(convert::replica(&inspect, identity, image.as_deref(), &prefix, Timestamp::now())))
    }

    /// One container; `None` where it is gone or going.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Arc<ContainerInspectResponse>>, EngineError> {
        let id = id.to_owned();
        match self.engine.read(|docker| async move { docker.inspect_container(&id, None).await }).await {
            // What is not in the answer would read as a setting that nobody made.
            Ok(inspect) if inspect.config.is_none() || inspect.host_config.is_none() || inspect.state.is_none() => {
                Err(self.engine.incomplete(inspect.id.as_deref().unwrap_or("a container")))
            }
            Ok(inspect) => Ok((!going(&inspect)).then(|| Arc::new(inspect))),
            Err(EngineError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn going(inspect: &ContainerInspectResponse) -> bool {
    let status = inspect.state.as_ref().and_then(|state| state.status);
    status == Some(bollard::models::ContainerStateStatusEnum::REMOVING)
}

fn by_service(looks: Vec<Look>) -> BTreeMap<ServiceName, LiveService> {
    let mut services: BTreeMap<ServiceName, LiveService> = BTreeMap::new();
    for look in looks {
        match look {
            Look::Replica(service, replica) => services.entry(service).or_default().replicas.push(*replica),
            Look::Unseen(identity, error) => {
                let name = identity.name();
                services.entry(identity.service).or_default().unseen.insert(name, error.to_string());
            }
            Look::Gone | Look::Foreign => {}
        }
    }
    for service in services.values_mut() {
        service.replicas.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
    }
    services
}
