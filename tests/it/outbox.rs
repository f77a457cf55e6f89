//! Does the outbox keep what is to be said, once, and for no longer than it says?

use std::time::Duration;

use jiff::Timestamp;
use trueup::store::records::{NewReport, PostEnd, ReportFilter, ReportState};
use trueup::store::{REPORTS_KEPT, Store};

use crate::world::house::House;

fn new(topic: &str, text: &str, at: Timestamp) -> NewReport {
    NewReport {
        project: "shop".parse().unwrap(),
        environment: None,
        pull: Some(7),
        commit: None,
        kind: "comment".into(),
        topic: topic.into(),
        payload: format!("{text:?}"),
        sha256: text.as_bytes().to_vec(),
        heard_at: None,
        at,
    }
}

async fn states(store: &Store) -> Vec<(u64, ReportState)> {
    let filter = ReportFilter { project: None, state: None, limit: 50 };
    let rows = store.reports(filter).await.unwrap();
    rows.into_iter().rev().map(|row| (row.id, row.state)).collect()
}

fn posted() -> PostEnd {
    PostEnd::Posted { remote_id: Some("42".into()), url: None }
}

#[tokio::test]
async fn the_newest_of_a_topic_waits_and_what_stands_is_not_said_again() {
    let house = House::new("web:\n  image: acme/web:1\n").await;
    let (store, now) = (&house.store, Timestamp::now());
    let one = store.put_report(new("a", "one", now)).await.unwrap().unwrap();
    assert_eq!(store.put_report(new("a", "one", now)).await.unwrap(), Some(one), "the same waits already");
    let two = store.put_report(new("a", "two", now)).await.unwrap().unwrap();
    assert_eq!(states(store).await, [(one, ReportState::Superseded), (two, ReportState::Waiting)]);

    assert!(store.begin_report(two).await.unwrap().is_some());
    assert!(store.begin_report(two).await.unwrap().is_none(), "nobody posts twice at once");
    let three = store.put_report(new("a", "three", now)).await.unwrap().unwrap();
    assert!(store.due_reports(now, 10).await.unwrap().is_empty(), "one after the other on one topic");
    store.end_report(two, PostEnd::Again { due_at: now, error: "503".into() }, now).await.unwrap();
    assert_eq!(store.due_reports(now, 10).await.unwrap()[0].id, three, "newer news take its place");

    assert!(store.begin_report(three).await.unwrap().is_some());
    assert_eq!(store.put_report(new("a", "three", now)).await.unwrap(), None, "it is being said");
    store.end_report(three, posted(), now).await.unwrap();
    assert_eq!(store.put_report(new("a", "three", now)).await.unwrap(), None, "it stands there already");
    let four = store.put_report(new("a", "four", now)).await.unwrap().unwrap();
    let stands = store.begin_report(four).await.unwrap().unwrap().unwrap();
    assert_eq!(stands.remote_id.as_deref(), Some("42"), "it is edited in place");

    // Killed while posting: it waits again, and whether it arrived is looked up.
    store.release_reports(now).await.unwrap();
    assert_eq!(states(store).await.last(), Some(&(four, ReportState::Waiting)));
}

#[tokio::test]
async fn what_is_done_with_goes_and_what_waits_stays() {
    let house = House::new("web:\n  image: acme/web:1\n").await;
    let (store, now) = (&house.store, Timestamp::now());
    let done = store.put_report(new("a", "one", now)).await.unwrap().unwrap();
    store.begin_report(done).await.unwrap();
    store.end_report(done, posted(), now).await.unwrap();
    let waits = store.put_report(new("b", "one", now)).await.unwrap().unwrap();
    let later = now + REPORTS_KEPT;
    assert_eq!(store.sweep(later).await.unwrap().reports, 0, "not yet");
    assert_eq!(store.sweep(later + Duration::from_secs(1)).await.unwrap().reports, 1);
    assert_eq!(states(store).await, [(waits, ReportState::Waiting)]);
}
