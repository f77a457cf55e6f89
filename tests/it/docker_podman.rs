//! Is an engine that answers as Podman does deployed to, and in sync after?

use std::sync::Arc;

use serde_json::json;
use trueup::provider::registry::Registry;
use trueup::store::records::RunState;

use crate::world::backend;
use crate::world::engine::Engine;
use crate::world::house::{House, environment};

const WEB: &str = "web:\n  image: acme/web:1\n  env: {LOG_LEVEL: info}\n  resources: {memory_limit: 64Mi}\n";

#[tokio::test]
async fn what_is_deployed_to_podman_is_in_sync() {
    if !backend::git() {
        return;
    }
    let engine = Engine::start();
    engine.with(|state| {
        state.dress_as_podman();
        for tag in ["docker.io/acme/web:1", "docker.io/acme/web:2"] {
            state.add_image(tag, json!({"Env": ["PATH=/bin"], "Cmd": ["serve"], "Entrypoint": null}), &[]);
        }
    });
    let id = "shop/production".parse().unwrap();
    let environment = environment(&id, "docker", &[("host", &engine.host())]);
    let house = House::build(environment, WEB, |git, secrets| {
        Arc::new(Registry::new(git, secrets, "/nonexistent/supervise.sock".into()))
    })
    .await;
    let report = house.passes.provider(&house.id).await.unwrap().test_connection().await;
    assert!(report.findings.iter().any(|finding| finding.message.starts_with("Podman 4.3.1, API 1.41")), "{report:?}");
    for services in [WEB.to_owned(), WEB.replace("web:1", "web:2"), WEB.replace("info", "debug")] {
        house.declare(&services);
        let run = house.sync().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
        let plan = house.plan().await;
        assert!(plan.is_empty() && plan.unknowns.is_empty(), "{plan:#?}");
    }
    assert_eq!(engine.with(|state| state.containers.len()), 1);
}
