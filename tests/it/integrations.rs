//! Are outside services registered, shown, changed and forgotten as the API says, and does no secret come in or out?

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::backend;
use crate::world::door::Door;
use crate::world::house::House;

const AT: &str = "/api/v1/integrations";

async fn door() -> Option<Door> {
    if !backend::git() {
        return None;
    }
    Some(Door::open(House::new("web:\n  image: acme/web:1\n").await, "no-such-group").await)
}

/// Every event that is kept, as type and subject.
async fn told(door: &Door) -> Vec<String> {
    let events = door.house.store.events_after(0, 1000).await.unwrap();
    events.iter().map(|event| format!("{} {}", event.kind, event.subject)).collect()
}

#[tokio::test]
async fn an_integration_is_registered_shown_changed_and_forgotten() {
    let Some(door) = door().await else { return };
    let new = json!({
        "name": "forge", "provider": "github", "endpoint": "HTTPS://Git.Acme.Dev/", "auth": "env://FORGE_TOKEN",
        "settings": {"webhook_secret": "file:///etc/trueup/hook"}, "owner": "platform"
    });
    let (status, made) = door.post(AT, new.clone()).await;
    assert_eq!(
        (status.as_u16(), &made["type"], &made["endpoint"]),
        (201, &json!("scm"), &json!("https://git.acme.dev"))
    );
    assert_eq!((&made["standing"]["health"], &made["standing"]["checked_at"]), (&json!("unknown"), &Value::Null));
    assert_eq!(door.post(AT, new).await.0.as_u16(), 409);

    let patch = json!({"auth": "file:///etc/trueup/token", "settings": {"webhook_secret": null}, "owner": "web"});
    let (status, changed) = door.ask(Method::PATCH, &format!("{AT}/forge"), Some(patch)).await;
    assert_eq!(
        (status.as_u16(), &changed["settings"], &changed["owner"]),
        (200, &json!({}), &json!("web")),
        "{changed}"
    );
    assert_eq!(door.get(&format!("{AT}/forge")).await.1, changed);
    let (_, all) = door.get(AT).await;
    assert_eq!(all.as_array().unwrap().len(), 1);

    assert_eq!(door.ask(Method::DELETE, &format!("{AT}/forge"), None).await.0.as_u16(), 204);
    assert_eq!(door.get(&format!("{AT}/forge")).await.0.as_u16(), 404);
    assert_eq!(
        told(&door).await,
        [
            "integration.created integrations/forge",
            "integration.updated integrations/forge",
            "integration.removed integrations/forge"
        ]
    );
    let audit = door.house.store.audit(20).await.unwrap();
    let operations: Vec<&str> = audit.iter().rev().map(|line| line.entry.operation.as_str()).collect();
    // Also the attempt that came to nothing: it is written down before it is made.
    assert_eq!(operations, ["integration add", "integration add", "integration set", "integration remove"]);
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_unrepeated_and_nothing_is_stored() {
    let Some(door) = door().await else { return };
    for (body, status, says) in [
        (json!({"name": "x", "provider": "githb"}), 400, "did you mean `github`?"),
        (json!({"name": "X", "provider": "github"}), 400, "integration name"),
        (json!({"name": "x", "provider": "github", "auth": "s3cret"}), 400, "not an auth reference"),
        (
            json!({"name": "x", "provider": "github", "settings": {"webhook_secret": "s3cret"}}),
            422,
            "settings.webhook_secret",
        ),
        (json!({"name": "x", "provider": "github", "endpoint": "https://me:s3cret@github.com"}), 422, "endpoint"),
        (json!({"name": "x", "provider": "gitea"}), 422, "say where it is"),
        (
            json!({"name": "x", "provider": "harbor", "endpoint": "https://h.acme.dev", "type": "scm"}),
            422,
            "can be registry",
        ),
        (json!({"name": "x", "provider": "memory", "owner": ""}), 422, "owner"),
        (json!({"name": "x", "provider": "memory", "token": "s3cret"}), 400, "unknown field `token`"),
    ] {
        let (got, problem) = door.post(AT, body.clone()).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(got.as_u16(), status, "{body}: {detail}");
        assert!(detail.contains(says) && !detail.contains("s3cret"), "{body}: {detail}");
    }
    assert_eq!(door.house.store.integrations().await.unwrap(), []);
    assert_eq!(told(&door).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_project_is_bound_to_a_forge_which_then_cannot_go() {
    let Some(door) = door().await else { return };
    for (name, provider, endpoint) in
        [("hub", "github", "https://github.com"), ("images", "oci", "https://registry.acme.dev")]
    {
        let new = json!({"name": name, "provider": provider, "endpoint": endpoint});
        assert_eq!(door.post(AT, new).await.0.as_u16(), 201);
    }
    let blog = json!({"name": "blog", "url": "git@github.com:acme/blog.git", "integration": "hub"});
    let (status, made) = door.post("/api/v1/projects", blog).await;
    assert_eq!((status.as_u16(), &made["repository"]), (201, &json!("acme/blog")), "{made}");
    let shop = "/api/v1/projects/shop";
    for (patch, says) in [
        (json!({"integration": "nope"}), "does not exist"),
        (json!({"integration": "images"}), "of type registry"),
        (json!({"integration": "hub"}), "OWNER/NAME"),
        (json!({"integration": "hub", "repository": "https://github.com/acme/shop"}), "OWNER/NAME"),
    ] {
        let (status, problem) = door.ask(Method::PATCH, shop, Some(patch.clone())).await;
        assert!(status.as_u16() == 422 && problem["detail"].as_str().unwrap().contains(says), "{patch}: {problem}");
    }
    let patch = json!({"integration": "hub", "repository": "acme/shop"});
    let (status, bound) = door.ask(Method::PATCH, shop, Some(patch)).await;
    assert_eq!((status.as_u16(), &bound["repository"]), (200, &json!("acme/shop")));
    assert_eq!(door.get(&format!("{AT}/hub")).await.1["projects"], json!(["blog", "shop"]));

    let (status, problem) = door.ask(Method::DELETE, &format!("{AT}/hub"), None).await;
    assert_eq!(status.as_u16(), 409);
    assert!(problem["detail"].as_str().unwrap().contains("is used by blog, shop"), "{problem}");
    for project in ["blog", "shop"] {
        let path = format!("/api/v1/projects/{project}");
        let patch = json!({"integration": null, "repository": null});
        assert_eq!(door.ask(Method::PATCH, &path, Some(patch)).await.0.as_u16(), 200);
    }
    assert_eq!(door.ask(Method::DELETE, &format!("{AT}/hub"), None).await.0.as_u16(), 204);
    assert_eq!(told(&door).await.len(), 3, "what was refused is not told");
}

#[tokio::test]
async fn a_test_is_told_counted_and_kept() {
    let Some(door) = door().await else { return };
    let new = json!({"name": "fake", "provider": "memory", "settings": {"health": "degraded"}});
    assert_eq!(door.post(AT, new).await.0.as_u16(), 201);
    let (status, report) = door.ask(Method::POST, &format!("{AT}/fake/test"), None).await;
    assert_eq!((status.as_u16(), &report["status"]), (200, &json!("degraded")), "{report}");
    assert!(report["findings"][0]["help"].is_string());
    let standing = door.get(&format!("{AT}/fake")).await.1["standing"].clone();
    assert_eq!((&standing["health"], standing["reason"].is_string()), (&json!("degraded"), true), "{standing}");

    // The same again changes nothing but the time of the last look.
    assert_eq!(door.ask(Method::POST, &format!("{AT}/fake/test"), None).await.0.as_u16(), 200);
    let again = door.get(&format!("{AT}/fake")).await.1["standing"].clone();
    assert_eq!(again["since"], standing["since"]);
    let patch = json!({"settings": {"health": "healthy"}});
    assert_eq!(door.ask(Method::PATCH, &format!("{AT}/fake"), Some(patch)).await.0.as_u16(), 200);
    assert_eq!(door.ask(Method::POST, &format!("{AT}/fake/test"), None).await.1["status"], json!("healthy"));
    let changes: Vec<Value> =
        door.house.store.events_after(0, 100).await.unwrap().into_iter().map(|event| event.data).collect();
    let healths: Vec<String> = changes
        .iter()
        .filter(|data| data["before"].is_string())
        .map(|d| format!("{}>{}", d["before"], d["health"]))
        .collect();
    assert_eq!(healths, [r#""unknown">"degraded""#, r#""degraded">"healthy""#]);

    let (status, text) = door.get("/metrics").await;
    assert_eq!(status.as_u16(), 200);
    let text = text.as_str().unwrap();
    for line in [
        "integrations_health_check_total{provider=\"memory\",status=\"degraded\"} 2",
        "integrations_health_check_total{provider=\"memory\",status=\"healthy\"} 1",
        "integrations_test_connection_duration_seconds_count{provider=\"memory\"} 3",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_credential_without_a_value_makes_it_unhealthy_and_is_in_the_audit_log() {
    let Some(door) = door().await else { return };
    let new = json!({
        "name": "images", "provider": "oci", "endpoint": "http://127.0.0.1:9", "settings": {"username": "u"},
        "auth": "env://TRUEUP_TEST_NOT_SET"
    });
    assert_eq!(door.post(AT, new).await.0.as_u16(), 201);
    let (_, report) = door.ask(Method::POST, &format!("{AT}/images/test"), None).await;
    assert_eq!(report["status"], json!("unhealthy"));
    assert!(
        report["findings"][0]["message"].as_str().unwrap().contains("env://TRUEUP_TEST_NOT_SET has no value"),
        "{report}"
    );
    let audit = door.house.store.audit(5).await.unwrap();
    let line = audit.iter().find(|line| line.entry.operation == "secret resolved").unwrap();
    assert_eq!(line.entry.target, "env://TRUEUP_TEST_NOT_SET for integration images");
    assert!(line.entry.actor.contains("uid ") && line.entry.outcome.starts_with("failed:"), "{line:?}");
}

/// What was logged, line by line, as the daemon writes it with `log.format = "json"`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes down what this thread logs, until the guard goes.
    pub fn take() -> (Log, DefaultGuard) {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn every_line_about_an_integration_says_which_and_what_was_done() {
    let Some(door) = door().await else { return };
    let new = json!({"name": "fake", "provider": "memory", "settings": {"health": "unhealthy"}});
    assert_eq!(door.post(AT, new).await.0.as_u16(), 201);
    let registered = door.house.store.integration(&"fake".parse().unwrap()).await.unwrap().unwrap();
    let (log, guard) = Log::take();
    door.catalog.look(&registered, "olga").await.unwrap();
    door.catalog.look(&registered, "olga").await.unwrap();
    drop(guard);
    let lines: Vec<Value> =
        log.lines().into_iter().filter(|line| line["target"].as_str().unwrap().contains("integration")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        let span = &line["span"];
        assert_eq!((&span["integrationId"], &span["provider"]), (&json!("fake"), &json!("memory")), "{line}");
        assert_eq!(span["operation"], json!("test_connection"), "{line}");
    }
    assert_eq!((&lines[0]["level"], &lines[1]["level"]), (&json!("WARN"), &json!("DEBUG")), "told once");
}
