//! Where no webhook reaches the daemon, does polling do the same job, and where one does, does nobody poll?

use std::time::Duration;

use trueup::forge::ForgeKind;

use crate::world::office::{Office, REPOSITORY, project, until, web};

const SOON: Duration = Duration::from_millis(200);

async fn polling(kind: ForgeKind) -> Office {
    let mut office = Office::open(kind, false).await;
    office.kill().await;
    office.poll = Some(SOON);
    office
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_noticed_by_asking() {
    for kind in ForgeKind::ALL {
        let mut office = polling(kind).await;
        office.begin().await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        until("it is reported on", async || !office.comments(number).is_empty()).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
        until("the push is noticed", async || office.comments(number)[0].body.contains("trace")).await;
        assert_eq!(office.comments(number).len(), 1, "{kind}");
    }
}

/// A secret that is registered says nothing of whether deliveries come; deliveries that come do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_is_not_polled_and_a_webhook_that_never_delivers_is() {
    let mut office = polling(ForgeKind::Gitea).await;
    let store = office.house.store.clone();
    let mut shop = store.project(&project()).await.unwrap().unwrap();
    shop.webhook_secret = Some("env://SHOP_HOOK".parse().unwrap());
    store.update_project(shop).await.unwrap();
    store.hear_of(&project(), jiff::Timestamp::now()).await.unwrap();
    office.begin().await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    drop(office.world.seen());
    tokio::time::sleep(SOON * 5).await;
    assert_eq!(office.world.lines(), Vec::<String>::new(), "it is told of what moves");

    // A day without a delivery.
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(25);
    store.hear_of(&project(), yesterday).await.unwrap();
    until("it is reported on", async || !office.comments(number).is_empty()).await;
}
