//! The fake engine's calls. What is not here is unexpected, is recorded, and fails the test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::state::No;
use super::{Fault, Shared, State};

type Body = BoxBody<Bytes, Infallible>;
type Answer = Result<Response<Body>, std::io::Error>;

/// A call, taken apart.
struct Call {
    method: String,
    path: Vec<String>,
    query: BTreeMap<String, String>,
    body: Bytes,
}

impl Call {
    fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value == "true" || value == "1")
    }

    fn json(&self) -> Result<Value, No> {
        serde_json::from_slice(&self.body).map_err(|error| (400, format!("the body is no JSON: {error}")))
    }
}

pub(super) async fn answer(shared: Arc<Shared>, mut request: Request<Incoming>) -> Answer {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let path: Vec<String> = parts.uri.path().trim_matches('/').split('/').map(decode).collect();
    let versioned = path.first().is_some_and(|first| first.starts_with("v1."));
    let path: Vec<String> = path.into_iter().skip(usize::from(versioned)).collect();
    let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (decode(key), decode(value))).collect();
    let call = Call { method: parts.method.to_string(), path, query, body };
    let name = format!("{} /{}", call.method, call.path.join("/"));
    let fault = {
        let mut state = shared.state();
        state.calls.push(name.clone());
        let found = state.faults.iter_mut().position(|(part, passed, _)| {
            let due = name.contains(part.as_str()) && *passed == 0;
            *passed -= usize::from(name.contains(part.as_str()) && !due);
            due
        });
        found.map(|index| state.faults.remove(index).2)
    };
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Answer(status, message)) => return Ok(refuse((status, message))),
        Some(Fault::Quote) => return Ok(refuse((400, String::from_utf8_lossy(&call.body).into_owned()))),
        Some(Fault::Drop { done }) => {
            if done {
                let answered = carry_out(&shared, &call, &name);
                drop(answered);
            }
            return Err(std::io::Error::other("dropped on purpose"));
        }
        Some(Fault::Recreate) => recreate(&mut shared.state(), &call.path[1]),
        Some(Fault::Retag(id)) => shared.state().names.values_mut().for_each(|meant| meant.clone_from(&id)),
        None => {}
    }
    if name == "GET /events" {
        return Ok(events(&shared));
    }
    if call.method == "POST" && call.path[0] == "exec" && call.path.len() == 3 && call.path[2] == "start" {
        let output = shared.state().execs.get(&call.path[1]).map(|(_, output)| output.clone()).unwrap_or_default();
        tokio::spawn(async move {
            if let Ok(connection) = upgrade.await {
                let mut connection = hyper_util::rt::TokioIo::new(connection);
                if connection.write_all(&frame(1, output.as_bytes())).await.is_ok() {
                    connection.shutdown().await.unwrap_or_default();
                }
            }
        });
        let upgraded = Response::builder()
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", "tcp")
            .body(Full::new(Bytes::new()).boxed());
        return upgraded.map_err(std::io::Error::other);
    }
    Ok(carry_out(&shared, &call, &name))
}

fn carry_out(shared: &Shared, call: &Call, name: &str) -> Response<Body> {
    let mut state = shared.state();
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let result = match (call.method.as_str(), path.as_slice()) {
        ("GET", ["_ping"]) => Ok(Response::new(Full::new(Bytes::from("OK")).boxed())),
        ("GET", ["version"]) => Ok(ok(&state.version)),
        ("GET", ["info"]) => Ok(ok(&state.info)),
        (_, ["containers", ..]) => containers(shared, &mut state, call, &path[1..]),
        (_, ["images", ..]) => images(&mut state, call, &path[1..]),
        (_, ["networks", ..]) => networks(&mut state, call, &path[1..]),
        (_, ["volumes", ..]) => volumes(&mut state, call, &path[1..]),
        ("GET", ["exec", id, "json"]) => match state.execs.get(*id) {
            Some((code, _)) => Ok(ok(&json!({"ID": id, "Running": false, "ExitCode": code}))),
            None => Err((404, format!("No such exec instance: {id}"))),
        },
        _ => Err((501, String::new())),
    };
    result.unwrap_or_else(|no| {
        if no.0 == 501 {
            state.unexpected.push(name.to_owned());
        }
        refuse(no)
    })
}

