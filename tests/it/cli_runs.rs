//! What does a user see of a run that fails, whose daemon dies, or whose daemon is asked to end?

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use crate::cli_daemon::{FILE, commit, ready};
use crate::world::installation::{Installation, until};

const CHECK: &str = "{ path: /healthz, interval: 200ms, timeout: 2s }";

/// A commit whose service is healthy once a file is there, and that file.
fn gated(shop: &Installation, text: &str) -> PathBuf {
    let gate = shop.folder().join("gate");
    let check =
        format!("{{ command: [test, -e, {}], interval: 200ms, timeout: 2s, unhealthy_threshold: 40 }}", gate.display());
    commit(shop, &text.replace(CHECK, &check));
    gate
}

/// A sync in the foreground that has come to its gate.
fn at_the_gate(shop: &Installation) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let mut sync =
        shop.command(&["sync", "shop/demo", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(sync.stdout.take().unwrap()).lines();
    let reached = lines.any(|line| line.unwrap().contains("to be healthy"));
    assert!(reached, "it never waited: {}", shop.log());
    (sync, lines)
}

#[test]
fn a_daemon_that_is_killed_in_mid_run_settles_it_when_it_is_back() {
    let mut shop = ready();
    let gate = gated(&shop, FILE);
    let (mut sync, lines) = at_the_gate(&shop);
    shop.kill_daemon();
    shop.start_daemon();
    until("the run is settled", || shop.say(&["show", "1", "--json"]).out.contains("\"failed\""));
    let shown = shop.expect(1, &["show", "1"]);
    assert!(shown.contains("interrupted"), "{shown}");
    // Whoever followed it waited for the daemon, and is told how it ended.
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut err = String::new();
    sync.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(sync.wait().unwrap().code(), Some(1), "{rest:?}\n{err}");
    assert!(err.contains("the daemon went away; waiting for it to come back"), "{err}");
    assert!(rest.last().unwrap().starts_with("Run 1 failed: interrupted"), "{rest:?}");
    // Nothing of it is left behind, and the next sync does it.
    std::fs::write(&gate, "").unwrap();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 0);
}

#[test]
fn a_daemon_that_is_asked_to_end_finishes_its_run_first() {
    let mut shop = ready();
    let gate = gated(&shop, FILE);
    shop.expect(0, &["sync", "shop/demo", "--yes", "--detach"]);
    until("it waits at its gate", || shop.say(&["logs", "1"]).out.contains("to be healthy"));
    let mut daemon = shop.ask_daemon_to_end();
    until("it takes no new work", || shop.log().contains("no new work is taken"));
    assert_eq!(daemon.try_wait().unwrap(), None, "it ended without its run");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "{}", shop.log());
    shop.start_daemon();
    let shown = shop.expect(0, &["show", "1", "--json"]);
    assert!(shown.contains("\"succeeded\""), "{shown}");
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 0);
}

#[test]
fn a_run_that_fails_says_why_and_exits_with_1() {
    let shop = ready();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    let ill = "{ command: [sh, -c, \"echo not well; exit 3\"], interval: 200ms, timeout: 2s, unhealthy_threshold: 2 }";
    commit(&shop, &FILE.replace("hello", "bonjour").replace(CHECK, ill));
    let said = shop.say(&["sync", "shop/demo", "--yes"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    insta::assert_snapshot!("sync_failed", shop.settled(&said.out));
    // What ran before runs, and the release before it can be named.
    commit(&shop, &FILE.replace("hello", "hallo"));
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    let back = shop.expect(0, &["rollback", "shop/demo", "--to", "1", "--yes"]);
    assert!(back.contains("Run 4 succeeded") && back.contains("\"hello\""), "{back}");
}
