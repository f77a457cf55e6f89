//! Is a repository's webhook made, put right and looked at on every forge, and its secret known to nobody else?

use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use serde_json::{Value, json};
use trueup::forge::ForgeKind;
use trueup::http::webhook::WebhookSettings;
use trueup::store::InboxBound;

use crate::world::backend;
use crate::world::door::Door;
use crate::world::forge::ForgeWorld;
use crate::world::forge::fault::Fault;
use crate::world::forge::state::Hook;
use crate::world::house::House;
use crate::world::office::{REPOSITORY, web};
use crate::world::reporting::register;

const URL: &str = "https://trueup.acme.dev";
const SET_UP: &str = "/api/v1/projects/shop/webhook";
const CHECK: &str = "/api/v1/projects/shop/check";

/// A door of a house whose repository is on a forge.
async fn door(world: &ForgeWorld, public_url: Option<&str>) -> Door {
    world.create(REPOSITORY, &[(".trueup.yml", &web("info"))]);
    let house = House::new("web:\n  image: acme/web:1").await;
    register(&house, world, REPOSITORY).await;
    let webhooks = WebhookSettings { max_body_bytes: 5 << 20, inbox: InboxBound::default() };
    Door::open_at(house, "no-such-group", webhooks, public_url).await
}

async fn ask(door: &Door, path: &str) -> (u16, Value) {
    let (status, answer) = door.ask(Method::POST, path, None).await;
    (status.as_u16(), answer)
}

fn hooks<T>(world: &ForgeWorld, look: impl FnOnce(&mut Vec<Hook>) -> T) -> T {
    look(&mut world.inner().state.repositories.get_mut(REPOSITORY).unwrap().hooks)
}

async fn registered(door: &Door) -> Option<String> {
    let project = door.house.store.project(&door.house.id.project).await.unwrap().unwrap();
    project.webhook_secret.map(|reference| reference.to_string())
}

fn kept(door: &Door) -> usize {
    std::fs::read_dir(door.house.state.path().join("webhooks")).map_or(0, Iterator::count)
}

