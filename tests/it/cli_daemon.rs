//! Does the command line do, against a real daemon, what a user would expect, and say so?

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use jiff::Timestamp;

use crate::world::installation::{Installation, TRUEUP, until};

pub const FILE: &str = r#"version: 1
environments:
  demo:
    services:
      web:
        command: ["{{ .Env.Trueup }}", sample-server]
        env: { GREETING: hello }
        healthcheck: { path: /healthz, interval: 200ms, timeout: 2s }
        resources: { memory_limit: 1Gi }
        stop_grace_period: 2s
"#;

pub fn commit(installation: &Installation, file: &str) {
    installation.repository.commit(&[(".trueup.yml", file)], "Declare", Timestamp::now()).unwrap();
}

/// An installation with a project, an environment and a first commit.
pub fn ready() -> Installation {
    let installation = Installation::new();
    commit(&installation, FILE);
    installation.expect(0, &["project", "add", "shop", installation.repository.path().to_str().unwrap()]);
    let value = format!("Trueup={TRUEUP}");
    let add = ["env", "add", "shop/demo", "--provider", "local", "--set", "allow_own_user=true", "--value", &value];
    installation.expect(0, &add);
    installation
}

#[test]
fn from_a_commit_to_what_runs_and_back() {
    let shop = ready();
    let snapshot = |name: &str, text: &str| insta::assert_snapshot!(name, shop.settled(text));

    snapshot("project_list", &shop.expect(0, &["project", "list"]));
    snapshot("plan_new", &shop.expect(2, &["plan", "shop/demo"]));
    snapshot("sync_first", &shop.expect(0, &["sync", "shop/demo", "--yes"]));
    snapshot("sync_again", &shop.expect(0, &["sync", "shop/demo", "--yes"]));
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 0);
    until("the service is seen to be healthy", || shop.say(&["status", "shop/demo"]).out.contains("in sync  healthy"));

    commit(&shop, &FILE.replace("hello", "good morning"));
    snapshot("plan_repo", &shop.expect(2, &["plan", "shop/demo"]));
    snapshot("why_repo", &shop.expect(2, &["why", "shop/demo/web.env.GREETING"]));
    snapshot("why_in_sync", &shop.expect(0, &["why", "shop/demo/web.resources.memory_limit"]));
    assert_eq!(shop.say(&["refresh", "shop/demo"]).code, 2);
    assert_eq!(shop.say(&["status"]).code, 2);
    snapshot("sync_second", &shop.expect(0, &["sync", "shop/demo", "--yes"]));
    snapshot("history", &shop.expect(0, &["history", "shop/demo"]));
    snapshot("show_run", &shop.expect(0, &["show", "2"]));

    // Options that the plan back was not made with are not passed over.
    let said = shop.say(&["rollback", "shop/demo"]);
    let digest = said.err.split("--plan ").nth(1).unwrap_or_default().get(..12).unwrap_or_default();
    for (options, expected) in [(["--to", "2"], "not to run 2"), (["--service", "web"], "another choice of services")] {
        let said = shop.say(&[&["rollback", "shop/demo", "--plan", digest], &options[..]].concat());
        assert!(said.code == 1 && said.err.contains(expected), "{options:?}: {}{}", said.out, said.err);
    }
    snapshot("rollback", &shop.expect(0, &["rollback", "shop/demo", "--yes"]));
    let after = shop.expect(2, &["plan", "shop/demo"]);
    assert!(after.contains("repo"), "the tip is drift with cause repo after a rollback:\n{after}");
    assert!(shop.expect(0, &["logs", "1"]).contains("verified"));
    shop.expect(0, &["logs", "shop/demo/web"]);
}

