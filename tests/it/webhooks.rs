//! Is a delivery taken once, durably, only when it is proven, and does who proves nothing learn nothing?

use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Response};
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};
use trueup::authority::Role;
use trueup::http::webhook::WebhookSettings;
use trueup::store::InboxBound;
use trueup::store::records::{DeliveryFilter, DeliveryState};

use crate::world::backend;
use crate::world::door::Door;
use crate::world::house::House;

const WEB: &str = "web:\n  image: acme/web:1\n";
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &str = r#"{"zen":"x","hook_id":1}"#;

/// A door to the project `shop`, whose webhook has [`SECRET`] behind a file, which is also that of an integration with
/// GitHub.
async fn door(settings: impl FnOnce(&mut WebhookSettings)) -> Door {
    let house = House::new(WEB).await;
    let reference = secret_file(&house, "webhook", SECRET);
    let mut limits = WebhookSettings { max_body_bytes: 64 << 10, inbox: InboxBound::default() };
    settings(&mut limits);
    let door = Door::open_with(house, "no-such-group", limits).await;
    set_secret(&door, json!(reference)).await;
    add_github(&door, "github", &reference).await;
    door
}

/// Registers an integration with GitHub whose App signs with the secret behind `reference`.
async fn add_github(door: &Door, name: &str, reference: &str) {
    let new = json!({
        "name": name, "provider": "github", "auth": "env://NO_TOKEN", "settings": {"webhook_secret": reference}
    });
    let (status, answer) = door.post("/api/v1/integrations", new).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
}

fn secret_file(house: &House, name: &str, value: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = house.state.path().join(name);
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!("file://{}", path.display())
}

async fn set_secret(door: &Door, reference: Value) {
    let patch = json!({ "webhook_secret": reference });
    let (status, answer) = door.ask(reqwest::Method::PATCH, "/api/v1/projects/shop", Some(patch)).await;
    assert_eq!((status.as_u16(), &answer["webhook_secret"]), (200, &reference), "{answer}");
}

fn signature(secret: &str, body: &[u8]) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn request(client: &Client, url: &str, id: &str, signature: &str, body: &str) -> RequestBuilder {
    let request = client.post(url).header("content-type", "application/json").header("x-github-event", "ping");
    let request = if id.is_empty() { request } else { request.header("x-github-delivery", id) };
    let request = if signature.is_empty() { request } else { request.header("x-hub-signature-256", signature) };
    request.body(body.to_owned())
}

async fn deliver(door: &Door, path: &str, id: &str, signature: &str, body: &str) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    request(&client, &format!("http://{}{path}", door.tcp), id, signature, body).send().await.unwrap()
}

async fn number(response: Response) -> (u16, u64) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["delivery"].as_u64().unwrap_or_else(|| panic!("{status}: {body}")))
}

async fn stored(door: &Door) -> usize {
    let all = DeliveryFilter { project: None, state: None, before: None, limit: 1000 };
    door.house.store.deliveries(all).await.unwrap().len()
}

#[tokio::test]
async fn a_proven_delivery_is_stored_and_answered_with_its_number() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let right = signature(SECRET, BODY.as_bytes());
    let (status, first) = number(deliver(&door, "/hooks/github/shop", "a", &right, BODY).await).await;
    assert_eq!(status, 202);
    let local = door.raw(|client| request(client, "http://trueup/hooks/github/shop", "b", &right, BODY)).await;
    assert_eq!(number(local).await, (202, first + 1), "the Unix socket takes deliveries too");
    let (status, third) = number(deliver(&door, "/hooks/github", "a", &right, BODY).await).await;
    assert_eq!((status, third), (202, first + 2), "another door, another delivery");
    let kept = door.house.store.delivery(first).await.unwrap();
    assert_eq!((kept.state, kept.project, kept.bytes), (DeliveryState::Received, Some("shop".parse().unwrap()), 23));
    assert_eq!(door.house.store.delivery_body(first).await.unwrap(), BODY.as_bytes());
    let kept = door.house.store.delivery(third).await.unwrap();
    assert_eq!(kept.project, None);
    let headers = serde_json::to_string(&kept.headers).unwrap();
    assert!(
        !headers.contains(&right[8..]) && headers.contains("ping"),
        "what proves a delivery is not kept: {headers}"
    );
}

