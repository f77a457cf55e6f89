//! Does the daemon go on probing what was deployed, and look at once when the provider tells of a change?

use trueup::drift::Cause;
use trueup::live::Health;

use crate::daemon::{Desk, NEVER, SOON, until};
use crate::world::backend;
use crate::world::git_server::Repo;
use crate::world::house::{House, file};

const WEB: &str = "web: {image: acme/web:1, port: 80, healthcheck: {path: /, interval: 1s, unhealthy_threshold: 2}}\n";

/// A background's desk where `WEB` was synced; nothing runs yet.
async fn deployed(repo: &Repo) -> (Desk, trueup::ids::EnvironmentRef) {
    let house = House::new(WEB).await;
    house.sync().await;
    let desk = Desk::over(tempfile::tempdir().unwrap(), house.runtime.clone());
    let id = desk.add("shop/production", &repo.path.display().to_string()).await;
    for (name, service) in house.store.base(&house.id).await.unwrap().services {
        desk.store.record_base(&id, &name, service).await.unwrap();
    }
    (desk, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_is_probed_on_and_its_health_is_kept() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let (mut desk, id) = deployed(&repo).await;
    let effects = desk.runtime.effects();
    desk.start(NEVER, SOON);
    let becomes = async |word: &str| {
        until(|| async {
            let healths = desk.store.healths(&id).await.unwrap();
            healths.iter().any(|(_, service, _)| service.health.word() == word).then_some(healths)
        })
        .await
    };
    becomes("healthy").await;
    desk.runtime.sicken("1");
    let healths = becomes("unhealthy").await;
    assert!(matches!(&healths[0].1.health, Health::Unhealthy { why } if why.contains("503")), "{healths:?}");
    assert!(desk.store.latest_plan(&id).await.unwrap().unwrap().is_empty(), "ill is not out of sync");
    assert_eq!(desk.runtime.effects(), effects, "the background changed what runs");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_provider_tells_of_is_looked_at_without_a_timer() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let (mut desk, id) = deployed(&repo).await;
    desk.runtime.tell_of_changes();
    let effects = desk.runtime.effects();
    desk.start(NEVER, NEVER);
    desk.plan(&id, |plan| plan.is_empty()).await;
    until(|| async { (desk.runtime.listeners() > 0).then_some(()) }).await;
    // What happens before the first look is over is seen by that; so it is done until it was told of.
    let plan = until(|| async {
        desk.runtime.by_hand("web", |replica| replica.running = false);
        desk.store.latest_plan(&id).await.unwrap().filter(|plan| !plan.is_empty())
    })
    .await;
    assert_eq!(plan.actions[0].changes[0].cause, Cause::Live);
    assert_eq!(desk.runtime.effects(), effects, "the background changed what runs");
    desk.stop().await;
}
