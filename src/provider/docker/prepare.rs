//! A new replica beside the old: image, network, volumes, container. Touches nothing that runs.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{
    ContainerCreateBody, ContainerCreateResponse, NetworkConnectRequest, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use secrecy::SecretString;

use super::DockerProvider;
use super::create::{Blueprint, Creation};
use super::engine::{CHANGE, EngineError};
use super::facts::ImageFacts;
use super::labels::{self, Identity};
use crate::ids::{RunId, SecretName};
use crate::live::ReplicaId;
use crate::live::field::FieldPath;
use crate::live::value::{PullPolicy, Value, VolumeSource};
use crate::provider::{Progress, ReplicaSpec, StepError};
use crate::secret::mask::Mask;

/// How many names are tried for a replica.
const NAMES: u32 = 5;

impl From<EngineError> for StepError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unreachable(why) => StepError::Unreachable(why),
            EngineError::Missing(why) | EngineError::Refused(why) => StepError::Refused(why),
        }
    }
}

impl DockerProvider {
    pub(super) async fn prepare_replica(
        &self,
        run: RunId,
        spec: &ReplicaSpec<'_>,
        progress: &dyn Progress,
    ) -> Result<ReplicaId, StepError> {
        let identity = Identity { service: spec.service.clone(), index: spec.index, release: Some(spec.release) };
        self.clear_leftovers(run, &identity, spec.from).await?;
        let Some(Value::Image(wanted)) = spec.leaves.get(&FieldPath::Image) else {
            return Err(StepError::Refused(format!("the service {} declares no image", spec.service)));
        };
        let pull = match spec.leaves.get(&FieldPath::Pull) {
            Some(Value::Pull(policy)) => Some(*policy),
            _ => None,
        };
        let (image_name, image) = self.ensure_image(wanted, pull == Some(PullPolicy::Never), progress).await?;
        self.ensure_network().await?;
        self.ensure_volumes(spec).await?;
        let predecessor = self.predecessor(spec.from).await?;
        let network = self.network();
        let blueprint = Blueprint {
            environment: &self.environment,
            identity: &identity,
            leaves: spec.leaves,
            withdrawn: spec.withdrawn,
            secrets: spec.secrets,
            image_name: &image_name,
            image: &image,
            from: predecessor.as_ref().map(|(inspect, image)| (&**inspect, &**image)),
            network: &network,
        };
        let creation = blueprint.creation().map_err(StepError::Refused)?;
        let name = format!(
            "{}-{}-{}-{}-r{run}",
            self.environment.project, self.environment.environment, spec.service, spec.index
        );
        self.create(&name, creation, &image).await.map_err(|error| without_secrets(error, spec.secrets))
    }

    /// Creates, joins the further networks and checks what was made; takes it away again where any of that fails.
    async fn create(&self, name: &str, creation: Creation, image: &ImageFacts) -> Result<ReplicaId, StepError> {
        let made = self.create_under_free_name(name, &creation.body).await?;
        let id = ReplicaId(made.id);
        let finished = async {
            for (network, endpoint) in creation.further_networks {
                let request = NetworkConnectRequest { container: id.0.clone(), endpoint_config: Some(endpoint) };
                let joined = |docker: bollard::Docker| async move { docker.connect_network(&network, request).await };
                self.engine.call(CHANGE, joined).await?;
            }
            let found = self.inspect(&id.0).await?.and_then(|inspect| inspect.image.clone()).unwrap_or_default();
            if found != image.id {
                return Err(EngineError::Refused(format!(
                    "the Engine made {name} from the image {found}, not from {} that the plan names; plan again",
                    image.id
                )));
            }
            Ok(())
        };
        match finished.await {
            Ok(()) => Ok(id),
            Err(error) => {
                let error = StepError::from(error);
                match self.delete(&id.0, true).await {
                    Ok(()) => Err(error),
                    Err(left) => {
                        Err(StepError::Unreachable(format!("{error}; and {name} could not be removed: {left}")))
                    }
                }
            }
        }
    }