#[tokio::test]
async fn gitlabs_token_is_not_kept() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("http://{}/hooks/gitlab/shop", door.tcp))
        .header("x-gitlab-token", SECRET)
        .header("x-gitlab-event", "Push Hook")
        .body("{}");
    let (status, id) = number(request.send().await.unwrap()).await;
    assert_eq!(status, 202);
    let row = format!("{:?}", door.house.store.delivery(id).await.unwrap());
    assert!(!row.contains(SECRET), "{row}");
    // Nor is it in the file that it would be read from after a theft.
    for file in ["trueup.db", "trueup.db-wal"] {
        let bytes = std::fs::read(door.house.state.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{file}");
    }
}

#[tokio::test]
async fn whoever_proves_nothing_learns_nothing() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let body = json!({ "name": "bare", "url": door.house.repo.url() });
    let (status, _) = door.post("/api/v1/projects", body).await;
    assert_eq!(status.as_u16(), 201);
    let right = signature(SECRET, BODY.as_bytes());
    let wrong = signature("other", BODY.as_bytes());
    let empty = signature("", BODY.as_bytes());
    let cases = [
        ("/hooks/github/shop", ""),
        ("/hooks/github/shop", wrong.as_str()),
        ("/hooks/github/shop", "sha256="),
        ("/hooks/github/bare", right.as_str()),
        ("/hooks/github/bare", empty.as_str()),
        ("/hooks/github/bare", ""),
        ("/hooks/github/nowhere", right.as_str()),
        ("/hooks/github/nowhere", ""),
        ("/hooks/github/No%20Name", right.as_str()),
        ("/hooks/github/%ff", right.as_str()),
        ("/hooks/gitlab/shop", right.as_str()),
        ("/hooks/bitbucket/shop", right.as_str()),
        ("/hooks/github", wrong.as_str()),
        ("/hooks/github", ""),
    ];
    let mut answers = std::collections::BTreeSet::new();
    for (path, signature) in cases {
        let response = deliver(&door, path, "x", signature, BODY).await;
        let status = response.status().as_u16();
        let mut headers: Vec<String> =
            response.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.retain(|line| !line.starts_with("date:"));
        headers.sort();
        answers.insert(format!("{status} {headers:?} {}", response.text().await.unwrap()));
        assert_eq!(status, 401, "{path} {signature}");
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(stored(&door).await, 0);
    let log = door.house.store.audit(100).await.unwrap();
    assert!(log.iter().any(|line| line.entry.operation.contains("secret")), "resolving the secret is audited: {log:?}");
}

#[tokio::test]
async fn only_deliveries_need_no_token() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    for (method, path, expected) in [
        ("GET", "/hooks/github/shop", 405),
        ("POST", "/hooks/sourcehut/shop", 404),
        ("POST", "/hooks/gitlab", 404),
        ("GET", "/api/v1/deliveries", 401),
    ] {
        let (status, _) = door.remote(None, method.parse().unwrap(), path, None).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_same_delivery_is_taken_once() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let right = signature(SECRET, BODY.as_bytes());
    let (_, first) = number(deliver(&door, "/hooks/github/shop", "a", &right, BODY).await).await;
    assert_eq!(number(deliver(&door, "/hooks/github/shop", "a", &right, BODY).await).await, (200, first));
    let other = r#"{"zen":"y"}"#;
    let again = deliver(&door, "/hooks/github/shop", "a", &signature(SECRET, other.as_bytes()), other).await;
    assert_eq!(number(again).await, (200, first), "the id says it is the same");
    let (status, second) = number(deliver(&door, "/hooks/github/shop", "b", &right, BODY).await).await;
    assert_eq!((status, second != first), (202, true), "an equal body under another id is another delivery");
    let (status, third) = number(deliver(&door, "/hooks/github/shop", "", &right, BODY).await).await;
    assert_eq!(status, 202);
    assert_eq!(number(deliver(&door, "/hooks/github/shop", "", &right, BODY).await).await, (200, third));
    assert_eq!(stored(&door).await, 3);
}

