//! Does the API do what it says, over real sockets, and stand whatever is thrown at it?

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use trueup::authority::Role;

use crate::world::backend;
use crate::world::door::Door;
use crate::world::house::House;

const WEB: &str = "web:\n  image: acme/web:1\n  env: {LOG_LEVEL: info}\n";
const HERE: &str = "/api/v1/projects/shop/environments/production";

async fn door() -> Option<Door> {
    if !backend::git() {
        return None;
    }
    Some(Door::open(House::new(WEB).await, "no-such-group").await)
}

#[tokio::test]
async fn a_project_is_registered_shown_changed_and_forgotten() {
    let Some(door) = door().await else { return };
    let new = json!({"name": "blog", "url": "https://Git.Acme.Dev/blog.git", "auth": "env://TOKEN"});
    let (status, made) = door.post("/api/v1/projects", new.clone()).await;
    assert_eq!((status.as_u16(), &made["url"]), (201, &json!("https://git.acme.dev/blog.git")));
    assert_eq!((&made["config_path"], &made["tracked"]), (&json!(".trueup.yml"), &Value::Null));
    let (status, taken) = door.post("/api/v1/projects", new).await;
    assert_eq!((status.as_u16(), &taken["type"]), (409, &json!("about:blank")));

    let patch = json!({"auth": null, "tracked": "main", "disabled": true});
    let (status, changed) = door.ask(Method::PATCH, "/api/v1/projects/blog", Some(patch)).await;
    assert_eq!(status.as_u16(), 200, "{changed}");
    assert_eq!(
        (&changed["auth"], &changed["tracked"], &changed["disabled"]),
        (&Value::Null, &json!("main"), &json!(true))
    );
    let (_, all) = door.get("/api/v1/projects").await;
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|project| project["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["blog", "shop"]);

    let (status, _) = door.ask(Method::DELETE, "/api/v1/projects/shop", None).await;
    assert_eq!(status.as_u16(), 409, "it has an environment");
    assert_eq!(door.ask(Method::DELETE, "/api/v1/projects/blog", None).await.0.as_u16(), 204);
    assert_eq!(door.get("/api/v1/projects/blog").await.0.as_u16(), 404);
    assert_eq!(door.ask(Method::DELETE, "/api/v1/projects/shop?force=true", None).await.0.as_u16(), 204);
    assert_eq!(door.house.store.environments(None).await.unwrap(), []);

    let audit = door.house.store.audit(20).await.unwrap();
    let operations: Vec<&str> = audit.iter().rev().map(|line| line.entry.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["project add", "project add", "project set", "project remove", "project remove", "project remove"]
    );
    assert!(audit.iter().all(|line| line.entry.actor.contains("uid ")), "{audit:?}");
    let (status, listed) = door.get("/api/v1/audit?limit=20").await;
    assert_eq!((status.as_u16(), &listed), (200, &serde_json::to_value(&audit).unwrap()));
}

#[tokio::test]
async fn an_environment_is_registered_merged_and_forgotten() {
    let Some(door) = door().await else { return };
    let at = "/api/v1/projects/shop/environments";
    let new = json!({
        "name": "staging", "provider": "memory", "settings": {"a": "1", "b": "2"}, "secrets": {"db": "file:///etc/db"},
        "values": {"REGION": "eu"}, "allow_host_paths": ["/srv"], "run_as": "shop"
    });
    let (status, made) = door.post(at, new).await;
    assert_eq!(status.as_u16(), 201, "{made}");
    assert_eq!(
        (&made["report_detail"], &made["plan_forks"], &made["drift_issue"]),
        (&json!("full"), &json!(false), &json!(false))
    );
    let patch = json!({
        "settings": {"a": null, "c": "3"}, "secrets": {"db": null, "key": "env://KEY"}, "values": {"REGION": "us"},
        "allow_untracked": true, "run_as": null, "report_detail": "names-only", "plan_forks": true, "drift_issue": true
    });
    let (status, changed) = door.ask(Method::PATCH, &format!("{at}/staging"), Some(patch)).await;
    assert_eq!(status.as_u16(), 200, "{changed}");
    assert_eq!(changed["settings"], json!({"b": "2", "c": "3"}));
    assert_eq!(changed["secrets"], json!({"key": "env://KEY"}));
    assert_eq!((&changed["values"], &changed["run_as"]), (&json!({"REGION": "us"}), &Value::Null));
    assert_eq!(
        (&changed["report_detail"], &changed["plan_forks"], &changed["drift_issue"]),
        (&json!("names-only"), &json!(true), &json!(true))
    );
    assert_eq!((&changed["allow_untracked"], &changed["allow_host_paths"]), (&json!(true), &json!(["/srv"])));
    assert_eq!(door.get(&format!("{at}/staging")).await.1, changed);
    assert_eq!(door.get(at).await.1.as_array().unwrap().len(), 2);
    assert_eq!(door.ask(Method::DELETE, &format!("{at}/staging"), None).await.0.as_u16(), 204);
    assert_eq!(door.get(&format!("{at}/staging")).await.0.as_u16(), 404);
    assert_eq!(*door.nudged.lock().unwrap(), ["shop/staging"; 3]);
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_and_nothing_stored() {
    let Some(door) = door().await else { return };
    let projects = "/api/v1/projects";
    let environments = "/api/v1/projects/shop/environments";
    for (path, body, status, says) in [
        (projects, json!({"name": "Blog", "url": "/srv/x"}), 400, "project name"),
        (projects, json!({"name": "blog"}), 400, "missing field `url`"),
        (projects, json!({"name": "blog", "url": "/srv/x", "uri": 1}), 400, "unknown field `uri`"),
        (projects, json!({"name": "blog", "url": "https://bob:s3cret@acme.dev/x"}), 422, "auth reference"),
        (projects, json!({"name": "blog", "url": "ftp://acme.dev/x"}), 422, "repository URL"),
        (projects, json!({"name": "blog", "url": "/srv/x", "auth": "s3cret"}), 400, "auth reference"),
        (projects, json!({"name": "blog", "url": "/srv/x", "config_path": "../../etc/passwd"}), 422, "config_path"),
        (projects, json!({"name": "blog", "url": "/srv/x", "config_path": ".trueup/"}), 422, "config_path"),
        (projects, json!({"name": "blog", "url": "/srv/x", "user": "alice"}), 422, "user"),
        (projects, json!({"name": "blog", "url": "https://acme.dev/x", "user": "alice:s3cret"}), 422, "user"),
        (projects, json!({"name": "blog", "url": "/srv/x", "tracked": "--upload-pack=x"}), 422, "tracked"),
        (environments, json!({"name": "x", "provider": "nonsense"}), 422, "no provider `nonsense`"),
        (environments, json!({"name": "x", "provider": "memory", "values": {"1": "x"}}), 422, "values"),
        (environments, json!({"name": "x", "provider": "memory", "allow_host_paths": ["srv"]}), 422, "absolute"),
        (environments, json!({"name": "x", "provider": "memory", "run_as": "a b"}), 422, "run_as"),
        ("/api/v1/projects/nope/environments", json!({"name": "x", "provider": "memory"}), 404, "nope"),
        ("/api/v1/tokens", json!({"name": "CI", "role": "viewer"}), 422, "name"),
        ("/api/v1/tokens", json!({"name": "ci", "role": "root"}), 400, "unknown variant"),
    ] {
        let (got, problem) = door.post(path, body.clone()).await;
        assert_eq!(got.as_u16(), status, "{path} {body}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{body}: {detail}");
        assert!(!detail.contains("s3cret"), "{detail}");
    }
    let set = |spec: Value| {
        door.ask(Method::PUT, "/api/v1/projects/shop/environments/production/services/web", Some(json!({"spec": spec})))
    };
    let (status, problem) = set(json!({"imagee": "x"})).await;
    assert_eq!((status.as_u16(), &problem["type"]), (422, &json!("urn:trueup:problem:invalid-file")), "{problem}");
    assert!(!problem["diagnostics"].as_array().unwrap().is_empty());
    assert_eq!(door.house.store.projects().await.unwrap().len(), 1);
    assert_eq!(door.house.store.environments(None).await.unwrap().len(), 1);
    assert_eq!(door.house.store.services(&door.house.id).await.unwrap(), []);
}

#[tokio::test]
async fn services_are_set_listed_and_removed() {
    let Some(door) = door().await else { return };
    let at = format!("{HERE}/services");
    let (status, set) = door.ask(Method::PUT, &format!("{at}/web"), Some(json!({"spec": {"image": "web:1"}}))).await;
    assert_eq!((status.as_u16(), &set["spec"]), (200, &json!({"image": "web:1"})), "{set}");
    assert_eq!(door.get(&at).await.1.as_array().unwrap().len(), 1);
    assert_eq!(door.ask(Method::DELETE, &format!("{at}/web"), None).await.0.as_u16(), 204);
    assert_eq!(door.ask(Method::DELETE, &format!("{at}/web"), None).await.0.as_u16(), 404);
}

#[tokio::test]
async fn from_plan_to_sync_to_status_to_rollback() {
    let Some(door) = door().await else { return };
    let (status, _) = door.post(&format!("{HERE}/plan"), json!({"cached": true})).await;
    assert_eq!(status.as_u16(), 404, "nothing was planned yet");
    let (status, plan) = door.post(&format!("{HERE}/plan"), json!({})).await;
    assert_eq!((status.as_u16(), &plan["actions"][0]["kind"]), (200, &json!("create")), "{plan}");
    let digest = plan["digest"].as_str().unwrap().to_owned();
    assert_eq!(door.post(&format!("{HERE}/plan"), json!({"cached": true})).await.1["digest"], plan["digest"]);
    assert_eq!(door.get(&format!("/api/v1/plans/{}", &digest[..8])).await.1["digest"], plan["digest"]);
    let (_, standing) = door.get("/api/v1/status").await;
    assert_eq!((&standing[0]["sync"], &standing[0]["plan_digest"]), (&json!("drift"), &plan["digest"]), "{standing}");
    assert!(door.house.runtime.effects().is_empty(), "looking has an effect");

    let (status, wrong) = door.post(&format!("{HERE}/sync"), json!({"plan": digest, "prune": true})).await;
    assert_eq!(status.as_u16(), 409, "{wrong}");
    let (status, wrong) = door.post(&format!("{HERE}/rollback"), json!({"plan": digest})).await;
    assert_eq!(status.as_u16(), 409, "{wrong}");
    let (status, started) = door.post(&format!("{HERE}/sync"), json!({"plan": &digest[..12]})).await;
    assert_eq!(status.as_u16(), 202, "{started}");
    let run = started["run"].as_u64().unwrap();

    let events = events(&door, &format!("/api/v1/runs/{run}/events")).await;
    let (last, lines) = events.split_last().unwrap();
    assert!(lines.iter().all(|(name, _)| name == "line") && !lines.is_empty(), "{events:?}");
    let numbers: Vec<u64> = lines.iter().map(|(_, line)| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!((last.0.as_str(), &last.1["state"]), ("end", &json!("succeeded")), "{last:?}");
    door.house.ended(trueup::ids::RunId(run)).await;

    let (_, detail) = door.get(&format!("/api/v1/runs/{run}")).await;
    assert_eq!((&detail["run"]["plan"], detail["lines"].as_array().unwrap().len()), (&json!(digest), numbers.len()));
    assert!(!detail["steps"].as_array().unwrap().is_empty());
    assert_eq!(door.get(&format!("{HERE}/runs?limit=5")).await.1[0]["id"], json!(run));
    let (status, standing) = door.ask(Method::POST, &format!("{HERE}/refresh"), None).await;
    assert_eq!((status.as_u16(), &standing["sync"]), (200, &json!("in_sync")), "{standing}");
    assert_eq!(standing["services"][0]["name"], json!("web"));
    let (status, why) = door.get(&format!("{HERE}/why/web/env.LOG_LEVEL")).await;
    assert_eq!((status.as_u16(), &why["live"], &why["cause"]), (200, &json!("\"info\""), &Value::Null), "{why}");

    door.house.declare(&WEB.replace("web:1", "web:2"));
    let (_, second) = door.post(&format!("{HERE}/plan"), json!({"reference": "main"})).await;
    door.house.declare(&WEB.replace("web:1", "web:3"));
    let (status, moved) = door.post(&format!("{HERE}/sync"), json!({"plan": second["digest"]})).await;
    assert_eq!((status.as_u16(), &moved["type"]), (409, &json!("urn:trueup:problem:plan-moved")), "{moved}");
    assert_ne!(moved["current"]["digest"], second["digest"]);
    let told = moved["moved"].to_string();
    assert!(told.contains("web.image") && told.contains("web:3"), "{told}");
    let (status, started) = door.post(&format!("{HERE}/sync"), json!({"plan": moved["current"]["digest"]})).await;
    assert_eq!(status.as_u16(), 202, "{started}");
    door.house.ended(trueup::ids::RunId(started["run"].as_u64().unwrap())).await;

    let (status, back) = door.post(&format!("{HERE}/plan"), json!({"rollback_to": run})).await;
    assert_eq!((status.as_u16(), &back["options"]["rollback_to"]), (200, &json!(run)), "{back}");
    let (status, wrong) = door.post(&format!("{HERE}/sync"), json!({"plan": back["digest"]})).await;
    assert_eq!(status.as_u16(), 409, "{wrong}");
    let (status, started) = door.post(&format!("{HERE}/rollback"), json!({"plan": back["digest"], "to": run})).await;
    assert_eq!(status.as_u16(), 202, "{started}");
    door.house.ended(trueup::ids::RunId(started["run"].as_u64().unwrap())).await;
    let running = door.house.runtime.running("web");
    assert_eq!(running.len(), 1);
}

/// A run that failed half way left a release of what it did record: the release before it is the one to go back to.
#[tokio::test]
async fn the_daemon_says_which_release_a_rollback_without_a_run_goes_to() {
    let Some(door) = door().await else { return };
    let (status, none) = door.post(&format!("{HERE}/plan"), json!({"rollback": true})).await;
    assert_eq!(status.as_u16(), 404, "{none}");
    assert!(none["detail"].as_str().unwrap().contains("no release before the present"), "{none}");
    let first = door.house.sync().await;
    assert_eq!(first.state, trueup::store::records::RunState::Succeeded);
    // `web` is replaced and recorded; `zoo`, after it, crashes.
    door.house.runtime.crash("bad");
    door.house.declare(&format!("{}zoo:\n  image: acme/zoo:bad\n", WEB.replace("web:1", "web:2")));
    let second = door.house.sync().await;
    assert_eq!(second.state, trueup::store::records::RunState::Failed);
    let (status, back) = door.post(&format!("{HERE}/plan"), json!({"rollback": true})).await;
    assert_eq!((status.as_u16(), &back["options"]["rollback_to"]), (200, &json!(first.id.0)), "{back}");
    assert!(back["actions"].to_string().contains("web:1"), "{back}");
    for refused in [json!({"rollback": true, "prune": true}), json!({"rollback": true, "cached": true})] {
        assert_eq!(door.post(&format!("{HERE}/plan"), refused.clone()).await.0.as_u16(), 422, "{refused}");
    }
}

/// Every event of a stream that ends by itself.
async fn events(door: &Door, path: &str) -> Vec<(String, Value)> {
    let response = door.raw(|client| client.get(format!("http://trueup{path}"))).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = tokio::time::timeout(Duration::from_secs(60), response.text()).await.unwrap().unwrap();
    let parsed = text.split("\n\n").filter(|event| !event.trim().is_empty() && !event.starts_with(':')).map(|event| {
        let field = |key: &str| event.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        (field("event:").to_owned(), serde_json::from_str(field("data:")).unwrap())
    });
    parsed.collect()
}

#[tokio::test]
async fn what_is_not_there_or_not_valid_is_a_problem() {
    let Some(door) = door().await else { return };
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/api/v2/projects", 404),
        (Method::PUT, "/api/v1/projects", 405),
        (Method::GET, "/api/v1/projects/UPPER", 400),
        (Method::GET, "/api/v1/runs/99", 404),
        (Method::GET, "/api/v1/runs/99/events", 404),
        (Method::GET, "/api/v1/runs/many", 400),
        (Method::GET, "/api/v1/plans/abc", 409),
        (Method::GET, "/api/v1/plans/abcdef0123", 404),
        (Method::GET, "/api/v1/status?environment=production", 400),
        (Method::GET, "/api/v1/status?project=shop&environment=nope", 404),
        (Method::GET, "/api/v1/status?page=2", 400),
        (Method::GET, "/api/v1/projects/shop/environments/production/runs?limit=-1", 400),
        (Method::GET, "/api/v1/projects/shop/environments/production/why/web/nonsense", 400),
        (Method::GET, "/api/v1/projects/shop/environments/production/services/web/logs", 404),
        (Method::DELETE, "/api/v1/tokens/nope", 404),
    ] {
        let (got, problem) = door.ask(method.clone(), path, None).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {problem}");
    }
    door.house.repo.commit(".trueup.yml", "version: 1\nnonsense: true\n");
    let (status, problem) = door.post(&format!("{HERE}/plan"), json!({})).await;
    assert_eq!((status.as_u16(), &problem["type"]), (422, &json!("urn:trueup:problem:invalid-file")), "{problem}");
    assert_eq!(problem["diagnostics"][0]["at"]["line"], json!(2));
    let (status, standing) = door.ask(Method::POST, &format!("{HERE}/refresh"), None).await;
    assert_eq!((status.as_u16(), &standing["read"]["state"]), (200, &json!("invalid")), "{standing}");
    door.ask(Method::PATCH, "/api/v1/projects/shop", Some(json!({"disabled": true}))).await;
    assert_eq!(door.post(&format!("{HERE}/plan"), json!({})).await.0.as_u16(), 409);
}

#[tokio::test]
async fn bodies_are_bounded_and_of_the_right_kind() {
    let Some(door) = door().await else { return };
    let url = "http://trueup/api/v1/projects";
    let status = |response: reqwest::Response| (response.status().as_u16(), response.headers()["content-type"].clone());
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    let sent = door.raw(|client| client.post(url).header("content-type", "application/json").body(large.clone())).await;
    assert_eq!(status(sent), (413, "application/problem+json".parse().unwrap()));
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let sent = door.raw(|client| client.post(url).header("content-type", media).body("{}")).await;
        assert_eq!(sent.status().as_u16(), 415, "{media}");
    }
    for body in ["", "{", "[]", "null", "{\"name\":1}", "\u{0}", &"[".repeat(200_000)] {
        let sent = door
            .raw(|client| {
                client.post(url).header("content-type", "application/json; charset=utf-8").body(body.to_owned())
            })
            .await;
        assert_eq!(sent.status().as_u16(), 400, "{}", body.chars().take(20).collect::<String>());
    }
}

#[tokio::test]
async fn garbage_hurts_nobody() {
    let Some(door) = door().await else { return };
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect()
    };
    let mut corpus: Vec<Vec<u8>> = (0..60).map(|n| noise(1 + n * 17)).collect();
    corpus.push(b"GET / HTTP/9.9\r\n\r\n".to_vec());
    corpus.push(b"GET /api/v1/projects/%00%ff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec());
    corpus.push(b"POST /api/v1/projects HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec());
    corpus.push(b"POST /api/v1/projects HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec());
    corpus.push([b"GET /".as_slice(), &vec![b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat());
    corpus.push([b"GET / HTTP/1.1\r\nx: ".as_slice(), &vec![b'a'; 200_000], b"\r\n\r\n"].concat());
    for bytes in corpus {
        let mut stream = UnixStream::connect(&door.socket).await.unwrap();
        // The daemon may hang up before all of it was sent.
        if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "the daemon neither answers nor hangs up");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    assert_eq!(door.get("/healthz").await.0.as_u16(), 200);
}

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_revoked_at_once() {
    let Some(door) = door().await else { return };
    assert_eq!(door.remote(None, Method::GET, "/api/v1/version", None).await.0.as_u16(), 401);
    assert_eq!(door.remote(Some("trueup_x"), Method::GET, "/healthz", None).await.0.as_u16(), 401);
    let (status, minted) = door.post("/api/v1/tokens", json!({"name": "ci", "role": "viewer"})).await;
    let token = minted["token"].as_str().unwrap().to_owned();
    assert!(status.as_u16() == 201 && token.starts_with("trueup_") && token.len() == 50, "{minted}");
    assert_eq!(door.post("/api/v1/tokens", json!({"name": "ci", "role": "admin"})).await.0.as_u16(), 409);
    let (_, listed) = door.get("/api/v1/tokens").await;
    assert!(!listed.to_string().contains(&token), "{listed}");
    assert_eq!(door.remote(Some(&token), Method::GET, "/api/v1/version", None).await.0.as_u16(), 200);
    let (status, denied) = door.remote(Some(&token), Method::GET, "/api/v1/tokens", None).await;
    assert!(status.as_u16() == 403 && denied["detail"].as_str().unwrap().contains("token ci is viewer"), "{denied}");
    let audit = door.house.store.audit(1).await.unwrap();
    assert!(audit[0].entry.outcome.starts_with("denied"), "{audit:?}");
    assert_eq!(door.ask(Method::DELETE, "/api/v1/tokens/ci", None).await.0.as_u16(), 204);
    assert_eq!(door.remote(Some(&token), Method::GET, "/api/v1/version", None).await.0.as_u16(), 401);
    let files = std::fs::read(door.house.state.path().join("trueup.db-wal")).unwrap();
    assert!(!files.windows(token.len()).any(|window| window == token.as_bytes()), "the token itself is stored");
}

#[tokio::test]
async fn an_inner_failure_says_nothing_internal() {
    let Some(door) = door().await else { return };
    let other = rusqlite::Connection::open(door.house.state.path().join("trueup.db")).unwrap();
    other.execute_batch("ALTER TABLE projects RENAME TO gone").unwrap();
    let (status, problem) = door.get("/api/v1/projects").await;
    assert_eq!(status.as_u16(), 500);
    let text = problem.to_string();
    assert!(!text.contains("table") && !text.contains("projects") && !text.contains("sqlite"), "{text}");
}

#[tokio::test]
async fn the_end_ends_streams_and_waits_for_requests() {
    let Some(door) = door().await else { return };
    let id = door.house.id.clone();
    let run = trueup::store::RunStart {
        environment: id,
        plan: "a".repeat(64).parse().unwrap(),
        commit: None,
        kind: trueup::store::records::RunKind::Sync,
        actor: trueup::authority::Actor { name: "olga".into(), role: Role::Operator },
        at: jiff::Timestamp::now(),
    };
    let run = door.house.store.begin_run(run).await.unwrap();
    door.house.store.append_line(run, jiff::Timestamp::now(), "begun").await.unwrap();
    let response = door.raw(|client| client.get(format!("http://trueup/api/v1/runs/{run}/events"))).await;
    assert_eq!(response.status().as_u16(), 200);
    let socket = door.socket.clone();
    door.close().await;
    assert!(UnixStream::connect(&socket).await.is_err(), "nobody answers any more");
}

#[tokio::test]
async fn why_says_what_is_unknown_and_has_nothing_looked_at_for_a_viewer() {
    let Some(door) = door().await else { return };
    let run = door.house.sync().await;
    assert_eq!(run.state, trueup::store::records::RunState::Succeeded);
    let path = format!("{HERE}/why/web/env.LOG_LEVEL");
    let viewer = door.token(Role::Viewer).await;
    door.house.plan().await;
    let (status, seen) = door.remote(Some(&viewer), Method::GET, &path, None).await;
    assert_eq!((status.as_u16(), &seen["live"], &seen["cause"]), (200, &json!("\"info\""), &Value::Null), "{seen}");
    assert!(seen["seen_at"].is_string() && seen["base"]["run"] == json!(1), "{seen}");

    // What runs and the repository change; who may not look hears of the plan that is there.
    door.house.runtime.by_hand("web", |replica| {
        let level = trueup::live::value::Value::Text("debug".into());
        replica.leaves.insert(trueup::live::field::FieldPath::Env("LOG_LEVEL".into()), level);
    });
    let (_, seen) = door.remote(Some(&viewer), Method::GET, &path, None).await;
    assert_eq!((&seen["live"], &seen["cause"]), (&json!("\"info\""), &Value::Null), "{seen}");
    let (_, looked) = door.get(&path).await;
    assert_eq!((&looked["live"], &looked["cause"]), (&json!("\"debug\""), &json!("live")), "{looked}");
    assert_eq!(looked["seen_at"], Value::Null);
    door.house.plan().await;
    let (_, seen) = door.remote(Some(&viewer), Method::GET, &path, None).await;
    assert_eq!((&seen["live"], &seen["cause"]), (&json!("\"debug\""), &json!("live")), "{seen}");
    assert_eq!(seen["declared"]["at"]["line"], json!(7), "{seen}");

    door.house.runtime.set_unreachable(true);
    let (status, unknown) = door.get(&path).await;
    assert_eq!((status.as_u16(), &unknown["cause"]), (200, &Value::Null));
    assert!(unknown["unknown"].as_str().is_some_and(|why| why.contains("connection refused")), "{unknown}");
    door.house.plan().await;
    let (_, unknown) = door.remote(Some(&viewer), Method::GET, &path, None).await;
    assert!(unknown["unknown"].as_str().is_some_and(|why| why.contains("connection refused")), "{unknown}");
}

#[tokio::test]
async fn status_says_when_it_was_last_looked_at_although_nothing_moved() {
    let Some(door) = door().await else { return };
    let path = "/api/v1/status?project=shop&environment=production";
    let times = |view: &Value| (view[0]["observed_at"].clone(), view[0]["read"]["checked_at"].clone());
    door.house.plan().await;
    let (_, first) = door.get(path).await;
    door.house.plan().await;
    let (_, second) = door.get(path).await;
    assert_eq!(first[0]["plan_digest"], second[0]["plan_digest"]);
    let ((observed, checked), (observed_again, checked_again)) = (times(&first), times(&second));
    let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at(&observed_again) > at(&observed) && at(&checked_again) > at(&checked), "{first} {second}");
}