    /// The name is for people; where it is taken, a number is added.
    async fn create_under_free_name(
        &self,
        name: &str,
        body: &ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, EngineError> {
        let mut taken = None;
        for number in 1..=NAMES {
            let tried = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let options = CreateContainerOptionsBuilder::default().name(&tried).build();
            let body = body.clone();
            let made = |docker: bollard::Docker| async move { docker.create_container(Some(options), body).await };
            match self.engine.call(CHANGE, made).await {
                Err(EngineError::Refused(why)) if why.contains("is already in use by container") => taken = Some(why),
                answer => return answer,
            }
        }
        Err(EngineError::Refused(taken.unwrap_or_default()))
    }

    /// Removes what an earlier call of the same run made for the same replica. Only what never started: run numbers begin
    /// anew with a new installation, and what runs under an equal number is not a leftover.
    async fn clear_leftovers(
        &self,
        run: RunId,
        identity: &Identity,
        from: Option<&ReplicaId>,
    ) -> Result<(), StepError> {
        let mut wanted = labels::filter(&self.environment);
        wanted.push(format!("{}={}", labels::SERVICE, identity.service));
        wanted.push(format!("{}={}", labels::REPLICA, identity.index));
        wanted.push(format!("{}={run}", labels::RELEASE));
        let filters = HashMap::from([("label".to_owned(), wanted), ("status".to_owned(), vec!["created".to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let left = self.engine.read(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        for id in left.into_iter().filter_map(|container| container.id) {
            if from.is_none_or(|from| from.0 != id) {
                self.delete(&id, true).await?;
            }
        }
        Ok(())
    }

    /// Deletes a container; one that is gone is done already. Volumes go only with `nameless`, and then only those that
    /// the Engine named itself for this container and that no other uses.
    pub(super) async fn delete(&self, id: &str, nameless: bool) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(nameless).build();
        let deleted =
            self.engine.call(CHANGE, |docker| async move { docker.remove_container(id, Some(options)).await }).await;
        self.overdue().remove(id);
        match deleted {
            Ok(()) | Err(EngineError::Missing(_)) => Ok(()),
            // Two removals at once: the other one is at it.
            Err(EngineError::Refused(why)) if why.contains("already in progress") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ensure_network(&self) -> Result<(), StepError> {
        let name = self.network();
        let name_of_network = name.clone();
        let inspected = {
            let name = name.clone();
            self.engine.read(|docker| async move { docker.inspect_network(&name, None).await }).await
        };
        match inspected {
            // A network that the operator named may be anybody's: sharing it is what the setting is for.
            Ok(_) if self.settings.network.is_some() => return Ok(()),
            Ok(found) => return self.own_or_nobodys("network", &name_of_network, found.labels.as_ref()),
            Err(EngineError::Missing(_)) if self.settings.network.is_some() => {
                return Err(StepError::Refused(format!(
                    "the network {name} that the setting `network` names does not exist; create it (docker network \
                     create {name}) or unset the setting"
                )));
            }
            Err(EngineError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let request = NetworkCreateRequest {
            name,
            driver: Some("bridge".to_owned()),
            labels: Some(labels::environment(&self.environment)),
            ..NetworkCreateRequest::default()
        };
        match self.engine.call(CHANGE, |docker| async move { docker.create_network(request).await }).await {
            Ok(_) => Ok(()),
            Err(EngineError::Refused(why)) if why.contains("address pool") => Err(StepError::Refused(format!(
                "{why}; the Engine has no free subnet left: remove unused networks (docker network prune) or add to \
                 default-address-pools in its daemon.json"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn ensure_volumes(&self, spec: &ReplicaSpec<'_>) -> Result<(), StepError> {
        for value in spec.leaves.values() {
            let Value::Volume(mount) = value else { continue };
            match &mount.source {
                VolumeSource::Host(_) => {}
                VolumeSource::Named(name) => {
                    let found = match self.volume(name).await? {
                        Some(found) => found,
                        None => {
                            let request = VolumeCreateRequest {
                                name: Some(name.to_string()),
                                labels: Some(labels::environment(&self.environment)),
                                ..VolumeCreateRequest::default()
                            };
                            // The Engine answers with the one that is there, should someone else have been quicker.
                            self.engine
                                .call(CHANGE, |docker| async move { docker.create_volume(request).await })
                                .await?
                        }
                    };
                    self.own_or_nobodys("volume", name, Some(&found.labels))?;
                }
                VolumeSource::External(name) => {
                    if self.volume(name).await?.is_none() {
                        return Err(StepError::Refused(format!(
                            "the external volume {name} does not exist; create it (docker volume create {name})"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses what was made for another environment. What carries no label of Trueup's was made by someone who chose
    /// its name, and is used as it is.
    fn own_or_nobodys(
        &self,
        what: &str,
        name: &str,
        labels: Option<&HashMap<String, String>>,
    ) -> Result<(), StepError> {
        match labels::another(&self.environment, labels) {
            None => Ok(()),
            Some(other) => Err(StepError::Refused(format!(
                "the {what} {name} belongs to {other}, whose name runs together with {}'s: rename one of them",
                self.environment
            ))),
        }
    }

    async fn volume(&self, name: &str) -> Result<Option<bollard::models::Volume>, StepError> {
        match self.engine.read(|docker| async move { docker.inspect_volume(name).await }).await {
            Ok(volume) => Ok(Some(volume)),
            Err(EngineError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The replica whose place is taken, with what its image supplied.
    async fn predecessor(
        &self,
        from: Option<&ReplicaId>,
    ) -> Result<Option<(Arc<bollard::models::ContainerInspectResponse>, Arc<ImageFacts>)>, StepError> {
        let Some(from) = from else { return Ok(None) };
        let inspect = self.inspect(&from.0).await?.ok_or_else(|| StepError::Gone(from.clone()))?;
        let image = match inspect.image.as_deref() {
            Some(id) => self.engine.image_of(id).await?,
            None => None,
        };
        let image = image.ok_or_else(|| {
            StepError::Refused(format!(
                "the Engine no longer has the image of {}, so what the image supplied cannot be told from what someone \
                 set; pull or load that image again, or remove the container",
                inspect.name.as_deref().unwrap_or(&from.0).trim_start_matches('/')
            ))
        })?;
        Ok(Some((inspect, image)))
    }
}

/// An Engine may quote what it was sent.
fn without_secrets(error: StepError, secrets: &std::collections::BTreeMap<SecretName, SecretString>) -> StepError {
    let mut mask = Mask::default();
    mask.add(secrets.values().cloned());
    let scrub = |text: String| mask.apply(&text);
    match error {
        StepError::Unreachable(text) => StepError::Unreachable(scrub(text)),
        StepError::Refused(text) => StepError::Refused(scrub(text)),
        StepError::Gone(id) => StepError::Gone(id),
    }
}