#[test]
fn what_is_confirmed_is_the_digest() {
    let shop = ready();
    let plan: serde_json::Value = serde_json::from_str(&shop.expect(2, &["plan", "shop/demo", "--json"])).unwrap();
    let digest = plan["digest"].as_str().unwrap().to_owned();

    // Nobody can be asked: nothing happens.
    let said = shop.say(&["sync", "shop/demo"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("nobody can be asked") && said.err.contains(&digest[..12]), "{}", said.err);
    assert!(shop.expect(0, &["history", "shop/demo"]).contains("Nothing was ever synced"));

    // What it rests on moves: it is refused, with what moved, and still nothing happens.
    commit(&shop, &FILE.replace("hello", "good morning"));
    let said = shop.say(&["sync", "shop/demo", "--plan", &digest[..12]]);
    assert_eq!(said.code, 1, "{}", said.out);
    insta::assert_snapshot!("sync_moved", shop.settled(&said.err));
    assert!(shop.expect(0, &["history", "shop/demo"]).contains("Nothing was ever synced"));

    // Options that the plan was not made with are not passed over.
    let plan: serde_json::Value = serde_json::from_str(&shop.expect(2, &["plan", "shop/demo", "--json"])).unwrap();
    let digest = plan["digest"].as_str().unwrap();
    for options in [&["--prune"][..], &["--service", "web"], &["--ref", "other"]] {
        let said = shop.say(&[&["sync", "shop/demo", "--plan", digest], options].concat());
        assert!(said.code == 1 && said.err.contains("was made with another"), "{options:?}: {}{}", said.out, said.err);
    }
    assert!(shop.expect(0, &["history", "shop/demo"]).contains("Nothing was ever synced"));

    // The plan of now, by prefix, is carried out; detached it does not wait.
    let out = shop.expect(0, &["sync", "shop/demo", "--plan", &digest[..8], "--detach"]);
    assert!(out.contains("trueup show 1"), "{out}");
    until("the run ends", || shop.say(&["show", "1", "--json"]).out.contains("\"succeeded\""));
    let shown = shop.expect(0, &["show", &digest[..12]]);
    assert!(shown.contains("web will be created"), "{shown}");
}

#[test]
fn ctrl_c_detaches_and_the_run_goes_on() {
    let shop = ready();
    // A health check that passes only after a while keeps the run going until it was interrupted.
    let gate = shop.folder().join("gate");
    let slow = FILE.replace(
        "{ path: /healthz, interval: 200ms, timeout: 2s }",
        &format!(
            "{{ command: [test, -e, {}], interval: 200ms, timeout: 2s, unhealthy_threshold: 100 }}",
            gate.display()
        ),
    );
    commit(&shop, &slow);
    let mut sync =
        shop.command(&["sync", "shop/demo", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(sync.stdout.take().unwrap()).lines();
    if !lines.any(|line| line.unwrap().contains("to be healthy")) {
        let output = sync.wait_with_output().unwrap();
        panic!("it never waited: {}\n{}", String::from_utf8_lossy(&output.stderr), shop.log());
    }
    let pid = rustix::process::Pid::from_raw(sync.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = sync.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("The run goes on; `trueup show 1` shows it."), "{err}");
    std::fs::write(&gate, "").unwrap();
    until("the run ends well", || shop.say(&["show", "1", "--json"]).out.contains("\"succeeded\""));
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let shop = ready();
    for (arguments, expected) in [
        (&["plan", "shpo/demo"][..], "did you mean `shop`?"),
        (&["plan", "shop/deom"], "did you mean `shop/demo`?"),
        (&["sync", "shop/deom", "--yes"], "did you mean `shop/demo`?"),
        (&["history", "shop/production"], "its environments are: demo"),
        (&["status", "shpo"], "did you mean `shop`?"),
        (&["status", "shop/deom"], "did you mean `shop/demo`?"),
        (&["project", "show", "shpo"], "did you mean `shop`?"),
        (&["env", "show", "billing/demo"], "the registered projects are: shop"),
        (&["env", "add", "shpo/demo", "--provider", "docker"], "did you mean `shop`?"),
        (&["show", "99"], "there is no run 99"),
    ] {
        let said = shop.say(arguments);
        assert_eq!(said.code, 1, "{arguments:?}");
        assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn every_reading_verb_speaks_json() {
    let shop = ready();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    for (arguments, pointer) in [
        (&["status"][..], "/0/environment/project"),
        (&["plan", "shop/demo"], "/digest"),
        (&["history", "shop/demo"], "/0/state"),
        (&["show", "1"], "/run/id"),
        (&["why", "shop/demo/web.env.GREETING"], "/declared/value"),
        (&["project", "list"], "/0/name"),
        (&["project", "show", "shop"], "/url"),
        (&["env", "list"], "/0/provider"),
        (&["env", "show", "shop/demo"], "/settings/allow_own_user"),
        (&["env", "test", "shop/demo"], "/ok"),
        (&["service", "list", "shop/demo"], ""),
        (&["token", "list"], ""),
        (&["refresh", "shop/demo"], "/0/sync"),
        (&["refresh"], "/environments"),
        (&["doctor"], "/0/title"),
    ] {
        let said = shop.say(&[arguments, &["--json"]].concat());
        let value: serde_json::Value = serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}{}", said.out, said.err));
        assert!(value.pointer(pointer).is_some(), "{arguments:?} has no {pointer}: {value:#}");
    }
    // What goes on is one object a line.
    for arguments in [&["logs", "1"][..], &["logs", "1", "--follow"], &["logs", "shop/demo/web"]] {
        let said = shop.expect(0, &[arguments, &["--json"]].concat());
        let texts: Vec<String> = said
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
            .collect();
        assert!(arguments[1] != "1" || texts.iter().any(|text| text.contains("verified")), "{arguments:?}: {texts:?}");
    }
}

#[test]
fn registrations_are_made_shown_changed_and_forgotten() {
    let shop = ready();
    shop.expect(0, &["project", "set", "shop", "--branch", "main", "--config-path", "deploy/trueup.yml"]);
    let shown = shop.expect(0, &["project", "show", "shop"]);
    assert!(shown.contains("main") && shown.contains("deploy/trueup.yml"), "{shown}");
    shop.expect(0, &["project", "set", "shop", "--no-branch", "--config-path", ".trueup.yml"]);
    assert!(shop.expect(0, &["project", "show", "shop"]).contains("the remote's HEAD"));

    shop.expect(0, &["env", "set", "shop/demo", "--secret", "api-key=env://API_KEY", "--value", "Tier=gold"]);
    let shown = shop.expect(0, &["env", "show", "shop/demo"]);
    assert!(shown.contains("api-key = env://API_KEY") && shown.contains("Tier = gold"), "{shown}");
    shop.expect(0, &["env", "set", "shop/demo", "--no-secret", "api-key", "--no-value", "Tier"]);
    let shown = shop.expect(0, &["env", "show", "shop/demo"]);
    assert!(!shown.contains("api-key") && !shown.contains("Tier"), "{shown}");
    assert_eq!(shop.say(&["env", "set", "shop/demo"]).code, 1, "nothing to change is a mistake");

    shop.expect(0, &["service", "set", "shop/demo/api", "--image", "nginx:1.27", "--set", "env={LOG_LEVEL: info}"]);
    let shown = shop.expect(0, &["service", "list", "shop/demo"]);
    assert!(shown.contains("nginx:1.27") && shown.contains("LOG_LEVEL"), "{shown}");
    let said = shop.say(&["service", "set", "shop/demo/api", "--set", "imaeg=x"]);
    assert!(said.code == 1 && said.err.contains("imaeg"), "{}", said.err);
    shop.expect(0, &["service", "remove", "shop/demo/api"]);

    let token = shop.expect(0, &["token", "add", "ci", "--role", "viewer"]);
    assert!(token.trim().len() >= 32, "{token}");
    let listed = shop.expect(0, &["token", "list"]);
    assert!(listed.contains("viewer") && !listed.contains(token.trim()), "{listed}");
    shop.expect(0, &["token", "remove", "ci"]);

    assert_eq!(shop.say(&["project", "remove", "shop"]).code, 1, "it still has an environment");
    shop.expect(0, &["env", "remove", "shop/demo"]);
    shop.expect(0, &["project", "remove", "shop"]);
    assert!(shop.expect(0, &["project", "list"]).contains("No project is registered"));
}

#[test]
fn a_file_that_cannot_be_read_is_not_in_sync() {
    let shop = ready();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    commit(&shop, &FILE.replace("command:", "comand:"));
    let said = shop.say(&["plan", "shop/demo"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.err.contains("comand") && said.err.contains("command"), "{}", said.err);
    let status = shop.say(&["status", "shop/demo"]);
    assert!(status.out.contains("not valid"), "{}", status.out);
    assert_eq!(status.code, 1, "what is shown may be stale, and says so by the exit code: {}", status.out);
}
