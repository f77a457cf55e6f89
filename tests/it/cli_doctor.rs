//! Does the doctor look where the daemon is, by its settings, and not only at the usual places?

use std::net::TcpListener;

use crate::world::installation::{Installation, say, trueup};

/// The findings of `doctor --json` as lines of level and message, and its exit code.
fn findings(arguments: &[&str]) -> (i32, Vec<String>) {
    let said = say(&[&["doctor", "--json"], arguments].concat());
    let sections: Vec<serde_json::Value> =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
    let all = sections.iter().flat_map(|section| section["findings"].as_array().unwrap());
    let line = |found: &serde_json::Value| {
        format!("{} {}", found["level"].as_str().unwrap(), found["message"].as_str().unwrap())
    };
    (said.code, all.map(line).collect())
}

fn one<'a>(lines: &'a [String], of: &str) -> &'a str {
    let found: Vec<&String> = lines.iter().filter(|line| line.contains(of)).collect();
    assert_eq!(found.len(), 1, "{of}: {lines:#?}");
    found[0]
}

#[test]
fn the_doctor_looks_at_the_places_that_the_settings_name() {
    let shop = Installation::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (state, file) = (shop.state(), shop.folder().join("trueup.toml"));
    let hosts = shop.folder().join("known_hosts");
    std::fs::write(&hosts, "").unwrap();
    let text = format!("state_dir = {state:?}\nlisten = \"{address}\"\n[git]\nknown_hosts = {hosts:?}\n");
    std::fs::write(&file, text).unwrap();

    // No word of a socket: the settings say where it is.
    let (code, lines) = findings(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{lines:#?}");
    assert!(one(&lines, "installation").starts_with("ok answers, version"), "{lines:#?}");
    assert!(one(&lines, "trueup.toml").starts_with("ok "), "{lines:#?}");
    assert!(one(&lines, "state directory").contains(state.to_str().unwrap()), "{lines:#?}");
    let supervisor = one(&lines, "supervisor of the");
    assert!(supervisor.contains("answers at") && supervisor.contains(state.to_str().unwrap()), "{supervisor}");
    assert!(one(&lines, "known_hosts").starts_with("ok "), "{lines:#?}");
    assert_eq!(one(&lines, "listen: "), format!("ok listen: {address} takes connections"));

    // The file may be named in the environment, as the daemon's is; what is said on the command line goes before it.
    let said = trueup(&["doctor", "--socket", "/nonexistent/t.sock"]).env("TRUEUP_CONFIG", &file).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("/nonexistent/t.sock") && text.contains(state.to_str().unwrap()), "{text}");
}

#[test]
fn the_doctor_says_what_is_wrong_with_the_places_that_the_settings_name() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("trueup.toml"));
    // Bound and let go: nothing answers there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!("state_dir = {state:?}\nlisten = \"{address}\"\n[git]\nknown_hosts = \"/nonexistent/hosts\"\n");
    std::fs::write(&file, text).unwrap();
    let (code, lines) = findings(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    let socket = state.join("run/trueup.sock");
    assert!(one(&lines, socket.to_str().unwrap()).starts_with("error "), "{lines:#?}");
    assert!(one(&lines, "no state directory").starts_with("warning "), "{lines:#?}");
    assert!(one(&lines, "/nonexistent/hosts").starts_with("error "), "{lines:#?}");
    assert!(one(&lines, "listen: nothing answers at").starts_with("warning "), "{lines:#?}");
    assert!(one(&lines, "run/supervise.sock").contains("no supervisor runs here"), "{lines:#?}");

    let (code, lines) = findings(&["--config", "/nonexistent/trueup.toml"]);
    assert_eq!(code, 1);
    assert!(one(&lines, "/nonexistent/trueup.toml").starts_with("error there is no"), "{lines:#?}");
    std::fs::write(&file, "stat_dir = 1").unwrap();
    let (code, lines) = findings(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(one(&lines, "line 1, column 1").starts_with("error "), "{lines:#?}");
}