#[tokio::test]
async fn many_at_once_with_one_id_are_one() {
    if !backend::git() {
        return;
    }
    let door = Arc::new(door(|_| {}).await);
    let right = signature(SECRET, BODY.as_bytes());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (door, right) = (Arc::clone(&door), right.clone());
        tasks.spawn(async move { number(deliver(&door, "/hooks/github/shop", "a", &right, BODY).await).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 202).count(), 1, "{answers:?}");
    assert_eq!(stored(&door).await, 1);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let exact = "x".repeat(64 << 10);
    let right = signature(SECRET, exact.as_bytes());
    assert_eq!(number(deliver(&door, "/hooks/github/shop", "a", &right, &exact).await).await.0, 202);
    for path in ["/hooks/github/shop", "/hooks/github/nowhere"] {
        let large = format!("{exact}x");
        assert_eq!(deliver(&door, path, "b", &right, &large).await.status().as_u16(), 413, "{path}");
        let chunks = (0..70).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024]));
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("http://{}{path}", door.tcp)).body(body).send().await;
        // The server may close while the rest is still being sent.
        if let Ok(answer) = answer {
            assert_eq!(answer.status().as_u16(), 413, "{path}");
        }
    }
    assert_eq!(stored(&door).await, 1);
}

#[tokio::test]
async fn a_full_inbox_says_when_to_come_again_and_keeps_what_it_has() {
    if !backend::git() {
        return;
    }
    let door = door(|settings| settings.inbox = InboxBound { rows: 3, bytes: 1 << 20 }).await;
    let right = signature(SECRET, BODY.as_bytes());
    for id in ["a", "b", "c"] {
        assert_eq!(deliver(&door, "/hooks/github/shop", id, &right, BODY).await.status().as_u16(), 202);
    }
    let full = deliver(&door, "/hooks/github/shop", "d", &right, BODY).await;
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    assert_eq!(
        deliver(&door, "/hooks/github/shop", "d", "", BODY).await.status().as_u16(),
        401,
        "strangers do not hear of it"
    );
    assert_eq!(door.house.store.inbox_depth(), 3);
    let first = door.house.store.waiting_deliveries(0, 1 << 20).await.unwrap()[0].id;
    door.house.store.settle_deliveries(vec![(first, Ok(()))], jiff::Timestamp::now()).await.unwrap();
    assert_eq!(deliver(&door, "/hooks/github/shop", "d", &right, BODY).await.status().as_u16(), 202);
}

#[tokio::test]
async fn a_changed_secret_counts_at_once() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let right = signature(SECRET, BODY.as_bytes());
    assert_eq!(deliver(&door, "/hooks/github/shop", "a", &right, BODY).await.status().as_u16(), 202);
    set_secret(&door, json!(secret_file(&door.house, "newer", "newer"))).await;
    assert_eq!(deliver(&door, "/hooks/github/shop", "b", &right, BODY).await.status().as_u16(), 401);
    let newer = signature("newer", BODY.as_bytes());
    assert_eq!(deliver(&door, "/hooks/github/shop", "b", &newer, BODY).await.status().as_u16(), 202);
    set_secret(&door, Value::Null).await;
    assert_eq!(deliver(&door, "/hooks/github/shop", "c", &newer, BODY).await.status().as_u16(), 401);
    // A reference without a value refuses; it never means that no proof is needed.
    set_secret(&door, json!("env://TRUEUP_TEST_NO_SUCH_VARIABLE")).await;
    for signature in ["", &signature("", BODY.as_bytes())] {
        assert_eq!(deliver(&door, "/hooks/github/shop", "d", signature, BODY).await.status().as_u16(), 401);
    }
}

#[tokio::test]
async fn deliveries_are_listed_shown_and_replayed() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let right = signature(SECRET, BODY.as_bytes());
    let mut ids = Vec::new();
    for id in ["a", "b", "c"] {
        ids.push(number(deliver(&door, "/hooks/github/shop", id, &right, BODY).await).await.1);
    }
    let store = &door.house.store;
    let settled = vec![(ids[0], Ok(())), (ids[1], Err("the reason".to_owned()))];
    store.settle_deliveries(settled, jiff::Timestamp::now()).await.unwrap();
    let listed = async |query: &str| -> Vec<u64> {
        let (status, body) = door.get(&format!("/api/v1/deliveries{query}")).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        body.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(listed("").await, [ids[2], ids[1], ids[0]]);
    assert_eq!(listed("?state=set_aside&project=shop").await, [ids[1]]);
    assert_eq!(listed(&format!("?before={}&limit=1", ids[2])).await, [ids[1]]);
    assert_eq!(listed("?project=other").await, [0; 0]);
    let path = format!("/api/v1/deliveries/{}", ids[1]);
    let (_, shown) = door.get(&path).await;
    assert_eq!(
        (&shown["error"], &shown["event"], &shown["body"]),
        (&json!("the reason"), &json!("ping"), &json!(BODY))
    );
    let operator = door.token(Role::Operator).await;
    let (_, shown) = door.remote(Some(&operator), reqwest::Method::GET, &path, None).await;
    assert_eq!(shown.get("body"), None, "what was sent is for admins: {shown}");
    let (status, _) = door.remote(Some(&operator), reqwest::Method::POST, &format!("{path}/replay"), None).await;
    assert_eq!(status.as_u16(), 202);
    assert_eq!(door.get(&path).await.1["state"], "received");
    assert_eq!(door.get(&path).await.1["replays"], 1);
    let (status, _) = door.post(&format!("{path}/replay"), json!({})).await;
    assert_eq!(status.as_u16(), 409, "it waits already");
    assert_eq!(door.get("/api/v1/deliveries/999").await.0.as_u16(), 404);
    assert!(door.rung_again(), "whoever empties the inbox is told to look back");
}

