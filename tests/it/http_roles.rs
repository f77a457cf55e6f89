//! May everyone do exactly what their role allows, on every route and through every door?

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use trueup::authority::Role;

use crate::world::backend;
use crate::world::door::{Door, description};
use crate::world::house::House;

const WEB: &str = "web:\n  image: acme/web:1\n";
const NOWHERE: &str = "/api/v1/projects/nope/environments/nowhere";

/// Every route with the least role that may use it. Written out here a second time on purpose: a slip in the route table
/// must not be able to hide.
fn routes() -> Vec<(&'static str, String, Role, Option<Value>)> {
    use Role::{Admin, Operator, Viewer};
    let env = |rest: &str| format!("{NOWHERE}{rest}");
    let plan = json!({"plan": "0123456789"});
    vec![
        ("GET", "/healthz".into(), Viewer, None),
        ("GET", "/api/v1/version".into(), Viewer, None),
        ("GET", "/api/v1/openapi.json".into(), Viewer, None),
        ("GET", "/api/v1/projects".into(), Viewer, None),
        ("POST", "/api/v1/projects".into(), Admin, Some(json!({}))),
        ("GET", "/api/v1/projects/nope".into(), Viewer, None),
        ("PATCH", "/api/v1/projects/nope".into(), Admin, Some(json!({}))),
        ("DELETE", "/api/v1/projects/nope".into(), Admin, None),
        ("POST", "/api/v1/projects/nope/webhook".into(), Admin, None),
        ("POST", "/api/v1/projects/nope/check".into(), Operator, None),
        ("GET", "/api/v1/projects/nope/environments".into(), Viewer, None),
        ("POST", "/api/v1/projects/nope/environments".into(), Admin, Some(json!({}))),
        ("GET", env(""), Viewer, None),
        ("PATCH", env(""), Admin, Some(json!({}))),
        ("DELETE", env(""), Admin, None),
        ("POST", env("/test"), Operator, None),
        ("POST", env("/plan"), Viewer, Some(json!({"cached": true}))),
        ("POST", env("/sync"), Operator, Some(plan.clone())),
        ("POST", env("/rollback"), Operator, Some(plan)),
        ("POST", env("/refresh"), Operator, None),
        ("GET", env("/why/web/image"), Viewer, None),
        ("GET", env("/runs"), Viewer, None),
        ("GET", env("/services"), Viewer, None),
        ("PUT", env("/services/web"), Admin, Some(json!({"spec": {}}))),
        ("DELETE", env("/services/web"), Admin, None),
        ("GET", env("/services/web/logs"), Viewer, None),
        ("GET", "/api/v1/plans/0123456789".into(), Viewer, None),
        ("GET", "/api/v1/projects/nope/pulls/7/report".into(), Viewer, None),
        ("POST", "/api/v1/projects/nope/pulls/7/report".into(), Operator, Some(json!({}))),
        ("POST", "/api/v1/refresh".into(), Operator, None),
        ("GET", "/api/v1/status".into(), Viewer, None),
        ("GET", "/api/v1/runs/99".into(), Viewer, None),
        ("GET", "/api/v1/runs/99/events".into(), Viewer, None),
        ("GET", "/api/v1/outbox".into(), Viewer, None),
        ("GET", "/api/v1/outbox/99".into(), Viewer, None),
        ("POST", "/api/v1/outbox/99/post".into(), Operator, None),
        ("GET", "/api/v1/deliveries".into(), Viewer, None),
        ("GET", "/api/v1/deliveries/99".into(), Viewer, None),
        ("POST", "/api/v1/deliveries/99/replay".into(), Operator, None),
        ("GET", "/api/v1/integrations".into(), Viewer, None),
        ("POST", "/api/v1/integrations".into(), Admin, Some(json!({}))),
        ("GET", "/api/v1/integrations/nope".into(), Viewer, None),
        ("PATCH", "/api/v1/integrations/nope".into(), Admin, Some(json!({}))),
        ("DELETE", "/api/v1/integrations/nope".into(), Admin, None),
        ("POST", "/api/v1/integrations/nope/test".into(), Operator, None),
        ("GET", "/api/v1/integrations/nope/users".into(), Admin, None),
        ("POST", "/api/v1/integrations/nope/users".into(), Admin, Some(json!({"login": "alice", "role": "viewer"}))),
        ("DELETE", "/api/v1/integrations/nope/users/42".into(), Admin, None),
        ("GET", "/api/v1/events?follow=false".into(), Viewer, None),
        ("GET", "/metrics".into(), Viewer, None),
        ("GET", "/api/v1/tokens".into(), Admin, None),
        ("POST", "/api/v1/tokens".into(), Admin, Some(json!({}))),
        ("DELETE", "/api/v1/tokens/nope".into(), Admin, None),
        ("GET", "/api/v1/audit".into(), Admin, None),
    ]
}

