//! Does status say how services do by the check that was applied, each probed as often as it asks to be?

use std::time::Duration;

use trueup::health::Monitor;
use trueup::live::Health;
use trueup::store::records::RunState;

use crate::world::backend;
use crate::world::house::House;

async fn health_of(house: &House, service: &str) -> Health {
    let healths = house.store.healths(&house.id).await.unwrap();
    healths.into_iter().find(|(name, ..)| name.as_str() == service).unwrap().1.health
}

fn probed(service: &str, tag: &str, check: &str) -> String {
    format!("{service}:\n  image: acme/{service}:{tag}\n  port: 80\n  healthcheck: {{path: /, timeout: 1s, {check}}}\n")
}

#[tokio::test]
async fn each_service_is_probed_at_its_own_interval() {
    if !backend::git() {
        return;
    }
    let services = format!("{}{}", probed("quick", "1", "interval: 1s"), probed("slow", "1", "interval: 10m"));
    let house = House::new(&services).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    let monitor = Monitor::new(house.store.clone(), house.passes.clone());
    let due = monitor.round(&house.id).await.unwrap().unwrap();
    assert_eq!(due, Duration::from_secs(1));
    let after_first = (house.runtime.probes("quick"), house.runtime.probes("slow"));
    tokio::time::sleep(due).await;
    monitor.round(&house.id).await.unwrap();
    assert_eq!((house.runtime.probes("quick"), house.runtime.probes("slow")), (after_first.0 + 1, after_first.1));
}

#[tokio::test]
async fn failures_within_the_start_period_do_not_count() {
    if !backend::git() {
        return;
    }
    let check = "interval: 1s, unhealthy_threshold: 1";
    let services =
        format!("{}{}", probed("patient", "1", &format!("{check}, start_period: 10m")), probed("strict", "1", check));
    let house = House::new(&services).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    house.runtime.sicken("1");
    let monitor = Monitor::new(house.store.clone(), house.passes.clone());
    monitor.round(&house.id).await.unwrap();
    assert_eq!(health_of(&house, "patient").await, Health::Starting);
    assert!(matches!(health_of(&house, "strict").await, Health::Unhealthy { .. }));
}

#[tokio::test]
async fn a_commit_that_is_not_synced_hides_no_bad_health() {
    if !backend::git() {
        return;
    }
    let house = House::new(&probed("web", "1", "interval: 1s, unhealthy_threshold: 1")).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    house.runtime.sicken("1");
    let monitor = Monitor::new(house.store.clone(), house.passes.clone());
    monitor.round(&house.id).await.unwrap();
    house.declare("web:\n  image: acme/web:1\n");
    house.passes.refresh(&house.id).await.unwrap();
    assert!(matches!(health_of(&house, "web").await, Health::Unhealthy { .. }));
}
