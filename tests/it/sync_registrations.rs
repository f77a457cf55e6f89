//! Does a run that was begun end well whatever is registered meanwhile?

use std::sync::Arc;

use trueup::store::StoreError;
use trueup::store::records::{Environment, Project, RunState};
use trueup::sync::Syncs;
use trueup::sync::journal::{Boundary, Step};

use crate::world::backend;
use crate::world::house::House;

const WEB: &str = "web:\n  image: acme/web:1\n";

/// Switches the project off at every boundary.
struct SwitchOff(House);

impl Boundary for SwitchOff {
    fn reached(&self, _step: &Step, _done: bool) {
        let (store, name) = (self.0.store.clone(), self.0.id.project.clone());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let project = store.project(&name).await.unwrap().unwrap();
                store.update_project(Project { disabled: true, ..project }).await.unwrap();
            });
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_switched_off_in_mid_run() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let plan = house.plan().await;
    let syncs = house.syncs.clone();
    let (store, id, runtime) = (house.store.clone(), house.id.clone(), house.runtime.clone());
    let syncs = syncs.with_boundary(Arc::new(SwitchOff(house)));
    let run = started(&syncs, &id, plan.digest.as_str()).await;
    syncs.drain(std::time::Duration::from_secs(60)).await;
    let run = store.run(run).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(runtime.running("web").len(), 1);
    assert_eq!(store.base(&id).await.unwrap().services.len(), 1);
}

async fn started(syncs: &Syncs, id: &trueup::ids::EnvironmentRef, digest: &str) -> trueup::ids::RunId {
    match syncs.start(crate::world::house::operator(), id, digest).await.unwrap() {
        trueup::sync::Started::Run(run) => run,
        trueup::sync::Started::NothingToDo(_) => panic!("there was nothing to do"),
    }
}

/// Ends the work at the first boundary, as a crash does.
struct Crash;

impl Boundary for Crash {
    fn reached(&self, step: &Step, _done: bool) {
        std::panic::resume_unwind(Box::new(format!("crashed at {step:?}")));
    }
}

#[tokio::test]
async fn what_an_unfinished_run_works_with_stays_and_it_is_settled_although_the_project_is_off() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await.watched(Arc::new(Crash));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Running);
    let store = &house.store;

    let changed = async |change: &dyn Fn(&mut Environment)| {
        let before = store.environment(&house.id).await.unwrap().unwrap();
        let mut after = before.clone();
        change(&mut after);
        store.update_environment(before, after).await
    };
    let refused = |result: Result<(), StoreError>| {
        assert!(matches!(&result, Err(StoreError::Conflict(why)) if why.contains("run 1")), "{result:?}");
    };
    refused(changed(&|one| drop(one.settings.insert("host".into(), "tcp://elsewhere".into()))).await);
    refused(changed(&|one| drop(one.secrets.insert("a".parse().unwrap(), "env://A".parse().unwrap()))).await);
    refused(changed(&|one| one.run_as = Some("shop".into())).await);
    changed(&|one| one.tracked = Some("main".into())).await.unwrap();
    let project = store.project(&house.id.project).await.unwrap().unwrap();
    let elsewhere = Project { url: "/srv/elsewhere".into(), ..project.clone() };
    refused(store.update_project(elsewhere).await);
    store.update_project(Project { disabled: true, ..project }).await.unwrap();

    let next = Syncs::new(house.store.clone(), house.passes.clone());
    assert_eq!(next.settle().await.unwrap(), [], "the run is not settled");
    assert_ne!(store.run(run.id).await.unwrap().unwrap().state, RunState::Running);
    changed(&|one| one.run_as = Some("shop".into())).await.unwrap();
}
