//! Is what a plan says of a withdrawn leaf what a sync then does?

use trueup::live::capability::ChangeKind;
use trueup::live::field::FieldPath;
use trueup::store::records::RunState;

use crate::world::backend;
use crate::world::house::House;

const WEB: &str = "web:\n  image: acme/web:1\n  env: {LOG_LEVEL: info}\n";

#[tokio::test]
async fn a_withdrawn_count_of_replicas_returns_to_one() {
    if !backend::git() {
        return;
    }
    let house = House::new(&format!("{WEB}  replicas: 3\n")).await;
    house.sync().await;
    assert_eq!(house.runtime.running("web").len(), 3);
    house.declare(WEB);
    let plan = house.plan().await;
    let [change] = plan.actions[0].changes.as_slice() else { panic!("{plan:#?}") };
    assert_eq!((&change.field, change.kind), (&FieldPath::Replicas, ChangeKind::Withdraw));
    assert_eq!(change.note.as_deref(), Some("returns to 1"));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.running("web").len(), 1);
    assert!(house.plan().await.is_empty());
}