fn containers(shared: &Shared, state: &mut State, call: &Call, path: &[&str]) -> Result<Response<Body>, No> {
    match (call.method.as_str(), path) {
        ("GET", ["json"]) => list(state, call),
        ("POST", ["create"]) => {
            let name = match call.query.get("name") {
                Some(name) => name.clone(),
                None => state.id()[52..].to_owned(),
            };
            let id = state.create(&name, &call.json()?)?;
            told(shared, state, "create", &id);
            Ok(answer_with(201, &json!({"Id": id, "Warnings": []})))
        }
        ("GET", [id, "json"]) => Ok(ok(state.container(id)?)),
        ("POST", [id, verb @ ("start" | "stop" | "pause" | "unpause")]) => {
            let id = state.container(id)?["Id"].as_str().unwrap_or_default().to_owned();
            let status = match *verb {
                "start" | "unpause" => "running",
                "pause" => "paused",
                _ => "exited",
            };
            state.set_status(&id, status, 0)?;
            told(shared, state, if *verb == "stop" { "die" } else { verb }, &id);
            Ok(empty(204))
        }
        ("POST", [id, "update"]) => {
            let body = call.json()?;
            let id = state.container(id)?["Id"].as_str().unwrap_or_default().to_owned();
            let host = &mut state.container(&id)?["HostConfig"];
            for (key, value) in body.as_object().into_iter().flatten() {
                host[key] = value.clone();
            }
            told(shared, state, "update", &id);
            Ok(ok(&json!({"Warnings": []})))
        }
        ("DELETE", [id]) => {
            let container = state.container(id)?.clone();
            if container["State"]["Running"] == true && !call.flag("force") {
                return Err((409, "You cannot remove a running container".to_owned()));
            }
            let id = container["Id"].as_str().unwrap_or_default().to_owned();
            told(shared, state, "destroy", &id);
            state.containers.remove(&id);
            Ok(empty(204))
        }
        ("GET", [id, "logs"]) => {
            let id = state.container(id)?["Id"].as_str().unwrap_or_default().to_owned();
            if call.flag("follow") {
                return Err((501, String::new()));
            }
            let lines = state.logs.get(&id).cloned().unwrap_or_default();
            let tail = call.query.get("tail").and_then(|tail| tail.parse().ok()).unwrap_or(usize::MAX);
            let skipped = lines.len().saturating_sub(tail);
            let bytes: Vec<u8> =
                lines.iter().skip(skipped).flat_map(|line| frame(1, format!("{line}\n").as_bytes())).collect();
            Ok(Response::new(Full::new(Bytes::from(bytes)).boxed()))
        }
        ("POST", [id, "exec"]) => {
            state.container(id)?;
            let word = call.json()?["Cmd"][0].as_str().unwrap_or_default().to_owned();
            let result = state.commands.get(&word).cloned().unwrap_or((127, format!("{word}: not found\n")));
            let exec = state.id();
            state.execs.insert(exec.clone(), result);
            Ok(answer_with(201, &json!({"Id": exec})))
        }
        _ => Err((501, String::new())),
    }
}

/// Lists by labels; other filters are unexpected, but for the status.
fn list(state: &mut State, call: &Call) -> Result<Response<Body>, No> {
    let filters: BTreeMap<String, Vec<String>> = match call.query.get("filters") {
        Some(text) => serde_json::from_str(text).map_err(|error| (400, error.to_string()))?,
        None => BTreeMap::new(),
    };
    if filters.keys().any(|key| key != "label" && key != "status") {
        return Err((501, String::new()));
    }
    let all = call.flag("all");
    let carries = |container: &Value| {
        filters.get("label").into_iter().flatten().all(|wanted| {
            let (key, value) =
                wanted.split_once('=').map_or((wanted.as_str(), None), |(key, value)| (key, Some(value)));
            let label = container["Config"]["Labels"].get(key).and_then(Value::as_str);
            label.is_some() && (value.is_none() || label == value)
        })
    };
    let status = |container: &Value| {
        filters
            .get("status")
            .is_none_or(|wanted| wanted.iter().any(|word| container["State"]["Status"] == word.as_str()))
    };
    let listed: Vec<Value> = state
        .containers
        .values()
        .filter(|container| (all || container["State"]["Running"] == true) && carries(container) && status(container))
        .map(|container| {
            json!({"Id": container["Id"], "Names": [container["Name"]], "Image": container["Config"]["Image"],
                "ImageID": container["Image"], "Labels": container["Config"]["Labels"],
                "State": container["State"]["Status"], "Status": "", "Created": 0})
        })
        .collect();
    Ok(ok(&Value::from(listed)))
}

