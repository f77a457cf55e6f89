//! Does the store lose nothing that it acknowledged, whatever happens to its process, its file and its disk?

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use trueup::store::records::RegisteredService;
use trueup::store::{Store, StoreError};

use crate::store::{at, filled, shop, start, web};

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let clone = store.clone();
    assert!(matches!(Store::open(directory.path()), Err(StoreError::InUse { .. })));
    drop(store);
    assert!(matches!(Store::open(directory.path()), Err(StoreError::InUse { .. })));
    drop(clone);
    assert_eq!(Store::open(directory.path()).unwrap().projects().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path()).await);
    let file = directory.path().join("trueup.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 4711).unwrap();
    let before = std::fs::read(&file).unwrap();
    let refused = Store::open(directory.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 4711, .. }), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_a_remedy_and_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path()).await);
    let file = directory.path().join("trueup.db");
    let whole = std::fs::read(&file).unwrap();
    let mut inner = whole.clone();
    inner[4096 * 3..4096 * 4].fill(0x5a);
    for damaged in [b"this is no database, but long enough to have a header of 100 bytes".repeat(4), inner] {
        std::fs::write(&file, &damaged).unwrap();
        let refused = Store::open(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains("backup") && text.contains("trueup.db"), "{text}");
        assert_eq!(std::fs::read(&file).unwrap(), damaged);
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(Store::open(directory.path()).unwrap().projects().await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_room_is_an_error_that_loses_nothing() {
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path()).await);
    let store = Store::open_bounded(directory.path(), 400 << 10).unwrap();
    let big = |n: usize| RegisteredService {
        environment: shop(),
        name: format!("s{n}").parse().unwrap(),
        spec: serde_json::json!({"image": "x".repeat(32 << 10)}),
    };
    // Sent at once, so that some share a transaction with the one that finds no room.
    let results = futures_util::future::join_all((0..40).map(|n| store.put_service(big(n)))).await;
    assert!(results.iter().any(|result| matches!(result, Err(StoreError::Full(_)))));
    let written = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(store.services(&shop()).await.unwrap().len(), written, "what was acknowledged is there, and only that");
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.services(&shop()).await.unwrap().len(), written);
    store.put_service(big(99)).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    // A copy of the files as they are while the store is open is what a killed process leaves behind.
    let (directory, left) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = filled(directory.path()).await;
    let run = store.begin_run(start("a", 1)).await.unwrap();
    store.journal_intent(run, Some(&web()), serde_json::json!("stop"), at(2)).await.unwrap();
    for name in ["trueup.db", "trueup.db-wal"] {
        std::fs::copy(directory.path().join(name), left.path().join(name)).unwrap();
    }
    let found = Store::open(left.path()).unwrap();
    assert_eq!(found.unfinished_runs().await.unwrap()[0].id, run);
    assert_eq!(found.journal(run).await.unwrap()[0].outcome, None);
}

#[tokio::test]
async fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let state = directory.path().join("state");
    let _store = filled(&state).await;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["trueup.db", "trueup.db-wal", "trueup.lock"] {
        let mode = std::fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

/// A process that is killed while it writes: everything that it was told is stored, is. It is this program, run again.
#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_to_kill_9() {
    use std::io::{BufRead, BufReader};
    let directory = TempDir::new().unwrap();
    drop(filled(directory.path()).await);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_faults::the_writer_that_is_killed", "--nocapture"])
        .env("TRUEUP_TEST_STATE", directory.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0_usize;
    while acknowledged < 200 {
        let line = lines.next().unwrap().unwrap();
        if let Some(number) = line.strip_prefix("stored ") {
            acknowledged = number.parse().unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("stored ") {
            acknowledged = number.parse().unwrap();
        }
    }
    let store = Store::open(directory.path()).unwrap();
    let run = store.unfinished_runs().await.unwrap()[0].id;
    let journal = store.journal(run).await.unwrap();
    assert!(journal.len() >= acknowledged, "{} of {acknowledged} steps are there", journal.len());
    assert!(journal.iter().all(|step| step.outcome.is_none()));
}

/// What the test above kills; by itself it does nothing.
#[tokio::test]
async fn the_writer_that_is_killed() {
    let Some(directory) = std::env::var_os("TRUEUP_TEST_STATE") else { return };
    let store = Store::open(Path::new(&directory)).unwrap();
    let run = store.begin_run(start("a", 1)).await.unwrap();
    for number in 1..1_000_000 {
        store.journal_intent(run, Some(&web()), serde_json::json!({"step": number}), at(number)).await.unwrap();
        println!("stored {number}");
    }
}