#[test]
fn no_route_is_left_out_and_each_says_its_role() {
    let described = description()["paths"].as_object().unwrap();
    let count: usize = described.values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(count, routes().len(), "a route is missing here, or is not described");
    for (path, item) in described {
        for (method, operation) in item.as_object().unwrap() {
            let said = operation["description"].as_str().unwrap_or_default();
            assert!(said.contains("Needs the role `"), "{method} {path}: {said}");
        }
    }
}

#[tokio::test]
async fn every_route_for_every_role() {
    if !backend::git() {
        return;
    }
    let door = Door::open(House::new(WEB).await, "no-such-group").await;
    let mut tokens = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        tokens.push((role, door.token(role).await));
    }
    for (method, path, needs, body) in routes() {
        let method: Method = method.parse().unwrap();
        for wrong in [None, Some("trueup_guess"), Some("test-token-of-")] {
            let (status, _) = door.remote(wrong, method.clone(), &path, body.clone()).await;
            assert_eq!(status.as_u16(), 401, "{method} {path} without a token");
        }
        for (role, token) in &tokens {
            let (status, answer) = door.remote(Some(token), method.clone(), &path, body.clone()).await;
            let refused = status.as_u16() == 403;
            assert_eq!(refused, *role < needs, "{method} {path} as {role:?}: {status} {answer}");
            assert_ne!(status.as_u16(), 401, "{method} {path} as {role:?}");
        }
    }
    // A fresh plan looks again, which a viewer may not.
    let fresh = "/api/v1/projects/shop/environments/production/plan";
    for (role, token) in &tokens {
        let (status, answer) = door.remote(Some(token), Method::POST, fresh, Some(json!({}))).await;
        assert_eq!(status.as_u16() == 403, *role == Role::Viewer, "{role:?}: {status} {answer}");
    }
}

/// Who the kernel says is there counts, whatever is sent. The other user is this same program, run again as them.
#[tokio::test]
async fn strangers_on_the_socket_are_refused_and_the_group_operates() {
    let root = rustix::process::geteuid().is_root();
    if !backend::git() || !backend::available("root", root) {
        return;
    }
    // `daemon` is a group of every Debian; here its members are the operators.
    let door = Door::open(House::new(WEB).await, "daemon").await;
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    let mut directory = door.socket.parent();
    while let Some(path) = directory.filter(|path| path.starts_with(door.house.state.path())) {
        std::fs::set_permissions(path, mode(0o755)).unwrap();
        directory = path.parent();
    }
    let socket = std::fs::metadata(&door.socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(socket, 0o660, "the socket is its group's");
    std::fs::set_permissions(&door.socket, mode(0o666)).unwrap();
    let ask = |uid: u32, gid: u32, request: &'static str| {
        let socket = door.socket.clone();
        tokio::task::spawn_blocking(move || as_user(uid, gid, &socket, request))
    };
    let stranger = ask(65_534, 65_534, "GET /api/v1/version").await.unwrap();
    assert!(stranger.contains(" 403 "), "{stranger}");
    let member = ask(65_534, 1, "GET /api/v1/version").await.unwrap();
    assert!(member.contains(" 200 "), "{member}");
    let refresh = ask(65_534, 1, "POST /api/v1/refresh").await.unwrap();
    assert!(refresh.contains(" 202 "), "{refresh}");
    let tokens = ask(65_534, 1, "GET /api/v1/tokens").await.unwrap();
    assert!(tokens.contains(" 403 "), "an operator is no admin: {tokens}");
    let root = ask(0, 0, "GET /api/v1/tokens").await.unwrap();
    assert!(root.contains(" 200 "), "{root}");
}

fn as_user(uid: u32, gid: u32, socket: &std::path::Path, request: &str) -> String {
    // Copied to where anyone may run it from.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .args(["--exact", "http_roles::the_other_user", "--nocapture"])
        .env("TRUEUP_TEST_SOCKET", socket)
        .env("TRUEUP_TEST_REQUEST", request)
        .current_dir("/")
        .gid(gid)
        .uid(uid)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What [`as_user`] runs; by itself it does nothing.
#[test]
fn the_other_user() {
    let Some(socket) = std::env::var_os("TRUEUP_TEST_SOCKET") else { return };
    let request = std::env::var("TRUEUP_TEST_REQUEST").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: trueup\r\nauthorization: Bearer x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    println!("{}", answer.lines().next().unwrap());
}

#[tokio::test]
async fn what_goes_on_for_a_token_ends_when_it_is_revoked() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.runtime.print(&["it starts"]);
    house.runtime.go_on_printing();
    let door = Door::open(house, "no-such-group").await;
    let token = door.token(Role::Viewer).await;
    let path = "/api/v1/projects/shop/environments/production/services/web/logs?follow=true";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut stream = client.get(format!("http://{}{path}", door.tcp)).bearer_auth(&token).send().await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("it starts"), "{first:?}");
    assert_eq!(door.ask(Method::DELETE, "/api/v1/tokens/viewer", None).await.0.as_u16(), 204);
    let end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), end).await.expect("it goes on");
}
