//! Is every delivery acted on, in order, together with others that come with it, and never lost or in another's way?

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueup::daemon::{Intake, Moved};
use trueup::events::{EventType, NewEvent};
use trueup::forge::{ForgeKind, Headers};
use trueup::http::webhook::InboxBell;
use trueup::integration::{IntegrationProvider, IntegrationType};
use trueup::metrics::Metrics;
use trueup::reporter::{Nudge, Nudged};
use trueup::store::records::{Accepted, DeliveryFilter, DeliveryState, Integration, NewDelivery};
use trueup::store::{InboxBound, Store};

use crate::store::project;
use crate::world::house::scratch;

const PATIENCE: Duration = Duration::from_secs(30);
const SHA: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

fn integration(name: &str) -> Integration {
    Integration {
        name: name.parse().unwrap(),
        kind: IntegrationType::Scm,
        provider: IntegrationProvider::Forge(ForgeKind::Github),
        endpoint: "https://git.acme.dev".into(),
        auth: None,
        settings: Default::default(),
        owner: String::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}

fn created(name: &str) -> NewEvent {
    let (at, subject) = (Timestamp::now(), format!("integrations/{name}"));
    NewEvent { at, kind: EventType::IntegrationCreated, subject, data: serde_json::json!({}) }
}

/// An inbox and whoever empties it.
struct Desk {
    store: Store,
    bell: Arc<InboxBell>,
    moved: Arc<Mutex<Vec<String>>>,
    nudges: UnboundedReceiver<Nudged>,
    metrics: Metrics,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Desk {
    fn start(store: Store) -> Self {
        let (bell, stop) = (Arc::new(InboxBell::default()), CancellationToken::new());
        let metrics = Metrics::default();
        let moved = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&moved);
        let tell: Moved = Arc::new(move |project| told.lock().unwrap().push(project.to_string()));
        let (nudges, ended) = Intake::start(store.clone(), Arc::clone(&bell), tell, metrics.clone(), stop.clone());
        Desk { store, bell, moved, nudges, metrics, stop, ended }
    }

    async fn over(directory: &Path) -> Self {
        let store = Store::open(directory).unwrap();
        for name in ["forge", "other"] {
            store.add_integration(integration(name), created(name)).await.unwrap();
        }
        for name in ["shop", "blog"] {
            let url = format!("https://git.acme.dev/acme/{name}.git");
            let integration = Some("forge".parse().unwrap());
            store.add_project(trueup::store::records::Project { url, integration, ..project(name) }).await.unwrap();
        }
        Desk::start(store)
    }

    async fn deliver(&self, project: Option<&str>, event: &str, body: &str) -> u64 {
        let id = put(&self.store, project, event, body).await;
        self.bell.ring();
        id
    }

    /// Waits until nothing waits.
    async fn emptied(&self) {
        let waiting = async {
            while self.store.inbox_depth() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the inbox is not emptied");
    }

    async fn nudge(&mut self) -> Nudged {
        tokio::time::timeout(PATIENCE, self.nudges.recv()).await.expect("no nudge").unwrap()
    }

    async fn states(&self) -> Vec<(u64, DeliveryState)> {
        let all = DeliveryFilter { project: None, state: None, before: None, limit: 100_000 };
        self.store.deliveries(all).await.unwrap().into_iter().map(|one| (one.id, one.state)).collect()
    }

    async fn end(self) -> Store {
        self.stop.cancel();
        self.ended.await.unwrap();
        self.store
    }
}

async fn put(store: &Store, project: Option<&str>, event: &str, body: &str) -> u64 {
    // What was sent to no project came through the integration that both projects are reported to.
    let via = if project.is_none() { &["forge"][..] } else { &[] };
    put_via(store, project, via, event, body).await
}

async fn put_via(store: &Store, project: Option<&str>, via: &[&str], event: &str, body: &str) -> u64 {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let new = NewDelivery {
        forge: ForgeKind::Github,
        project: project.map(|project| project.parse().unwrap()),
        via: via.iter().map(|name| name.parse().unwrap()).collect(),
        delivery_id: Some(format!("delivery-{count}")),
        sha256: [0; 32],
        headers: Headers::of([("x-github-event", event.as_bytes())]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::now(),
    };
    match store.accept_delivery(new, InboxBound::default()).await.unwrap() {
        Accepted::New(id) => id,
        other => panic!("{other:?}"),
    }
}

fn push(repository: &str) -> String {
    format!(
        r#"{{"ref":"refs/heads/main","before":"{SHA}","after":"{SHA}","repository":{{"full_name":"acme/{repository}","clone_url":"https://git.acme.dev/acme/{repository}.git"}}}}"#
    )
}

fn pull_request(action: &str, number: u64) -> String {
    let side = format!(r#"{{"ref":"a","sha":"{SHA}","repo":{{"full_name":"acme/shop"}}}}"#);
    format!(
        r#"{{"action":"{action}","pull_request":{{"number":{number},"head":{side},"base":{side}}},"repository":{{"full_name":"acme/shop"}}}}"#
    )
}

fn comment(body: &str, id: u64) -> String {
    format!(
        r#"{{"action":"created","issue":{{"number":7,"pull_request":{{}}}},"comment":{{"id":{id},"body":"{body}"}}}}"#
    )
}

#[tokio::test]
async fn a_hundred_pushes_are_one_look() {
    let directory = scratch();
    let desk = Desk::over(directory.path()).await;
    for _ in 0..100 {
        desk.deliver(Some("shop"), "push", &push("shop")).await;
    }
    desk.deliver(Some("blog"), "push", &push("blog")).await;
    desk.emptied().await;
    let moved = desk.moved.lock().unwrap().clone();
    // On a machine so busy that storing them takes seconds it is one look a second.
    let looks = moved.iter().filter(|project| *project == "shop").count();
    assert!((1..=5).contains(&looks), "{looks}");
    assert!(moved.contains(&"blog".to_owned()));
    assert!(desk.states().await.iter().all(|(_, state)| *state == DeliveryState::Done));
}

#[tokio::test]
async fn what_cannot_be_understood_is_set_aside_and_blocks_nothing() {
    let directory = scratch();
    let desk = Desk::over(directory.path()).await;
    let bad = desk.deliver(Some("shop"), "push", r#"{"ref": 7"#).await;
    let good = desk.deliver(Some("shop"), "push", &push("shop")).await;
    let odd = desk.deliver(Some("shop"), "push", &"[".repeat(100_000)).await;
    desk.emptied().await;
    assert_eq!(
        desk.states().await,
        [(odd, DeliveryState::SetAside), (good, DeliveryState::Done), (bad, DeliveryState::SetAside)]
    );
    let error = desk.store.delivery(bad).await.unwrap().error.unwrap();
    assert!(error.contains("line 1"), "{error}");
    assert_eq!(*desk.moved.lock().unwrap(), ["shop"]);
    // Replayed, it is looked at once more, behind what came later.
    desk.store.replay_delivery(bad).await.unwrap();
    desk.bell.ring_again();
    desk.emptied().await;
    let again = desk.store.delivery(bad).await.unwrap();
    assert_eq!((again.state, again.replays), (DeliveryState::SetAside, 1));
}

#[tokio::test]
async fn requests_and_commands_are_passed_on_and_chatter_is_not() {
    let directory = scratch();
    let mut desk = Desk::over(directory.path()).await;
    for (event, body) in [
        ("pull_request", pull_request("opened", 7)),
        ("pull_request", pull_request("synchronize", 7)),
        ("pull_request", pull_request("opened", 8)),
        ("issue_comment", comment("looks good", 1)),
        ("issue_comment", comment("/trueup plan", 2)),
        ("ping", "{}".to_owned()),
    ] {
        desk.deliver(Some("shop"), event, &body).await;
    }
    let project: trueup::ids::ProjectName = "shop".parse().unwrap();
    let mut heard = std::collections::BTreeSet::new();
    // Each is heard at least once; where they came in one moment, exactly once.
    while heard.len() < 3 {
        let Nudged { nudge, taken } = desk.nudge().await;
        heard.insert(nudge);
        taken.send(()).unwrap();
    }
    let expected = [
        Nudge::PullRequest { project: project.clone(), number: 7 },
        Nudge::PullRequest { project: project.clone(), number: 8 },
        Nudge::Comment { project, number: 7, comment_id: 2 },
    ];
    assert_eq!(heard, expected.into());
    desk.nudges.close();
    desk.emptied().await;
    assert!(desk.moved.lock().unwrap().is_empty(), "no ref moved");
}

#[tokio::test]
async fn a_delivery_waits_until_what_it_asks_for_is_written_down() {
    let directory = scratch();
    let mut desk = Desk::over(directory.path()).await;
    desk.deliver(Some("shop"), "pull_request", &pull_request("opened", 7)).await;
    let first = desk.nudge().await;
    assert_eq!(desk.store.inbox_depth(), 1, "nobody has written it down yet");
    // The process ends here, and another begins.
    let store = desk.end().await;
    drop((first, store));
    let mut desk = Desk::start(Store::open(directory.path()).unwrap());
    let Nudged { nudge, taken } = desk.nudge().await;
    assert_eq!(nudge, Nudge::PullRequest { project: "shop".parse().unwrap(), number: 7 });
    taken.send(()).unwrap();
    desk.emptied().await;
}

#[tokio::test]
async fn what_an_earlier_process_left_is_taken_up() {
    let directory = scratch();
    let store = Desk::over(directory.path()).await.end().await;
    for _ in 0..700 {
        put(&store, Some("shop"), "push", &push("shop")).await;
    }
    drop(store);
    let desk = Desk::start(Store::open(directory.path()).unwrap());
    assert_eq!(desk.store.inbox_depth(), 700);
    desk.emptied().await;
    assert_eq!(desk.states().await.len(), 700, "none is lost");
    assert!(!desk.moved.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_apps_delivery_finds_its_project_by_the_repository() {
    let directory = scratch();
    let desk = Desk::over(directory.path()).await;
    desk.deliver(None, "push", &push("blog")).await;
    let stranger = desk.deliver(None, "push", &push("other")).await;
    desk.emptied().await;
    assert_eq!(*desk.moved.lock().unwrap(), ["blog"]);
    assert_eq!(desk.store.delivery(stranger).await.unwrap().state, DeliveryState::Done, "nobody's, and no fault");

    // Whoever knows another integration's secret moves nothing of this one's projects.
    let foreign = put_via(&desk.store, None, &["other"], "push", &push("shop")).await;
    let nobodys = put_via(&desk.store, None, &[], "push", &push("shop")).await;
    desk.bell.ring();
    desk.emptied().await;
    assert_eq!(*desk.moved.lock().unwrap(), ["blog"]);
    for id in [foreign, nobodys] {
        assert_eq!(desk.store.delivery(id).await.unwrap().state, DeliveryState::Done);
    }
}

#[tokio::test]
async fn a_burst_over_many_projects_loses_none() {
    let directory = scratch();
    let desk = Desk::over(directory.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let (store, bell) = (desk.store.clone(), Arc::clone(&desk.bell));
        tasks.spawn(async move {
            for _ in 0..60 {
                let name = if worker % 2 == 0 { "shop" } else { "blog" };
                put(&store, Some(name), "push", &push(name)).await;
                bell.ring();
            }
        });
    }
    tasks.join_all().await;
    desk.emptied().await;
    let states = desk.states().await;
    assert_eq!(states.len(), 960);
    assert!(states.iter().all(|(_, state)| *state == DeliveryState::Done));
}

#[tokio::test]
async fn old_deliveries_are_let_go_of_and_waiting_ones_never() {
    let directory = scratch();
    let store = Store::open(directory.path()).unwrap();
    store.add_project(project("shop")).await.unwrap();
    let (old, waiting) = (put(&store, Some("shop"), "push", "{}").await, put(&store, Some("shop"), "push", "{}").await);
    store.settle_deliveries(vec![(old, Ok(()))], Timestamp::now()).await.unwrap();
    let later = Timestamp::now() + trueup::store::DELIVERIES_KEPT + jiff::SignedDuration::from_secs(60);
    assert_eq!(store.sweep_deliveries(Timestamp::now()).await.unwrap(), 0);
    assert_eq!(store.sweep_deliveries(later).await.unwrap(), 1);
    assert!(store.delivery(old).await.is_err() && store.delivery_body(old).await.is_err());
    assert_eq!(store.delivery_body(waiting).await.unwrap(), b"{}");
}

#[tokio::test]
async fn a_comment_of_ours_that_is_gone_has_its_request_looked_at_and_others_do_not() {
    let directory = scratch();
    let mut desk = Desk::over(directory.path()).await;
    let deleted = |body: &str| comment(body, 5).replace("created", "deleted");
    desk.deliver(Some("shop"), "issue_comment", &deleted("what someone wrote")).await;
    desk.emptied().await;
    desk.deliver(Some("shop"), "issue_comment", &deleted("<!-- trueup:0011:shop -->")).await;
    let Nudged { nudge, taken } = desk.nudge().await;
    assert_eq!(nudge, Nudge::PullRequest { project: "shop".parse().unwrap(), number: 7 });
    taken.send(()).unwrap();
    desk.emptied().await;
}

#[tokio::test]
async fn what_became_of_deliveries_is_counted_and_whose_were_heard_is_noted() {
    let directory = scratch();
    let desk = Desk::over(directory.path()).await;
    desk.deliver(Some("shop"), "push", &push("shop")).await;
    desk.deliver(Some("blog"), "ping", "{}").await;
    desk.deliver(Some("blog"), "push", "no JSON").await;
    desk.emptied().await;
    let text = desk.metrics.render();
    let counted = |outcome: &str, count: u64| {
        let line = format!("deliveries_total{{forge=\"github\",outcome=\"{outcome}\"}} {count}");
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    };
    counted("set_aside", 1);
    counted("processed", 2);
    let heard = desk.store.heard_since(Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(heard, ["shop".parse().unwrap()].into(), "a ping tells of no move");
}
