//! Is every integration looked at by itself, at its time, and does none that hangs hold up another?

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use trueup::events::{Event, Events, Listener};
use trueup::integration::{
    Asker, Catalog, Connect, Examination, Integration, IntegrationProvider, IntegrationType, Pace, Parts, watch,
};
use trueup::metrics::Metrics;
use trueup::store::Store;
use trueup::store::records::{Integration as Registered, IntegrationHealth};

use crate::world::house::scratch;

const PATIENCE: Duration = Duration::from_secs(30);

/// As healthy as the owner's name says; `nobody` never answers.
struct ByOwner;

struct Owned(String);

#[async_trait]
impl Integration for Owned {
    async fn test_connection(&self) -> Examination {
        match self.0.as_str() {
            "nobody" => std::future::pending().await,
            "ill" => Examination::default().error("it is ill", None),
            _ => Examination::default().ok("it is well"),
        }
    }
}

impl Connect for ByOwner {
    fn connect(&self, registered: &Registered, _: &Asker<'_>) -> Result<Arc<dyn Integration>, String> {
        match registered.owner.as_str() {
            "unspeakable" => Err("nobody knows how to speak to it".into()),
            owner => Ok(Arc::new(Owned(owner.to_owned()))),
        }
    }
}

fn registered(name: &str, owner: &str) -> Registered {
    let now = Timestamp::now();
    Registered {
        name: name.parse().unwrap(),
        kind: IntegrationType::Registry,
        provider: IntegrationProvider::Memory,
        endpoint: "memory:".into(),
        auth: None,
        settings: Default::default(),
        owner: owner.into(),
        created_at: now,
        updated_at: now,
    }
}

async fn next(listener: &mut Listener, waiting: &mut Vec<Event>) -> Event {
    let heard = async {
        while waiting.is_empty() {
            *waiting = listener.next().await.unwrap();
            if waiting.is_empty() {
                listener.more().await;
            }
        }
        waiting.remove(0)
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("an event comes")
}

#[tokio::test]
async fn each_is_looked_at_and_changes_are_told() {
    let state = scratch();
    let store = Store::open(state.path()).unwrap();
    let events = Events::new(store.clone());
    let catalog = Catalog::new(Parts {
        store: store.clone(),
        events: events.clone(),
        metrics: Metrics::default(),
        connect: Arc::new(ByOwner),
        limit: Duration::from_millis(300),
    });
    // More that hang than are looked at at once.
    for number in 0..10 {
        catalog.add(registered(&format!("hangs-{number}"), "nobody")).await.unwrap();
    }
    let stop = CancellationToken::new();
    let pace = Pace { interval: Duration::from_millis(50), jitter: Duration::from_millis(10) };
    let watching = tokio::spawn(watch(catalog.clone(), pace, stop.clone()));
    let mut listener = events.listen(events.before_last(0).await.unwrap());
    let mut waiting = Vec::new();

    catalog.add(registered("web", "someone")).await.unwrap();
    let mut mine = async |wanted: &str| loop {
        let event = next(&mut listener, &mut waiting).await;
        if event.subject == "integrations/web" && event.kind.word() == "integration.health_changed" {
            assert_eq!(event.data["health"], wanted, "{event:?}");
            return event;
        }
    };
    mine("healthy").await;
    let name = "web".parse().unwrap();
    let give_to = async |owner: &str| {
        let before = store.integration(&name).await.unwrap().unwrap();
        let after = Registered { owner: owner.into(), ..before.clone() };
        catalog.update(before, after).await.unwrap();
    };
    give_to("ill").await;
    let event = mine("unhealthy").await;
    assert_eq!((&event.data["before"], &event.data["reason"]), (&"healthy".into(), &"it is ill".into()));
    give_to("unspeakable").await;
    // Still unhealthy: no event, but another reason.
    tokio::time::timeout(PATIENCE, async {
        loop {
            let standing = store.integration_standing(&name).await.unwrap().unwrap();
            if standing.reason.as_deref() == Some("nobody knows how to speak to it") {
                assert_eq!(standing.since, event.at, "it has been so since");
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    give_to("someone").await;
    mine("healthy").await;
    let hanging = store.integration_standing(&"hangs-3".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(hanging.health, IntegrationHealth::Unhealthy);
    assert!(hanging.reason.unwrap().contains("did not answer within"));

    let stale = registered("web", "someone");
    let lost = catalog.update(stale.clone(), Registered { owner: "other".into(), ..stale }).await.unwrap_err();
    assert!(lost.to_string().contains("was changed meanwhile"), "{lost}");
    catalog.remove(&registered("web", "someone"), Timestamp::now()).await.unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert_eq!(store.integration_standing(&name).await.unwrap(), None);
}
