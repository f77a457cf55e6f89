//! Images through the whole flow, against a real registry: a tag that moved, the policies of pulling, the way back.

use std::sync::Arc;

use trueup::plan::Blocked;
use trueup::provider::registry::Registry as Providers;
use trueup::store::records::RunState;
use trueup::sync::Syncs;

use crate::docker_image::{Registry, here, push};
use crate::world::dock::{Dock, changes};
use crate::world::docker::{OBEDIENT, docker, try_docker};
use crate::world::house;

fn web(tag: &str, more: &str) -> String {
    format!("web:\n  image: {tag}\n  command: [sh, -c, \"{OBEDIENT}\"]\n  {more}\n")
}

/// As after the five minutes for which a tag's digest is remembered: with new connections.
fn fresh(dock: &mut Dock) {
    let scratch = house::scratch();
    let state = dock.house.state.path();
    let store = dock.house.store.clone();
    let audit = Arc::new(trueup::audit::Audit::new(store.clone()));
    let secrets = trueup::secret::Secrets::new(audit, state).unwrap();
    let git = trueup::git::Git::new(trueup::git::GitSettings::new(state.join("mirrors")));
    let providers = Arc::new(Providers::new(git.clone(), secrets.clone(), scratch.path().join("none.sock")));
    let parts = trueup::pass::Parts { store: store.clone(), git, secrets, providers };
    dock.house.passes = trueup::pass::Passes::new(parts);
    dock.house.syncs = Syncs::new(store, dock.house.passes.clone());
}

#[tokio::test]
async fn a_tag_that_moved_at_its_registry_is_input_and_a_rollback_finds_the_old_digest() {
    if !here() {
        return;
    }
    let registry = Registry::start(None).await;
    let mut dock = Dock::new("{}").await;
    let tag = format!("{}/shop/web:1", registry.address);
    let first = push(&dock.world.import(&tag, &[]), &tag);
    dock.declare(&web(&tag, "restart: always"));
    dock.sync().await;
    let old = dock.inspect("web");
    dock.world.adopt_image(old["Image"].as_str().unwrap());

    let second = push(&dock.world.import(&tag, &[]), &tag);
    assert_ne!(first, second);
    fresh(&mut dock);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.image input"]);
    let note = plan.actions[0].changes[0].note.clone().unwrap_or_default();
    assert!(note.contains("same tag, other digest"), "{note}");
    dock.sync().await;
    let new = dock.inspect("web");
    dock.world.adopt_image(new["Image"].as_str().unwrap());
    assert_ne!(new["Image"], old["Image"]);

    let back = dock.house.passes.rollback_plan(&dock.house.id, None, None, "olga").await.unwrap();
    let run = dock.house.carry_out(&back).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(dock.inspect("web")["Image"], old["Image"], "the recorded digest, not what the tag means now");
    assert_eq!(changes(&dock.plan().await), ["web.image input"], "the tip is still what the tag means now");
}

#[tokio::test]
async fn the_pull_policy_says_who_is_asked() {
    if !here() {
        return;
    }
    let registry = Registry::start(None).await;
    let mut dock = Dock::new("{}").await;
    let tag = format!("{}/shop/web:1", registry.address);
    push(&dock.world.import(&tag, &[]), &tag);

    dock.declare(&web(&tag, "pull: never"));
    let plan = dock.plan().await;
    assert!(matches!(&plan.actions[0].blocked[..], [Blocked::Unknown { .. }]), "{:?}", plan.actions[0].blocked);
    assert!(!try_docker(&["image", "inspect", &tag]).0, "planning pulled");

    dock.declare(&web(&tag, "pull: if-not-present"));
    dock.sync().await;
    let pulled = dock.inspect("web")["Image"].clone();
    dock.world.adopt_image(pulled.as_str().unwrap());
    push_elsewhere(&dock, &tag, pulled.as_str().unwrap());
    fresh(&mut dock);
    assert!(dock.plan().await.is_empty(), "with `if-not-present` a moved tag is nobody's concern");

    dock.declare(&web(&tag, "pull: always"));
    fresh(&mut dock);
    let plan = dock.plan().await;
    let mut found = changes(&plan);
    found.sort();
    assert_eq!(found, ["web.image input", "web.pull repo"]);

    // A registry that does not answer is unknown, and nothing is replaced for it.
    drop(registry);
    fresh(&mut dock);
    let plan = dock.plan().await;
    assert!(plan.unknowns.iter().any(|unknown| unknown.field == Some("image".parse().unwrap())), "{plan:?}");
    assert!(plan.feasible().next().is_none(), "{plan:?}");
    assert_eq!(dock.inspect("web")["Image"], pulled);
}

/// Pushes other content under the tag, and leaves the Engine with what it had.
fn push_elsewhere(dock: &Dock, tag: &str, had: &str) {
    push(&dock.world.import(tag, &[]), tag);
    docker(&["tag", had, tag]);
}
