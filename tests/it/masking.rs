//! Do the secrets that Trueup knows stay out of what it passes on of others' words?

use reqwest::Method;
use trueup::authority::Role;
use trueup::store::records::RunState;

use crate::world::backend;
use crate::world::door::{Door, Followed};
use crate::world::house::{House, environment};
use crate::world::runtime::Runtime;

const SECRET: &str = "correct-horse-battery";
const WEB: &str = "web:\n  image: acme/web:1\n  env: {TOKEN: {secret: token}, LOG_LEVEL: info}\n";

/// A house whose one service was synced with a secret.
async fn synced() -> Option<(House, tempfile::TempDir)> {
    if !backend::git() {
        return None;
    }
    let folder = crate::world::house::scratch();
    let file = folder.path().join("token");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let id = "shop/production".parse().unwrap();
    let mut production = environment(&id, "memory", &[]);
    production.secrets.insert("token".parse().unwrap(), format!("file://{}", file.display()).parse().unwrap());
    let runtime = Runtime::default();
    let connect = std::sync::Arc::new(runtime.clone());
    let house = House { runtime, ..House::build(production, WEB, |_, _| connect).await };
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    Some((house, folder))
}

#[tokio::test]
async fn what_a_replicas_own_check_says_is_kept_without_its_secrets() {
    let Some((house, _folder)) = synced().await else { return };
    house.runtime.ail(&format!("401 for Bearer {SECRET}"));
    house.plan().await;
    let healths = house.store.healths(&house.id).await.unwrap();
    let kept = serde_json::to_string(&healths.iter().map(|(_, health, _)| health).collect::<Vec<_>>()).unwrap();
    assert!(kept.contains("401 for Bearer ***"), "{kept}");
    assert!(!kept.contains(SECRET), "{kept}");
}

#[tokio::test]
async fn what_a_service_prints_is_shown_without_its_secrets() {
    let Some((house, _folder)) = synced().await else { return };
    house.runtime.print(&["it starts", &format!("connecting with {SECRET}")]);
    let door = Door::open(house, "no-such-group").await;
    let viewer = door.token(Role::Viewer).await;
    let path = "/api/v1/projects/shop/environments/production/services/web/logs";
    let (status, text) = door.remote(Some(&viewer), Method::GET, path, None).await;
    let text = text.as_str().unwrap();
    assert_eq!(status.as_u16(), 200, "{text}");
    assert!(text.contains("it starts") && text.contains("connecting with ***"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    let mut followed = Followed::begin(&door, &format!("{path}?follow=true")).await;
    followed.until("connecting with ***").await;
    assert!(followed.text().contains("it starts") && !followed.text().contains(SECRET), "{}", followed.text());
}
