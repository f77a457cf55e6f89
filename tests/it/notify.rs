//! Do notifications arrive: in order, signed, at least once, through failures and restarts, and only those asked for?

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::audit::Audit;
use trueup::events::{EventType, Events, NewEvent};
use trueup::metrics::Metrics;
use trueup::notify::{Parts, SIGNATURE_HEADER, Sender, notify, sign};
use trueup::secret::Secrets;
use trueup::settings::NotifyTarget;
use trueup::store::Store;

use crate::world::house::scratch;

const PATIENCE: Duration = Duration::from_secs(30);

/// A target: what came to it, and what it answers next (200 where nothing is scripted).
#[derive(Clone, Default)]
struct Target {
    came: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    arrived: Arc<tokio::sync::Notify>,
}

async fn take(State(target): State<Target>, headers: HeaderMap, body: Bytes) -> StatusCode {
    target.came.lock().unwrap().push((headers, body));
    target.arrived.notify_one();
    let next = target.answers.lock().unwrap().pop_front();
    StatusCode::from_u16(next.unwrap_or(200)).unwrap()
}

impl Target {
    async fn start(answers: &[u16]) -> (Target, String) {
        let target = Target { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Target::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/confidential", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(target.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (target, url)
    }

    /// Waits until so many came, and gives their CloudEvents' ids and types.
    async fn came(&self, count: usize) -> Vec<(String, String)> {
        let wait = async {
            loop {
                let arrived = self.arrived.notified();
                if self.came.lock().unwrap().len() >= count {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("notifications come");
        let word = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
        let came = self.came.lock().unwrap();
        let events = came.iter().map(|(_, body)| serde_json::from_slice::<Value>(body).unwrap());
        events.map(|event| (word(&event, "id"), word(&event, "type"))).collect()
    }
}

struct House {
    state: TempDir,
    store: Store,
    events: Events,
    metrics: Metrics,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl House {
    fn new() -> Self {
        let state = scratch();
        let store = Store::open(state.path()).unwrap();
        let events = Events::new(store.clone());
        House { state, store, events, metrics: Metrics::default(), serving: None }
    }

    fn serve(&mut self, targets: Vec<NotifyTarget>) {
        let secrets = Secrets::new(Arc::new(Audit::new(self.store.clone())), self.state.path()).unwrap();
        let sender = Sender::new(secrets, "0011".into());
        let usual = Parts::new(self.store.clone(), self.events.clone(), self.metrics.clone(), sender);
        let parts = Parts { pause: Duration::from_millis(20), ..usual };
        let stop = CancellationToken::new();
        self.serving = Some((stop.clone(), tokio::spawn(notify(parts, targets, stop))));
    }

    async fn end(&mut self) {
        let (stop, serving) = self.serving.take().unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    }

    async fn publish(&self, kind: EventType) -> u64 {
        let event =
            NewEvent { at: Timestamp::now(), kind, subject: "integrations/x".into(), data: json!({"name": "x"}) };
        self.events.publish(event).await.unwrap().id
    }

    /// Waits until every target has a cursor, so that what is published now is for all of them.
    async fn begun(&self, targets: &[&str]) {
        self.served(targets, 0).await;
    }

    /// Waits until every target was served up to an event.
    async fn served(&self, targets: &[&str], event: u64) {
        let wait = async {
            for url in targets {
                let hash = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
                let key: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                while self.store.notify_cursor(&key).await.unwrap().is_none_or(|cursor| cursor.event < event) {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("they are served");
    }
}

fn target(url: &str, events: &[&str]) -> NotifyTarget {
    NotifyTarget {
        url: url.to_owned(),
        secret: None,
        events: events.iter().map(|pattern| (*pattern).to_owned()).collect(),
    }
}

#[tokio::test]
async fn what_is_asked_for_arrives_in_order_and_signed() {
    let mut house = House::new();
    let (all, all_url) = Target::start(&[]).await;
    let (some, some_url) = Target::start(&[]).await;
    let secret = house.state.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, private).unwrap();
    let signed = NotifyTarget {
        secret: Some(format!("file://{}", secret.display()).parse().unwrap()),
        ..target(&all_url, &["*"])
    };
    house.publish(EventType::IntegrationUpdated).await;
    house.serve(vec![signed, target(&some_url, &["integration.removed"])]);
    house.begun(&[&all_url, &some_url]).await;
    for kind in [EventType::IntegrationCreated, EventType::IntegrationRemoved, EventType::IntegrationCreated] {
        house.publish(kind).await;
    }
    let came = all.came(3).await;
    let of = |id: &str, word: &str| (id.to_owned(), format!("dev.trueup.integration.{word}"));
    assert_eq!(came, [of("2", "created"), of("3", "removed"), of("4", "created")], "what was before is not told");
    for (headers, body) in &*all.came.lock().unwrap() {
        assert_eq!(headers["content-type"], "application/cloudevents+json");
        assert_eq!(headers[SIGNATURE_HEADER], sign(b"hunter2", body));
    }
    assert_eq!(some.came(1).await, [of("3", "removed")]);
    assert!(!some.came.lock().unwrap()[0].0.contains_key(SIGNATURE_HEADER));
    house.end().await;
    let audit = house.store.audit(10).await.unwrap();
    let line = audit.iter().find(|line| line.entry.operation == "secret resolved").unwrap();
    assert!(line.entry.target.contains("for notifications to 127.0.0.1:"), "{line:?}");
    assert!(!format!("{audit:?}").contains("confidential"), "{audit:?}");
}

#[tokio::test]
async fn a_failure_is_tried_again_a_refusal_is_not_and_neither_holds_up_another() {
    let mut house = House::new();
    let (moody, moody_url) = Target::start(&[503, 500, 200, 404, 200]).await;
    let (calm, calm_url) = Target::start(&[]).await;
    house.serve(vec![target(&moody_url, &["*"]), target(&calm_url, &["*"])]);
    house.begun(&[&moody_url, &calm_url]).await;
    for _ in 0..3 {
        house.publish(EventType::IntegrationUpdated).await;
    }
    assert_eq!(calm.came(3).await.len(), 3);
    let ids: Vec<String> = moody.came(5).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "1", "1", "2", "3"]);
    house.served(&[&moody_url, &calm_url], 3).await;
    house.end().await;
    let text = house.metrics.render();
    for line in ["status=\"success\"} 5", "status=\"transient\"} 2", "status=\"permanent\"} 1"] {
        assert!(text.contains(&format!("notifications_total{{{line}")), "{line}\n{text}");
    }
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_what_cannot_be_signed_is_not_sent() {
    let mut house = House::new();
    let (target_world, url) = Target::start(&[]).await;
    let missing = house.state.path().join("secret");
    let signed =
        NotifyTarget { secret: Some(format!("file://{}", missing.display()).parse().unwrap()), ..target(&url, &["*"]) };
    house.serve(vec![signed.clone()]);
    house.begun(&[&url]).await;
    let waiting = house.publish(EventType::IntegrationCreated).await;
    tokio::time::timeout(PATIENCE, async {
        let failed =
            |line: &trueup::store::records::AuditLine| line.entry.outcome.starts_with("failed:") && line.times >= 2;
        while !house.store.audit(5).await.unwrap().iter().any(failed) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is tried again");
    house.end().await;
    assert_eq!(target_world.came.lock().unwrap().len(), 0, "nothing goes out unsigned");

    std::fs::write(&missing, "hunter2").unwrap();
    std::fs::set_permissions(&missing, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let later = house.publish(EventType::IntegrationRemoved).await;
    house.serve(vec![signed]);
    let ids: Vec<String> = target_world.came(2).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [waiting.to_string(), later.to_string()]);
    house.end().await;
}
