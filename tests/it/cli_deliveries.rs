//! Does a delivery find its way from the door to the list, on a real daemon, and does nothing of it run away on the way?

use std::os::unix::fs::PermissionsExt;

use reqwest::Client;
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::world::installation::{Installation, until};

const SECRET: &str = "79d2cf4fd1cc5ebdb2b9a1d0bcb4d4b3";

fn deliver(installation: &Installation, id: &str, body: &str) -> u16 {
    let tag = sign(&Key::new(HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let signature = tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let socket = installation.state().join("run/trueup.sock");
    let request = async {
        let client = Client::builder().unix_socket(socket).no_proxy().build().unwrap();
        let request = client.post("http://trueup/hooks/github/shop").header("x-github-event", "push");
        let request = request.header("x-github-delivery", id).header("x-hub-signature-256", signature);
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(request)
}

#[test]
fn deliveries_are_listed_shown_and_replayed() {
    // Whoever was first set the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let shop = Installation::new();
    let secret = shop.folder().join("webhook");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let reference = format!("file://{}", secret.display());
    let repository = shop.repository.path().to_str().unwrap().to_owned();
    shop.expect(0, &["project", "add", "shop", &repository]);
    assert_eq!(deliver(&shop, "a", "{}"), 401, "there is no secret yet");
    shop.expect(0, &["project", "set", "shop", "--webhook-secret", &reference]);
    assert!(shop.expect(0, &["project", "show", "shop"]).contains(&reference));
    assert!(shop.expect(0, &["deliveries", "list"]).contains("No delivery"));
    let zeros = "0".repeat(40);
    let push = format!(r#"{{"ref":"refs/heads/main","before":"{zeros}","after":"{zeros}"}}"#);
    assert_eq!(deliver(&shop, "a", &push), 202);
    assert_eq!(deliver(&shop, "a", &push), 200);
    assert_eq!(deliver(&shop, "b", "{\"ref\": \"\u{1b}[31mhunter2"), 202);
    let listed = || -> Vec<serde_json::Value> {
        serde_json::from_str(&shop.expect(0, &["deliveries", "list", "--json"])).unwrap()
    };
    until("both are taken in", || listed().iter().all(|one| one["state"] != "received"));
    let states: Vec<String> = listed().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["set_aside", "done"]);
    let table = shop.expect(0, &["deliveries", "list", "--state", "set-aside"]);
    assert!(table.contains("set aside") && table.contains("line 1") && !table.contains("hunter2"), "{table}");
    let id = listed()[0]["id"].as_u64().unwrap();
    let number = id.to_string();
    let shown = shop.expect(0, &["deliveries", "show", &number]);
    assert!(shown.contains("hunter2") && !shown.contains('\u{1b}'), "{shown:?}");
    shop.expect(0, &["deliveries", "replay", &number]);
    until("it is set aside once more", || {
        listed().iter().any(|one| one["id"] == id && one["replays"] == 1 && one["state"] == "set_aside")
    });
    assert_eq!(shop.say(&["deliveries", "show", "999"]).code, 1);
    let log = shop.log();
    assert!(!log.contains("hunter2") && !log.contains(SECRET), "{log}");
    shop.expect(0, &["project", "set", "shop", "--no-webhook-secret"]);
    assert_eq!(deliver(&shop, "c", &push), 401);
}
