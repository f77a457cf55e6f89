//! A house whose repository is on a forge's world.

use std::collections::BTreeMap;

use jiff::Timestamp;
use trueup::integration::{IntegrationProvider, IntegrationType};
use trueup::store::records::Integration;

use crate::world::forge::ForgeWorld;
use crate::world::house::House;

/// The forge as an operator registers it.
pub fn integration(world: &ForgeWorld) -> Integration {
    Integration {
        name: "forge".parse().unwrap(),
        kind: IntegrationType::Scm,
        provider: IntegrationProvider::Forge(world.kind()),
        endpoint: world.endpoint(),
        auth: Some(world.auth_ref("token")),
        settings: BTreeMap::new(),
        owner: String::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}

/// Points the house's project at a repository of the world, and at its forge.
pub async fn register(house: &House, world: &ForgeWorld, repository: &str) {
    let registered = integration(world);
    let event = crate::world::reporting::created(&registered);
    house.store.add_integration(registered.clone(), event).await.unwrap();
    let mut project = house.store.project(&house.id.project).await.unwrap().unwrap();
    project.url = world.clone_url(repository);
    project.integration = Some(registered.name);
    project.repository = Some(repository.to_owned());
    house.store.update_project(project).await.unwrap();
}

/// The event that tells of it.
fn created(registered: &Integration) -> trueup::events::NewEvent {
    trueup::events::NewEvent {
        kind: trueup::events::EventType::IntegrationCreated,
        subject: registered.name.to_string(),
        data: serde_json::json!({}),
        at: registered.created_at,
    }
}
