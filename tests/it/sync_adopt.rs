//! Does a sync with nothing to do keep to the rules of any sync when it brings base up to date?

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use trueup::live::field::FieldPath;
use trueup::live::quantity::Bytes;
use trueup::live::value::Value;
use trueup::plan::{Plan, PlanOptions};
use trueup::provider::StepError;
use trueup::store::StoreError;
use trueup::store::records::RunState;
use trueup::sync::Started;
use trueup::sync::gate::Refusal;
use trueup::sync::journal::{Boundary, Step};

use crate::world::backend;
use crate::world::house::House;

const LIMIT: Duration = Duration::from_secs(30);

fn services(api_memory: &str, web: u32) -> String {
    format!("api:\n  image: acme/api:1\n  resources: {{memory_limit: {api_memory}}}\nweb:\n  image: acme/web:{web}\n")
}

async fn only(house: &House, service: &str) -> Plan {
    let services = Some([service.parse().unwrap()].into());
    house.plan_with(PlanOptions { services, ..PlanOptions::default() }).await
}

/// A house in which `api` is as declared, though its record says otherwise, and `web` is to be replaced.
async fn to_adopt() -> House {
    let house = House::new(&services("256Mi", 1)).await;
    house.sync().await;
    let limit = Value::Memory(Bytes(300 << 20));
    house.runtime.by_hand("api", |replica| drop(replica.leaves.insert(FieldPath::MemoryLimit, limit.clone())));
    house.declare(&services("300Mi", 2));
    house
}

/// Stops a run at its first boundary until it is let go.
struct Hold {
    reached: mpsc::Sender<()>,
    go: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Boundary for Hold {
    fn reached(&self, _step: &Step, _done: bool) {
        if let Some(go) = self.go.lock().unwrap().take() {
            self.reached.send(()).unwrap();
            go.recv_timeout(LIMIT).expect("the run is let go");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn base_is_not_brought_up_to_date_beside_a_run() {
    if !backend::git() {
        return;
    }
    let house = to_adopt().await;
    let (reached, at_work) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let house = house.watched(Arc::new(Hold { reached, go: Mutex::new(Some(go)) }));
    let (api, web) = (only(&house, "api").await, only(&house, "web").await);
    assert!(api.actions.is_empty(), "{api:#?}");
    let Started::Run(run) = house.start(&web).await.unwrap() else { panic!("web differs") };
    at_work.recv_timeout(LIMIT).expect("the run begins");
    let base = house.store.base(&house.id).await.unwrap();
    let refused = house.start(&api).await;
    assert!(matches!(&refused, Err(Refusal::Busy(id)) if *id == house.id), "{refused:?}");
    assert_eq!(house.store.base(&house.id).await.unwrap(), base, "base moved without the lock");
    let_go.send(()).unwrap();
    assert_eq!(house.ended(run).await.state, RunState::Succeeded);
    let adopted = vec!["api".parse().unwrap()];
    assert_eq!(house.start(&api).await.unwrap(), Started::NothingToDo(adopted), "once it is over, it is");
}

#[tokio::test]
async fn base_is_not_brought_up_to_date_while_a_run_is_unsettled() {
    if !backend::git() {
        return;
    }
    let house = to_adopt().await;
    let (api, web) = (only(&house, "api").await, only(&house, "web").await);
    house.runtime.fail_next("start", StepError::Unreachable("connection reset".into()));
    let run = house.carry_out(&web).await;
    assert_eq!(run.state, RunState::Running, "a parked run is unfinished");
    let refused = house.start(&api).await;
    let Err(Refusal::Store(StoreError::Conflict(why))) = &refused else { panic!("{refused:?}") };
    assert!(why.contains(&format!("`trueup show {}`", run.id)), "{why}");
    assert!(house.syncs.settle().await.unwrap().is_empty());
    assert!(matches!(house.start(&api).await.unwrap(), Started::NothingToDo(adopted) if adopted.len() == 1));
}

#[tokio::test]
async fn base_is_not_brought_up_to_date_by_a_plan_that_has_moved() {
    if !backend::git() {
        return;
    }
    let house = to_adopt().await;
    let api = only(&house, "api").await;
    let base = house.store.base(&house.id).await.unwrap();
    house.runtime.by_hand("api", |replica| replica.running = false);
    let refused = house.start(&api).await;
    assert!(matches!(refused, Err(Refusal::Moved { .. })), "{refused:?}");
    assert_eq!(house.store.base(&house.id).await.unwrap(), base);
}
