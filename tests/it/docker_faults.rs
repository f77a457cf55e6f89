//! Does the docker provider stay honest when the Engine does not play along? Against the fake engine, as the real one
//! cannot be made to do these things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use trueup::ids::{EnvironmentRef, SecretName};
use trueup::live::field::FieldPath;
use trueup::live::image::ImageValue;
use trueup::live::quantity::Millis;
use trueup::live::value::{SecretValue, Value};
use trueup::live::{LiveService, Observed};
use trueup::provider::docker::{DockerProvider, Engines};
use trueup::provider::{Check, FindingLevel, Probe, ProbeOutcome, Provider, ReplicaSpec, StepError};

use crate::world::docker::{Lines, Passwords, connect, known, text};
use crate::world::engine::{Engine, Fault, replica_labels};
use crate::world::permit::Gate;

const IMAGE: &str = "registry.acme.dev/shop/web:1";

fn shop() -> EnvironmentRef {
    "shop/production".parse().unwrap()
}

/// A fake engine with an image and one running replica of `web`.
fn engine() -> (Engine, String, String) {
    let engine = Engine::start();
    let image = engine
        .with(|state| state.add_image(IMAGE, json!({"Env": ["PATH=/bin"], "Cmd": ["serve"], "Entrypoint": null}), &[]));
    let body = json!({"Image": IMAGE, "Labels": replica_labels("shop", "production", "web", 1),
        "Env": ["LOG_LEVEL=info"], "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}});
    let id = engine.with(|state| state.run("by-hand", &body));
    (engine, image, id)
}

fn provider(engine: &Engine) -> DockerProvider {
    connect(&shop(), &[("host", &engine.host())])
}

fn leaves(image: &str) -> BTreeMap<FieldPath, Value> {
    let value = ImageValue { reference: Some(IMAGE.parse().unwrap()), content: [image.parse().unwrap()].into() };
    BTreeMap::from([(FieldPath::Image, Value::Image(value.into()))])
}

async fn prepare(
    provider: &DockerProvider,
    permit: &trueup::sync::gate::SyncPermit,
    leaves: &BTreeMap<FieldPath, Value>,
    secrets: &BTreeMap<SecretName, secrecy::SecretString>,
) -> Result<trueup::live::ReplicaId, StepError> {
    let service = "web".parse().unwrap();
    let withdrawn = BTreeSet::new();
    let spec = ReplicaSpec {
        service: &service,
        index: 1,
        release: permit.run(),
        commit: None,
        leaves,
        withdrawn: &withdrawn,
        secrets,
        from: None,
    };
    provider.prepare(permit, &spec, &Lines::default()).await
}

fn unknown(services: Observed<BTreeMap<trueup::ids::ServiceName, LiveService>>) -> String {
    match services {
        Observed::Unknown(why) => why,
        Observed::Known(services) => panic!("known: {services:?}"),
    }
}

#[tokio::test]
async fn a_container_replaced_while_it_is_looked_at_is_not_taken_for_absent() {
    let (engine, _, id) = engine();
    engine.fault(&format!("GET /containers/{id}/json"), Fault::Recreate);
    let services = known(provider(&engine).observe().await);
    let replicas = &services[&"web".parse().unwrap()].replicas;
    assert_eq!(replicas.len(), 1, "the successor is seen");
    assert_ne!(replicas[0].id.0, id);
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_with_the_reason() {
    let (engine, _, _) = engine();
    let call = "GET /containers/json";
    let provider = provider(&engine);
    engine.fault(call, Fault::Answer(500, "layer store is on fire".into()));
    let why = unknown(provider.observe().await.services);
    assert!(why.contains("on fire"), "{why}");
    engine.fault(call, Fault::Drop { done: false });
    let why = unknown(provider.observe().await.services);
    assert!(why.contains("cannot be reached"), "{why}");
    known(provider.observe().await);
}

/// One container that the Engine cannot show says nothing of the others, and is not taken for absent.
#[tokio::test]
async fn a_container_that_cannot_be_read_is_unseen_and_the_rest_is_seen() {
    let (engine, image, id) = engine();
    let other = engine.with(|state| state.add_image("acme/api:1", json!({"Cmd": ["api"]}), &[]));
    let labels = replica_labels("shop", "production", "api", 1);
    engine.with(|state| state.run("api", &json!({"Image": "acme/api:1", "Labels": labels})));
    assert_ne!(image, other);
    let (web, api) = ("web".parse().unwrap(), "api".parse().unwrap());
    for call in [format!("GET /containers/{id}/json"), format!("GET /images/{image}")] {
        let answers = [Fault::Answer(500, "input/output error".into()), Fault::Drop { done: false }, Fault::Hang];
        for (fault, said) in answers.into_iter().zip(["input/output error", "cannot be reached", "did not answer"]) {
            let provider = connect(&shop(), &[("host", &engine.host()), ("timeout", "1s")]);
            engine.fault(&call, fault);
            let services = known(provider.observe().await);
            let why = services[&web].unseen_why().unwrap();
            assert!(why.starts_with("web-1: ") && why.contains(said), "{call}: {why}");
            assert!(services[&web].replicas.is_empty());
            assert_eq!((services[&api].replicas.len(), services[&api].unseen_why()), (1, None), "{call}");
            assert_eq!(known(provider.observe().await)[&web].replicas.len(), 1);
        }
    }
}

/// An answer without its settings says nothing of them.
#[tokio::test]
async fn an_incomplete_answer_is_not_taken_for_a_container_without_settings() {
    for part in ["HostConfig", "State"] {
        let (engine, _, id) = engine();
        let whole = engine.with(|state| state.containers.get_mut(&id).unwrap()[part].take());
        let provider = provider(&engine);
        let web = "web".parse().unwrap();
        let services = known(provider.observe().await);
        let why = services[&web].unseen_why().unwrap();
        assert!(why.contains("incomplete") && services[&web].replicas.is_empty(), "{part}: {why}");
        engine.with(|state| state.containers.get_mut(&id).unwrap()[part] = whole);
        assert_eq!(known(provider.observe().await)[&web].replicas.len(), 1);
    }
}

/// An Engine that goes while it is looked at is out of reach as a whole.
#[tokio::test]
async fn an_engine_that_goes_between_the_list_and_a_container_is_unknown() {
    let (engine, _, id) = engine();
    let provider = connect(&shop(), &[("host", &engine.host()), ("timeout", "1s")]);
    known(provider.observe().await);
    engine.fault(&format!("GET /containers/{id}/json"), Fault::Drop { done: false });
    engine.fault_after("GET /containers/json", 1, Fault::Drop { done: false });
    let why = unknown(provider.observe().await.services);
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn an_engine_that_hangs_is_unknown_after_its_time() {
    let (engine, _, _) = engine();
    let provider = connect(&shop(), &[("host", &engine.host()), ("timeout", "1s")]);
    known(provider.observe().await);
    engine.fault("GET /containers/json", Fault::Hang);
    let why = unknown(provider.observe().await.services);
    assert!(why.contains("did not answer within 1 s"), "{why}");
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_leaves_one_replica_after_the_next_try() {
    let (engine, image, _) = engine();
    let provider = provider(&engine);
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    engine.fault("POST /containers/create", Fault::Drop { done: true });
    let error = prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap_err();
    assert!(matches!(error, StepError::Unreachable(_)), "{error}");
    prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap();
    let services = known(provider.observe().await);
    let made: Vec<_> =
        services[&"web".parse().unwrap()].replicas.iter().filter(|r| r.health.word() == "stopped").collect();
    assert_eq!(made.len(), 1, "{made:?}");
}

#[tokio::test]
async fn what_runs_under_an_equal_run_number_is_no_leftover() {
    let (engine, image, id) = engine();
    let provider = provider(&engine);
    // A new installation counts its runs from 1 again; what runs was made by run 1 of the old one.
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    assert_eq!(permit.run().to_string(), "1");
    engine.with(|state| state.container(&id).unwrap()["Name"] = json!("/shop-production-web-1-r1"));
    let made = prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap();
    let again = prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap();
    let left = engine.with(|state| state.containers.keys().cloned().collect::<BTreeSet<_>>());
    assert_eq!(left, BTreeSet::from([id, again.0]), "{made} is gone");
}

#[tokio::test]
async fn a_tag_that_moves_between_plan_and_creation_is_refused_and_nothing_is_left() {
    let (engine, image, _) = engine();
    let other = engine.with(|state| state.add_image("registry.acme.dev/shop/other:1", json!({"Cmd": ["x"]}), &[]));
    let provider = provider(&engine);
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    engine.fault("POST /containers/create", Fault::Retag(other.clone()));
    let error = prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap_err();
    assert!(matches!(&error, StepError::Refused(why) if why.contains(&other)), "{error}");
    assert_eq!(engine.with(|state| state.containers.len()), 1, "only what ran before");
}

#[tokio::test]
async fn an_engine_that_quotes_a_request_does_not_get_a_secret_told() {
    let (engine, image, _) = engine();
    let provider = provider(&engine);
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    let name: SecretName = "database-url".parse().unwrap();
    let mut leaves = leaves(&image);
    let secret = Value::Secret(SecretValue { name: Some(name.clone()), fingerprint: None });
    leaves.insert(FieldPath::Env("DATABASE_URL".into()), secret);
    leaves.insert(FieldPath::Env("LOG_LEVEL".into()), text("info"));
    engine.fault("POST /containers/create", Fault::Quote);
    let secrets = BTreeMap::from([(name, "hunter2".to_owned().into())]);
    let error = prepare(&provider, &permit, &leaves, &secrets).await.unwrap_err().to_string();
    assert!(error.contains("DATABASE_URL=***") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn content_that_is_gone_is_pulled_by_its_digest_and_only_by_that() {
    let (engine, _, _) = engine();
    let digest = format!("sha256:{}", "b".repeat(64));
    let id = engine.with(|state| state.add_image("elsewhere:1", json!({"Cmd": ["serve"]}), &[]));
    engine.with(|state| state.remote.insert(format!("registry.acme.dev/shop/web@{digest}"), id));
    let provider = provider(&engine);
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    prepare(&provider, &permit, &leaves(&digest), &BTreeMap::new()).await.unwrap();
    let made = engine.with(|state| {
        state.containers.values().map(|container| container["Config"]["Image"].clone()).collect::<Vec<_>>()
    });
    assert!(made.contains(&json!(format!("{IMAGE}@{digest}"))), "{made:?}");
}

#[tokio::test]
async fn the_named_network_must_be_there() {
    let (engine, image, _) = engine();
    let provider = connect(&shop(), &[("host", &engine.host()), ("network", "edge")]);
    let gate = Gate::open(&shop(), "docker").await;
    let permit = gate.permit().await;
    let error = prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap_err();
    assert!(error.to_string().contains("docker network create edge"), "{error}");
    engine.with(|state| state.add_network("edge", "10.0.0.0/16", json!({})));
    prepare(&provider, &permit, &leaves(&image), &BTreeMap::new()).await.unwrap();
}

#[tokio::test]
async fn the_connection_test_tells_what_will_hurt() {
    let (engine, _, _) = engine();
    let provider = provider(&engine);
    let report = provider.test_connection().await;
    assert!(report.ok, "{report:?}");
    let helper = report.findings.iter().find(|finding| finding.message.contains("probe_image")).unwrap();
    assert_eq!(helper.level, FindingLevel::Warning, "the fake's host is not this one");

    engine.with(|state| {
        for second in 18..=31 {
            state.add_network(&format!("n{second}"), &format!("172.{second}.0.0/16"), json!({}));
        }
        state.add_network("wide", "192.168.0.0/16", json!({}));
        state.version["ApiVersion"] = json!("1.40");
        state.version["Components"] = json!([{"Name": "Podman Engine", "Version": "2.2.1"}]);
        state.info["SystemTime"] = json!("2001-01-01T00:00:00Z");
        state.info["SecurityOptions"] = json!(["name=rootless"]);
    });
    let report = provider.test_connection().await;
    assert!(!report.ok);
    let shown: Vec<String> = report.findings.iter().map(|finding| finding.message.clone()).collect();
    for part in ["Podman", "too old", "rootless", "clock", "0 subnets"] {
        assert!(shown.iter().any(|line| line.contains(part)), "{part}: {shown:#?}");
    }
}

#[tokio::test]
async fn probes_that_cannot_be_made_never_pass() {
    let (engine, _, id) = engine();
    engine.with(|state| {
        state.commands.insert("good".into(), (0, String::new()));
        state.commands.insert("bad".into(), (3, "database is away\n".into()));
    });
    let provider = provider(&engine);
    let replica = trueup::live::ReplicaId(id);
    let check = |probe: Probe| Check {
        probe,
        interval: Millis(1_000),
        timeout: Millis(2_000),
        start_period: Millis(0),
        healthy_threshold: 1,
        unhealthy_threshold: 1,
    };
    let http = check(Probe::Http { path: "/".into(), port: Some(80) });
    let why = provider.can_probe(&http).await.unwrap_err();
    assert!(why.contains("probe_image"), "{why}");
    assert!(matches!(provider.probe(&replica, &http).await, ProbeOutcome::Impossible(_)));
    let no_port = check(Probe::Tcp { port: None });
    assert!(provider.can_probe(&no_port).await.unwrap_err().contains("port"));
    let command = |word: &str| check(Probe::Command { argv: vec![word.into()] });
    assert_eq!(provider.probe(&replica, &command("good")).await, ProbeOutcome::Passed);
    match provider.probe(&replica, &command("bad")).await {
        ProbeOutcome::Failed(why) => assert!(why.contains("exit code 3") && why.contains("database is away"), "{why}"),
        other => panic!("{other:?}"),
    }
    engine.fault("GET /containers", Fault::Answer(500, "no".into()));
    assert!(matches!(provider.probe(&replica, &check(Probe::Running)).await, ProbeOutcome::Impossible(_)));
    assert_eq!(provider.probe(&replica, &check(Probe::Running)).await, ProbeOutcome::Passed);
    for (health, expected) in [("starting", ProbeOutcome::Pending), ("healthy", ProbeOutcome::Passed)] {
        engine.with(|state| {
            state.container(&replica.0).unwrap()["State"]["Health"] = json!({"Status": health, "Log": []});
        });
        assert_eq!(provider.probe(&replica, &check(Probe::Running)).await, expected);
    }
}

#[tokio::test]
async fn one_event_stream_serves_every_environment_of_an_engine() {
    let (engine, _, id) = engine();
    let engines = Engines::default();
    let settings = BTreeMap::from([("host".to_owned(), engine.host())]);
    let at = |name: &str| {
        DockerProvider::connect_shared(&engines, name.parse().unwrap(), &settings, Arc::new(Passwords)).unwrap()
    };
    let (ours, other) = (at("shop/production"), at("shop/staging"));
    let mut ours_changes = ours.changes().unwrap();
    let mut other_changes = other.changes().unwrap();
    crate::world::docker::eventually("the stream is open", || async { engine.listeners() > 0 }).await;
    assert_eq!(engine.listeners(), 1);
    engine.tell("exec_start: true", &id);
    engine.tell("die", &id);
    let next = tokio::time::timeout(Duration::from_secs(5), ours_changes.next()).await.unwrap();
    assert_eq!(next, Some(Ok(())));
    engine.end_events();
    for changes in [&mut ours_changes, &mut other_changes] {
        let next = tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap();
        assert!(
            matches!(next, Some(Err(_))),
            "the end is told, and the other environment saw nothing before: {next:?}"
        );
        assert_eq!(changes.next().await, None);
    }
    let mut again = ours.changes().unwrap();
    crate::world::docker::eventually("it is open again", || async { engine.listeners() > 0 }).await;
    engine.tell("start", &id);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), again.next()).await.unwrap(), Some(Ok(())));
}

#[tokio::test]
async fn an_engine_exchanged_for_another_version_is_negotiated_with_anew() {
    let (engine, _, _) = engine();
    let provider = provider(&engine);
    known(provider.observe().await);
    let message = "client version 1.41 is too old. Minimum supported API version is 1.44".to_owned();
    engine.fault("GET /containers/json", Fault::Answer(400, message));
    unknown(provider.observe().await.services);
    let before = engine.calls().iter().filter(|call| *call == "GET /version").count();
    known(provider.observe().await);
    assert_eq!(engine.calls().iter().filter(|call| *call == "GET /version").count(), before + 1);
}

#[tokio::test]
async fn a_thousand_environments_are_observed_over_few_connections() {
    let engine = Engine::start();
    engine.with(|state| {
        state.add_image(IMAGE, json!({"Cmd": ["serve"]}), &[]);
        for number in 0..1_000 {
            for service in ["web", "worker"] {
                let labels = replica_labels(&format!("p{number}"), "production", service, 1);
                state.run(&format!("p{number}-{service}"), &json!({"Image": IMAGE, "Labels": labels}));
            }
        }
    });
    let engines = Engines::default();
    let settings = BTreeMap::from([("host".to_owned(), engine.host())]);
    for number in (0..1_000).step_by(97) {
        let id = format!("p{number}/production").parse().unwrap();
        let provider = DockerProvider::connect_shared(&engines, id, &settings, Arc::new(Passwords)).unwrap();
        assert_eq!(known(provider.observe().await).len(), 2);
    }
    let calls = engine.calls();
    let count = |part: &str| calls.iter().filter(|call| call.contains(part)).count();
    assert_eq!(count("GET /version"), 11, "each provider that comes after the last one went negotiates for itself");
    assert_eq!(count("/json"), 11 * 3 + count("GET /images"), "{}", calls.len());
}

#[tokio::test]
async fn an_engine_that_never_answers_is_waited_for_once_by_all() {
    let engine = Engine::start();
    engine.fault("GET /version", Fault::Hang);
    let engines = Engines::default();
    let settings = BTreeMap::from([("host".to_owned(), engine.host()), ("timeout".to_owned(), "1s".to_owned())]);
    let providers: Vec<DockerProvider> = (0..20)
        .map(|number| {
            let id = format!("p{number}/production").parse().unwrap();
            DockerProvider::connect_shared(&engines, id, &settings, Arc::new(Passwords)).unwrap()
        })
        .collect();
    let all = futures_util::future::join_all(providers.iter().map(Provider::observe)).await;
    assert!(all.into_iter().all(|live| unknown(live.services).contains("did not answer")));
    assert_eq!(engine.calls(), ["GET /version"], "one question, twenty answers");
}

#[tokio::test]
async fn tls_files_that_are_missing_are_named() {
    let settings =
        [("host", "tcp://127.0.0.1:1"), ("tls_ca", "/no/ca.pem"), ("tls_cert", "/no/c.pem"), ("tls_key", "/no/k.pem")];
    let why = unknown(connect(&shop(), &settings).observe().await.services);
    assert!(why.contains("/no/ca.pem") && why.contains("tls_ca"), "{why}");
}
