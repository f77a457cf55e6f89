//! Looking at what runs: list by label, inspect each, inspect their images, convert.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::DockerProvider;
use super::convert;
use super::engine::EngineError;
use super::labels::{self, Identity};
use crate::ids::ServiceName;
use crate::live::{Live, LiveReplica, LiveService, Observed};

/// How many inspections are under way at once.
const AT_ONCE: usize = 8;
/// How often the list is taken anew where containers vanish between list and inspection.
const ROUNDS: usize = 3;

impl DockerProvider {
    pub(super) async fn look(&self) -> Live {
        let services = match self.replicas().await {
            Ok(replicas) => Observed::Known(by_service(replicas)),
            Err(error) => Observed::Unknown(error.to_string()),
        };
        Live { services }
    }

    /// Every replica of the environment, those that were created and never started among them.
    pub(super) async fn replicas(&self) -> Result<Vec<(ServiceName, LiveReplica)>, EngineError> {
        for _ in 1..ROUNDS {
            let listed = self.list().await?;
            let seen = self.inspect_all(&listed).await?;
            // A container that went may have a successor that the list does not hold yet.
            if seen.len() == listed.len() {
                return Ok(seen.into_iter().flatten().collect());
            }
        }
        let listed = self.list().await?;
        Ok(self.inspect_all(&listed).await?.into_iter().flatten().collect())
    }

    /// The ids of the containers that carry the environment's labels and a service's.
    pub(super) async fn list(&self) -> Result<Vec<String>, EngineError> {
        let mut wanted = labels::filter(&self.environment);
        wanted.push(labels::SERVICE.to_owned());
        let filters = std::collections::HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.engine.read(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }

    /// Those of `ids` that still exist; the inner `None` is one whose labels name no service.
    async fn inspect_all(&self, ids: &[String]) -> Result<Vec<Option<(ServiceName, LiveReplica)>>, EngineError> {
        let inspections = stream::iter(ids.to_vec()).map(|id| async move { self.inspect_one(&id).await });
        let found: Vec<_> = inspections.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn inspect_one(&self, id: &str) -> Result<Option<Option<(ServiceName, LiveReplica)>>, EngineError> {
        let Some(inspect) = self.inspect(id).await? else { return Ok(None) };
        let labels = inspect.config.as_ref().and_then(|config| config.labels.as_ref());
        let Some(identity) = labels.and_then(Identity::of) else {
            tracing::warn!(container = %id, "the label dev.trueup.service names no service; the container is left alone");
            return Ok(Some(None));
        };
        let image = match inspect.image.as_deref() {
            Some(image) => self.engine.image_of(image).await?,
            None => None,
        };
        let prefix = self.volume_prefix();
        let replica = convert::replica(&inspect, &identity, image.as_deref(), &prefix, Timestamp::now());
        Ok(Some(Some((identity.service, replica))))
    }

    /// One container; `None` where it is gone or going.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Arc<ContainerInspectResponse>>, EngineError> {
        let id = id.to_owned();
        match self.engine.read(|docker| async move { docker.inspect_container(&id, None).await }).await {
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

fn by_service(replicas: Vec<(ServiceName, LiveReplica)>) -> BTreeMap<ServiceName, LiveService> {
    let mut services: BTreeMap<ServiceName, LiveService> = BTreeMap::new();
    for (service, replica) in replicas {
        services.entry(service).or_default().replicas.push(replica);
    }
    for service in services.values_mut() {
        service.replicas.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
    }
    services
}
