//! What becomes of a report when the forge fails: the same comment once, in the end, whatever went wrong before.

use std::time::{Duration, Instant};

use trueup::forge::api::{Change, Report, Upserted};
use trueup::forge::{ForgeError, ForgeKind, ForgeSettings, connect};

use crate::forge::{REPOSITORY, comment, worlds};
use crate::world::forge::ForgeWorld;
use crate::world::forge::fault::Fault;

/// Where comments are written.
fn part(kind: ForgeKind) -> &'static str {
    if kind == ForgeKind::Gitlab { "/notes" } else { "/comments" }
}

#[tokio::test]
async fn whatever_fails_there_is_one_comment_in_the_end() {
    let worlds = worlds();
    futures_util::future::join_all(worlds.iter().map(everything_fails)).await;
}

async fn everything_fails(world: &ForgeWorld) {
    let kind = world.kind();
    let forge = world.connect();
    let impatient = ForgeSettings { timeout: Duration::from_secs(4), ..world.settings() };
    let impatient = connect(&impatient, &world.secrets()).unwrap();
    for (name, fault, transient, wait) in [
        ("500", Fault::status(500), true, None),
        ("502", Fault::bad_gateway(), true, None),
        ("429", Fault::too_many(7), true, Some(7)),
        ("secondary", Fault::secondary_limit(), true, Some(60)),
        ("403", Fault::status(403), false, None),
        ("422", Fault::status(422), false, None),
        ("mid-body", Fault::CloseMidBody, true, None),
        ("slow", Fault::Slow(Duration::from_secs(30)), true, None),
        ("lost", Fault::LoseReply, true, None),
    ] {
        world.fault("POST", part(kind), fault);
        let asked = if name == "slow" { &impatient } else { &forge };
        let failed = asked.upsert_comment(&comment(None, name)).await.unwrap_err();
        assert_eq!(failed.is_transient(), transient, "{kind} {name}: {failed}");
        assert_eq!(failed.retry_after(), wait.map(Duration::from_secs), "{kind} {name}: {failed}");
        let report: Report<Upserted> = Err(failed).into();
        assert!(!report.success && report.is_transient == transient && report.error.is_some(), "{kind} {name}");
        let again = forge.upsert_comment(&comment(None, name)).await.unwrap();
        let done_before = matches!(name, "slow" | "lost");
        let expected = if done_before { Change::Unchanged } else { Change::Created };
        assert_eq!(again.change, expected, "{kind} {name}");
        let comments = world.comments(REPOSITORY, 1);
        assert_eq!(comments.len(), 1, "{kind} {name}: one comment");
        assert!(comments[0].body.contains(name), "{kind} {name}");
        world.delete_comment(REPOSITORY, &again.id);
    }
    assert!(world.inner().faults.is_empty(), "{kind}: every fault was met");
}

#[tokio::test]
async fn a_failure_while_looking_for_the_comment_creates_none() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        let made = forge.upsert_comment(&comment(None, "one")).await.unwrap();
        let list = if kind == ForgeKind::BitbucketServer { "/activities" } else { part(kind) };
        for fault in [Fault::status(500), Fault::bad_gateway(), Fault::CloseMidBody, Fault::status(403)] {
            world.fault("GET", list, fault);
            forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        }
        let found = forge.upsert_comment(&comment(None, "two")).await.unwrap();
        assert_eq!((found.change, found.id), (Change::Edited, made.id), "{kind}");
        assert_eq!(world.comments(REPOSITORY, 1).len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_forge_that_is_not_there_and_one_that_hangs_are_transient_and_bounded() {
    for world in worlds() {
        let kind = world.kind();
        let settings = ForgeSettings { timeout: Duration::from_millis(300), ..world.settings() };
        let forge = connect(&settings, &world.secrets()).unwrap();
        world.connect().upsert_comment(&comment(None, "one")).await.unwrap();
        world.fault("PUT", "/", Fault::Slow(Duration::from_secs(30)));
        world.fault("PATCH", "/", Fault::Slow(Duration::from_secs(30)));
        let begun = Instant::now();
        let late = forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        assert!(matches!(late, ForgeError::Transient { .. }), "{kind}: {late}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{kind}");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = format!("http://{closed}").parse().unwrap();
        let forge = connect(&ForgeSettings { endpoint, ..settings }, &world.secrets()).unwrap();
        let refused = forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        assert!(refused.is_transient(), "{kind}: {refused}");
    }
}

#[test]
fn a_report_that_was_skipped_says_so() {
    let report = Report::<Upserted>::skipped_offline();
    assert!(report.skipped_offline && !report.success && !report.is_transient && report.error.is_some());
    let shown = serde_json::to_value(&report).unwrap();
    let keys: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["error", "is_transient", "result", "skipped_offline", "success"]);
}