fn images(state: &mut State, call: &Call, path: &[&str]) -> Result<Response<Body>, No> {
    match (call.method.as_str(), path) {
        ("GET", [name @ .., "json"]) => {
            let name = name.join("/");
            state.image(&name).map(ok).ok_or((404, format!("No such image: {name}")))
        }
        ("POST", ["create"]) => {
            let (name, tag) = (call.query.get("fromImage").cloned(), call.query.get("tag").cloned());
            let (name, tag) = (name.unwrap_or_default(), tag.unwrap_or_default());
            let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
            let full = format!("{name}{separator}{tag}");
            match state.remote.get(&full).cloned() {
                Some(id) => {
                    state.names.insert(full, id);
                    Ok(Response::new(Full::new(Bytes::from("{\"status\":\"Download complete\"}\n")).boxed()))
                }
                None => Err((404, format!("manifest for {full} not found: manifest unknown"))),
            }
        }
        ("POST", [name @ .., "tag"]) => {
            let id = state.image(&name.join("/")).map(|image| image["Id"].clone());
            let id = id.and_then(|id| id.as_str().map(str::to_owned)).ok_or((404, "No such image".to_owned()))?;
            let (repo, tag) = (call.query.get("repo").cloned(), call.query.get("tag").cloned());
            state.names.insert(format!("{}:{}", repo.unwrap_or_default(), tag.unwrap_or_default()), id);
            Ok(empty(201))
        }
        _ => Err((501, String::new())),
    }
}

fn networks(state: &mut State, call: &Call, path: &[&str]) -> Result<Response<Body>, No> {
    match (call.method.as_str(), path) {
        ("GET", []) => Ok(ok(&state.networks.values().cloned().collect::<Vec<_>>().into())),
        ("POST", ["create"]) => {
            let body = call.json()?;
            let name = body["Name"].as_str().unwrap_or_default().to_owned();
            let subnet = format!("172.{}.0.0/16", 17 + state.networks.len());
            let id = state.add_network(&name, &subnet, body["Labels"].clone());
            Ok(answer_with(201, &json!({"Id": id, "Warning": ""})))
        }
        ("POST", [name, "connect"]) => {
            let body = call.json()?;
            if !state.networks.contains_key(*name) {
                return Err((404, format!("network {name} not found")));
            }
            let container = state.container(body["Container"].as_str().unwrap_or_default())?;
            container["NetworkSettings"]["Networks"][*name] = body["EndpointConfig"].clone();
            Ok(empty(200))
        }
        ("GET", [name]) => state.networks.get(*name).map(ok).ok_or((404, format!("network {name} not found"))),
        _ => Err((501, String::new())),
    }
}

fn volumes(state: &mut State, call: &Call, path: &[&str]) -> Result<Response<Body>, No> {
    match (call.method.as_str(), path) {
        ("GET", [name]) => state.volumes.get(*name).map(ok).ok_or((404, format!("get {name}: no such volume"))),
        ("POST", ["create"]) => {
            let body = call.json()?;
            let name = body["Name"].as_str().unwrap_or_default().to_owned();
            let volume = json!({"Name": name, "Driver": "local", "Mountpoint": "/v", "Labels": body["Labels"],
                "Options": {}, "Scope": "local"});
            state.volumes.insert(name, volume.clone());
            Ok(answer_with(201, &volume))
        }
        _ => Err((501, String::new())),
    }
}

fn events(shared: &Shared) -> Response<Body> {
    let receiver = tokio_stream::wrappers::BroadcastStream::new(shared.events.subscribe());
    let lines = receiver.take_while(|line| {
        let goes_on = line.as_ref().is_ok_and(|line| !line.is_empty());
        async move { goes_on }
    });
    let frames = lines.map(|line| Ok(Frame::data(Bytes::from(line.unwrap_or_default()))));
    Response::new(BodyExt::boxed(StreamBody::new(SyncStream(std::sync::Mutex::new(frames.boxed())))))
}

/// A stream that may be shared, as response bodies must be.
struct SyncStream(std::sync::Mutex<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>);

impl futures_util::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(cx)
    }
}

fn told(shared: &Shared, state: &State, action: &str, id: &str) {
    tell(shared, action, id, &state.containers[id]["Config"]["Labels"]);
}

pub(super) fn tell(shared: &Shared, action: &str, id: &str, labels: &Value) {
    let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": labels},
        "scope": "local", "time": 0, "timeNano": 0});
    // Without listeners there is nobody to tell.
    if shared.events.receiver_count() > 0 {
        shared.events.send(format!("{event}\n")).unwrap();
    }
}

/// Takes a container away and makes the same anew under another id.
fn recreate(state: &mut State, id: &str) {
    let Some(mut container) = state.containers.remove(id) else { return };
    let fresh = state.id();
    container["Id"] = json!(fresh);
    state.containers.insert(fresh, container);
}

/// One frame of a multiplexed stream.
fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![stream, 0, 0, 0];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn ok(value: &Value) -> Response<Body> {
    answer_with(200, value)
}

fn answer_with(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).boxed();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

fn empty(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Full::new(Bytes::new()).boxed()).unwrap()
}

fn refuse((status, message): No) -> Response<Body> {
    answer_with(status, &json!({ "message": message }))
}