#[tokio::test]
async fn a_delivery_to_no_project_is_proven_by_an_integration_and_concerns_its_projects() {
    if !backend::git() {
        return;
    }
    let door = door(|_| {}).await;
    let other = secret_file(&door.house, "other", "another secret");
    add_github(&door, "other", &other).await;
    // The same secret behind two integrations: either may be meant.
    add_github(&door, "twin", &other).await;
    // Of other forges a secret of an integration proves nothing, and is no setting.
    let gitea = json!({
        "name": "gitea", "provider": "gitea", "endpoint": "https://git.acme.dev", "auth": "env://NO_TOKEN",
        "settings": {"webhook_secret": other}
    });
    assert_eq!(door.post("/api/v1/integrations", gitea).await.0.as_u16(), 422);

    let via = async |id: &str, secret: &str| {
        let signed = signature(secret, BODY.as_bytes());
        let (status, number) = number(deliver(&door, "/hooks/github", id, &signed, BODY).await).await;
        assert_eq!(status, 202);
        let waiting = door.house.store.waiting_deliveries(number - 1, 1 << 20).await.unwrap();
        waiting[0].via.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(via("a", SECRET).await, ["github"]);
    assert_eq!(via("b", "another secret").await, ["other", "twin"]);

    // Gone from the registration, it proves nothing from then on; the rest does.
    let none = json!({"settings": {"webhook_secret": null}});
    for name in ["other", "twin"] {
        let path = format!("/api/v1/integrations/{name}");
        assert_eq!(door.ask(reqwest::Method::PATCH, &path, Some(none.clone())).await.0.as_u16(), 200);
    }
    let signed = signature("another secret", BODY.as_bytes());
    assert_eq!(deliver(&door, "/hooks/github", "c", &signed, BODY).await.status().as_u16(), 401);
    assert_eq!(via("d", SECRET).await, ["github"]);
}

#[tokio::test]
async fn deliveries_and_what_waits_are_counted() {
    if !backend::git() {
        return;
    }
    let door = door(|limits| limits.inbox.rows = 2).await;
    let right = signature(SECRET, BODY.as_bytes());
    for (id, signature, body, status) in [
        ("a", right.as_str(), BODY, 202),
        ("a", right.as_str(), BODY, 200),
        ("b", "", BODY, 401),
        ("c", right.as_str(), &"x".repeat(65 << 10), 413),
        ("d", right.as_str(), BODY, 202),
        ("e", right.as_str(), BODY, 503),
    ] {
        assert_eq!(deliver(&door, "/hooks/github/shop", id, signature, body).await.status().as_u16(), status, "{id}");
    }
    let (_, text) = door.get("/metrics").await;
    let text = text.as_str().unwrap();
    for line in [
        "deliveries_total{forge=\"github\",outcome=\"accepted\"} 2",
        "deliveries_total{forge=\"github\",outcome=\"duplicate\"} 1",
        "deliveries_total{forge=\"github\",outcome=\"refused\"} 1",
        "deliveries_total{forge=\"github\",outcome=\"too_large\"} 1",
        "deliveries_total{forge=\"github\",outcome=\"full\"} 1",
        "inbox_depth 2",
        "outbox_depth 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let age = text.lines().find_map(|line| line.strip_prefix("inbox_oldest_age_seconds ")).expect("an age");
    assert!(age.parse::<f64>().unwrap() > 0.0, "{age}");
}
