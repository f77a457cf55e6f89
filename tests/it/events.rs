//! Are events told in order, once, to whoever listens, however slow or absent they are?

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::json;
use trueup::events::{EventType, Events, ListenError, NewEvent};
use trueup::store::{EVENTS_KEPT, Store};

use crate::world::backend;
use crate::world::door::Door;
use crate::world::house::{House, scratch};

const PATIENCE: Duration = Duration::from_secs(30);

fn event(number: u64) -> NewEvent {
    NewEvent {
        at: Timestamp::now(),
        kind: EventType::IntegrationUpdated,
        subject: format!("integrations/n{number}"),
        data: json!({"name": format!("n{number}")}),
    }
}

#[tokio::test]
async fn a_listener_hears_what_was_and_what_comes_without_gap_or_double() {
    let state = scratch();
    let events = Events::new(Store::open(state.path()).unwrap());
    for number in 1..=3 {
        events.publish(event(number)).await.unwrap();
    }
    let mut listener = events.listen(1);
    let publisher = events.clone();
    let publishing = tokio::spawn(async move {
        for number in 4..=250 {
            publisher.publish(event(number)).await.unwrap();
        }
    });
    let mut heard = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        while heard.len() < 249 {
            let page = listener.next().await.unwrap();
            if page.is_empty() {
                listener.more().await;
            }
            heard.extend(page.into_iter().map(|event| event.id));
        }
    })
    .await
    .unwrap();
    publishing.await.unwrap();
    assert_eq!(heard, (2..=250).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_tail_is_bounded_and_who_is_behind_it_is_told_so() {
    let state = scratch();
    let events = Events::new(Store::open(state.path()).unwrap());
    events.publish(event(0)).await.unwrap();
    let mut sleeper = events.listen(0);
    assert_eq!(sleeper.next().await.unwrap().len(), 1);
    // Nobody waits for the one that does not listen.
    let publishing = futures_util::stream::iter(1..=EVENTS_KEPT + 5).map(|number| events.publish(event(number)));
    publishing.buffer_unordered(64).for_each(|result| async { result.map(drop).unwrap() }).await;
    match sleeper.next().await {
        Err(ListenError::Missed { after, first }) => assert_eq!((after, first), (1, 7)),
        other => panic!("{other:?}"),
    }
    let newcomer = events.before_last(usize::try_from(EVENTS_KEPT).unwrap() + 10).await.unwrap();
    assert_eq!(newcomer, 0, "no more than what is kept");
    assert_eq!(events.listen(newcomer).next().await.unwrap()[0].id, 7);
    assert_eq!(events.before_last(2).await.unwrap(), EVENTS_KEPT + 4);
}

async fn door() -> Option<Door> {
    if !backend::git() {
        return None;
    }
    Some(Door::open(House::new("web:\n  image: acme/web:1\n").await, "no-such-group").await)
}

/// Reads a stream until `count` events with an id came, and gives their ids.
async fn ids(response: reqwest::Response, count: usize) -> Vec<u64> {
    let mut body = response.bytes_stream();
    let mut text = String::new();
    let read = async {
        loop {
            // A line counts once it is whole.
            let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            let ids: Vec<u64> =
                whole.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
            if ids.len() >= count && text.ends_with("\n\n") {
                return ids;
            }
            let chunk = body.next().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap()
}

#[tokio::test]
async fn a_stream_is_resumed_where_it_broke_off() {
    let Some(door) = door().await else { return };
    for number in 1..=5 {
        door.events.publish(event(number)).await.unwrap();
    }
    let url = "http://trueup/api/v1/events";
    let listening = door.raw(|client| client.get(format!("{url}?last=2"))).await;
    assert_eq!(listening.headers()["content-type"], "text/event-stream");
    assert_eq!(ids(listening, 2).await, [4, 5]);
    let resumed = door.raw(|client| client.get(url).header("Last-Event-ID", "3")).await;
    door.events.publish(event(6)).await.unwrap();
    assert_eq!(ids(resumed, 3).await, [4, 5, 6]);

    let (status, text) = door.get("/api/v1/events?after=4&follow=false").await;
    let text = text.as_str().unwrap().to_owned();
    assert_eq!(status.as_u16(), 200);
    assert!(text.starts_with("id: 5\nevent: integration.updated\ndata: {"), "{text}");
    assert_eq!(text.matches("\nid: ").count(), 1, "{text}");
    let wrong = door.raw(|client| client.get(url).header("Last-Event-ID", "yesterday")).await;
    assert_eq!(wrong.status().as_u16(), 400);
    assert_eq!(door.get("/api/v1/events?since=4").await.0.as_u16(), 400);
    // A listener does not keep the daemon from ending.
    let listening = door.raw(|client| client.get(url)).await;
    drop(door.close().await);
    drop(listening);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nobody_up() {
    let Some(door) = door().await else { return };
    let stalled = door.raw(|client| client.get("http://trueup/api/v1/events?after=0")).await;
    let publishing = async {
        for number in 1..=2_000 {
            door.events.publish(event(number)).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, publishing).await.expect("nobody waits for the stalled reader");
    assert_eq!(ids(stalled, 2_000).await, (1..=2_000).collect::<Vec<_>>(), "and it finds all of it");
}
