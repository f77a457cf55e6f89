//! Does someone who follows a service's output hear the replicas that a sync makes meanwhile, whoever runs them?

use reqwest::Method;
use trueup::store::records::RunState;

use crate::flow_local;
use crate::world::backend;
use crate::world::dock::{Dock, service};
use crate::world::docker;
use crate::world::door::{Door, Followed};
use crate::world::house::House;
use crate::world::local::Machine;

fn path(house: &House) -> String {
    let id = &house.id;
    format!("/api/v1/projects/{}/environments/{}/services/web/logs?follow=true", id.project, id.environment)
}

async fn sync(house: &House) {
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}\n{}", run.summary, house.output(run.id).await);
}

/// A provider that cannot tell of changes is looked at again and again.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_a_sync_makes_are_followed_where_nobody_tells_of_changes() {
    if !backend::git() {
        return;
    }
    let web = "web:\n  image: acme/web:1\n";
    let house = House::new(web).await;
    sync(&house).await;
    house.runtime.go_on_printing();
    house.runtime.print(&["release 1"]);
    let door = Door::open(house, "no-such-group").await;
    let mut followed = Followed::begin(&door, &path(&door.house)).await;
    followed.until("release 1").await;
    door.house.runtime.print(&["release 2"]);
    door.house.declare(&web.replace("web:1", "web:2"));
    sync(&door.house).await;
    followed.until("release 2").await;
    assert_eq!(followed.text().matches("release ").count(), 2, "{}", followed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn local_replicas_that_a_sync_makes_are_followed_from_their_first_line() {
    if !backend::git() {
        return;
    }
    let machine = Machine::new().await;
    let house = flow_local::house(&machine, &flow_local::web("1", "\"true\"", "")).await;
    flow_local::sync(&house).await;
    let door = Door::open(house, "no-such-group").await;
    let mut followed = Followed::begin(&door, &path(&door.house)).await;
    followed.until("release 1").await;
    for release in ["2", "3"] {
        door.house.declare(&flow_local::web(release, "\"true\"", ""));
        flow_local::sync(&door.house).await;
        followed.until(&format!("release {release}")).await;
    }
    assert_eq!(followed.text().matches("release ").count(), 3, "{}", followed.text());
    let (status, _) = door.ask(Method::GET, "/api/v1/version", None).await;
    assert_eq!(status.as_u16(), 200, "whoever follows holds nobody up");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_replicas_that_a_sync_makes_are_followed_from_their_first_line() {
    if !docker::available() {
        return;
    }
    let command =
        "command: [sh, -c, \"echo release {{.Env.R}}; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]";
    let release = |number: &str| service("web", &[&command.replace("{{.Env.R}}", number)]);
    let dock = Dock::new(&release("1")).await;
    dock.sync().await;
    let Dock { house, world } = dock;
    let file = std::fs::read_to_string(house.repo.path().join(".trueup.yml")).unwrap();
    let door = Door::open(house, "no-such-group").await;
    let mut followed = Followed::begin(&door, &path(&door.house)).await;
    followed.until("release 1").await;
    for number in ["2", "3"] {
        door.house.repo.commit(".trueup.yml", &file.replace("release 1", &format!("release {number}")));
        sync(&door.house).await;
        followed.until(&format!("release {number}")).await;
    }
    assert_eq!(followed.text().matches("release ").count(), 3, "{}", followed.text());
    drop(world);
}