fn said(check: &Value) -> String {
    let findings = check["findings"].as_array().unwrap().iter();
    findings.map(|finding| format!("{} {}\n", finding["level"].as_str().unwrap(), finding["message"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_looked_at_and_put_right() {
    if !backend::git() {
        return;
    }
    for kind in ForgeKind::ALL {
        let world = ForgeWorld::start(kind);
        let door = door(&world, Some(URL)).await;
        let (status, check) = ask(&door, CHECK).await;
        assert_eq!((status, &check["state"]), (200, &json!("missing")), "{kind}: {check}");

        let (status, done) = ask(&door, SET_UP).await;
        let url = format!("{URL}/hooks/{kind}/shop");
        assert_eq!((status, &done["change"], &done["url"]), (200, &json!("created"), &json!(url)), "{kind}: {done}");
        let reference = registered(&door).await.expect("it is registered");
        assert_eq!(done["secret"], json!(reference), "{kind}");
        let path = reference.strip_prefix("file://").unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{kind}");
        let secret = std::fs::read_to_string(path).unwrap();
        assert!(secret.len() == 64 && !done.to_string().contains(&secret), "{kind}: {done}");
        hooks(&world, |all| {
            let [hook] = &all[..] else { panic!("{kind}: {all:?}") };
            assert_eq!((&hook.url, &hook.secret, hook.active), (&url, &secret, true), "{kind}");
        });
        let (_, check) = ask(&door, CHECK).await;
        assert_eq!((&check["state"], &check["url"]), (&json!("active"), &json!(url)), "{kind}: {check}");
        assert_eq!(check["missing_events"], json!([]), "{kind}: {check}");

        // Someone switched it off, and its deliveries were refused.
        hooks(&world, |all| (all[0].active, all[0].secret, all[0].last) = (false, "another".into(), Some(401)));
        let (_, check) = ask(&door, CHECK).await;
        // GitLab's and Gitea's kinds differ in what they tell: what is told is believed.
        if check["state"] == json!("inactive") {
            assert!(said(&check).contains("error \"the webhook is switched off"), "{kind}: {check}");
        }
        if let Some(last) = check["last_delivery"].as_object() {
            assert_eq!(last["accepted"], json!(false), "{kind}: {check}");
            assert!(said(&check).contains("warning \"the last delivery"), "{kind}: {check}");
        }
        let (status, done) = ask(&door, SET_UP).await;
        assert_eq!((status, &done["change"]), (200, &json!("edited")), "{kind}: {done}");
        hooks(&world, |all| {
            let [hook] = &all[..] else { panic!("{kind}: {all:?}") };
            assert_eq!((&hook.secret, hook.active), (&secret, true), "{kind}: the same secret, put right");
        });

        // What is removed with the project is its secret, too.
        assert_eq!(door.ask(Method::DELETE, "/api/v1/projects/shop?force=true", None).await.0.as_u16(), 204);
        assert_eq!(kept(&door), 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_that_is_made_proves_deliveries_at_once() {
    if !backend::git() {
        return;
    }
    let world = ForgeWorld::start(ForgeKind::Github);
    let door = door(&world, Some(URL)).await;
    let hook = |secret: &str| {
        // Each another delivery: none of them has an id.
        let body = format!("{{\"zen\":\"{secret}\"}}");
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
        let signature = tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        door.raw(move |client| {
            let request = client.post("http://trueup/hooks/github/shop").header("x-github-event", "ping").body(body);
            request.header("x-hub-signature-256", signature)
        })
    };
    assert_eq!(hook("x").await.status().as_u16(), 401);
    assert_eq!(ask(&door, SET_UP).await.0, 200);
    let secret = hooks(&world, |all| all[0].secret.clone());
    assert_eq!(hook(&secret).await.status().as_u16(), 202);

    // One that was lost is made anew, here and there.
    std::fs::remove_dir_all(door.house.state.path().join("webhooks")).unwrap();
    assert_eq!(ask(&door, SET_UP).await.0, 200);
    let newer = hooks(&world, |all| all[0].secret.clone());
    assert_ne!(newer, secret);
    assert_eq!(hook(&newer).await.status().as_u16(), 202);

    // What was made is resolved before witnesses, and stands in no line of the audit log.
    let audit = door.house.store.audit(1000).await.unwrap();
    let audit = format!("{audit:?}");
    assert!(audit.contains("shop: webhook") && audit.contains("project webhook"), "{audit}");
    assert!(!audit.contains(&secret) && !audit.contains(&newer), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_operator_named_is_used_and_never_replaced() {
    if !backend::git() {
        return;
    }
    let world = ForgeWorld::start(ForgeKind::Gitea);
    let door = door(&world, Some(URL)).await;
    let path = door.house.state.path().join("own");
    let reference = format!("file://{}", path.display());
    let patch = json!({ "webhook_secret": reference });
    assert_eq!(door.ask(Method::PATCH, "/api/v1/projects/shop", Some(patch)).await.0.as_u16(), 200);
    let (status, answer) = ask(&door, SET_UP).await;
    assert_eq!(status, 422, "it has no value: {answer}");
    assert!(hooks(&world, |all| all.is_empty()));
    std::fs::write(&path, "the operator's own").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ask(&door, SET_UP).await.0, 200);
    assert_eq!(hooks(&world, |all| all[0].secret.clone()), "the operator's own");
    assert_eq!((registered(&door).await, kept(&door)), (Some(reference), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_is_named_and_leaves_nothing_behind() {
    if !backend::git() {
        return;
    }
    // A permission that is missing.
    for (kind, scopes, named) in [
        (ForgeKind::Github, &["public_repo"][..], "admin:repo_hook"),
        (ForgeKind::BitbucketServer, &["REPO_READ", "REPO_WRITE"][..], "REPO_ADMIN"),
        (ForgeKind::Bitbucket, &["account", "pullrequest"][..], "webhook"),
    ] {
        let world = ForgeWorld::start(kind);
        let door = door(&world, Some(URL)).await;
        world.inner().state.scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        if kind == ForgeKind::Bitbucket {
            world.fault("GET", "hooks", Fault::status(403));
        }
        let (status, answer) = ask(&door, SET_UP).await;
        let detail = answer["detail"].as_str().unwrap();
        assert!(status == 422 && detail.contains(named), "{kind}: {status} {answer}");
        assert_eq!((registered(&door).await, kept(&door)), (None, 0), "{kind}");
        if kind != ForgeKind::Bitbucket {
            let (status, check) = ask(&door, CHECK).await;
            assert_eq!((status, &check["state"]), (200, &json!("unknown")), "{kind}: {check}");
            assert!(said(&check).contains(named), "{kind}: {check}");
        }
        let (_, metrics) = door.get("/metrics").await;
        let line = format!("scm_annotation_total{{provider=\"{kind}\",operation=\"webhook\",status=\"permanent\"}} 1");
        assert!(metrics.as_str().unwrap().contains(&line), "{kind}: {metrics}");
    }

    // A forge that does not answer now.
    let world = ForgeWorld::start(ForgeKind::Gitlab);
    let door_of = door(&world, Some(URL)).await;
    world.fault("POST", "hooks", Fault::bad_gateway());
    assert_eq!(ask(&door_of, SET_UP).await.0, 502);
    assert_eq!((registered(&door_of).await, kept(&door_of)), (None, 0));
    assert_eq!(ask(&door_of, SET_UP).await.0, 200, "and then it does");

    // Nobody said where forges reach the daemon: the forge is not even asked.
    let world = ForgeWorld::start(ForgeKind::Gitlab);
    let door_of = door(&world, None).await;
    drop(world.seen());
    let (status, answer) = ask(&door_of, SET_UP).await;
    assert!(status == 422 && answer["detail"].as_str().unwrap().contains("public_url"), "{answer}");
    let (status, check) = ask(&door_of, CHECK).await;
    assert!(status == 200 && said(&check).contains("public_url"), "{check}");
    assert_eq!((world.lines(), kept(&door_of)), (Vec::new(), 0));

    // No integration.
    let patch = json!({ "integration": null });
    assert_eq!(door_of.ask(Method::PATCH, "/api/v1/projects/shop", Some(patch)).await.0.as_u16(), 200);
    let (status, answer) = ask(&door_of, SET_UP).await;
    assert!(status == 422 && answer["detail"].as_str().unwrap().contains("--integration"), "{answer}");
}
