//! What does the command line say where no daemon is? Usage, help, files, broken pipes, colour.

use std::io::Read;
use std::process::Stdio;

use crate::world::backend;
use crate::world::installation::{TRUEUP, say, trueup};

#[test]
fn help_and_version_are_answers() {
    let help = say(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    insta::assert_snapshot!("help", help.out);
    assert_eq!(say(&["--version"]).code, 0);
    for verb in ["plan", "sync", "status", "rollback", "why", "env", "project", "serve", "quickstart", "doctor"] {
        let help = say(&[verb, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{verb}");
        assert!(help.out.contains("Usage:"), "{verb}");
    }
}

#[test]
fn wrong_usage_is_an_error_and_never_drift() {
    for arguments in [
        &[][..],
        &["no-such-verb"],
        &["sync"],
        &["sync", "shop"],
        &["sync", "shop/production", "--plan", "xyz"],
        &["status", "Shop"],
        &["why", "shop/production/web"],
        &["why", "shop/production/web.nothing"],
        &["plan"],
        &["plan", "shop/production", "--file", "x"],
        &["plan", "--file", "x"],
        &["history", "shop/production", "--limit", "0"],
        &["token", "add", "ci", "--role", "root"],
    ] {
        let said = say(arguments);
        assert_eq!(said.code, 1, "{arguments:?}: {}", said.err);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn mistyped_verbs_are_suggested() {
    assert!(say(&["staus"]).err.contains("'status'"));
}

#[test]
fn a_secret_in_place_of_a_reference_is_never_repeated() {
    let said = say(&["env", "add", "shop/production", "--provider", "docker", "--secret", "db=hunter2-hunter2"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("not an auth reference") && !said.err.contains("hunter2"), "{}", said.err);
    for command in [
        &["project", "add", "shop", "https://example.org/shop.git", "--auth", "hunter2-hunter2"][..],
        &["integration", "add", "github", "--provider", "github", "--auth", "hunter2-hunter2"],
        &["integration", "set", "github", "--auth=hunter2-hunter2"],
    ] {
        let said = say(command);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("not an auth reference") && !said.err.contains("hunter2"), "{}", said.err);
    }
}

#[test]
fn a_mistyped_provider_is_suggested() {
    let said = say(&["integration", "add", "hub", "--provider", "githb"]);
    assert!(said.code == 1 && said.err.contains("did you mean `github`?"), "{}", said.err);
    let said = say(&["project", "set", "shop", "--repository", "https://github.com/acme/shop"]);
    assert!(said.code == 1 && said.err.contains("--remote"), "{}", said.err);
}

#[test]
fn without_a_daemon_it_says_what_to_do() {
    for verb in [&["status"][..], &["plan", "a/b"], &["sync", "a/b", "--yes"], &["project", "list"], &["show", "1"]] {
        let said: crate::world::installation::Said =
            trueup(verb).env("TRUEUP_SOCKET", "/nonexistent/trueup.sock").output().unwrap().into();
        assert_eq!(said.code, 1, "{verb:?}");
        insta::assert_snapshot!("no_daemon", said.err);
    }
}

#[test]
fn a_socket_that_nobody_answers_on_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("trueup.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let said = say(&["status", "--socket", socket.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("nobody answers at") && said.err.contains("systemctl restart trueup"), "{}", said.err);
}

#[test]
fn a_url_needs_a_token_and_a_way_that_keeps_it() {
    let said = say(&["status", "--url", "https://localhost:1"]);
    assert!(said.code == 1 && said.err.contains("TRUEUP_TOKEN"), "{}", said.err);
    let said: crate::world::installation::Said = trueup(&["status", "--url", "http://trueup.example.org"])
        .env("TRUEUP_TOKEN", "not-to-be-seen")
        .output()
        .unwrap()
        .into();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("in the clear"), "{}", said.err);
    assert!(!said.err.contains("not-to-be-seen"));
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let said = say(&["completions", shell]);
        assert_eq!(said.code, 0, "{shell}");
        for verb in ["rollback", "quickstart", "doctor"] {
            assert!(said.out.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn the_schema_is_a_schema() {
    let said = say(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.code, 0);
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
}

const VALID: &str = "version: 1\nenvironments:\n  production:\n    services:\n      web: { image: nginx:1.27 }\n";

#[test]
fn files_are_validated_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trueup.yml");
    let file = path.to_str().unwrap();
    std::fs::write(&path, VALID).unwrap();
    let said = say(&["validate", file]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out, format!("{file}: valid (environment production)\n"));

    std::fs::write(&path, VALID.replace("image", "imaeg")).unwrap();
    let said = say(&["validate", file]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!("invalid_file", said.out.replace(file, "trueup.yml"));
    let said = say(&["validate", "--json", file]);
    let verdict: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &verdict["valid"]), (1, &false.into()));
    assert_eq!(verdict["diagnostics"][0]["at"]["line"], 5);

    std::fs::write(&path, "#".repeat(256 * 1024 + 1)).unwrap();
    let said = say(&["validate", file]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("256 KiB"), "{}", said.out);
    assert_eq!(say(&["validate", "/nonexistent/trueup.yml"]).code, 1);
}

#[test]
fn a_file_may_come_from_standard_input() {
    use std::io::Write;
    let mut child =
        trueup(&["validate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(VALID.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_is_planned_against_the_real_engine_without_a_daemon() {
    if !backend::docker() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trueup.yml");
    std::fs::write(&path, VALID.replace("image: nginx:1.27", "image: nginx:1.27, pull: never")).unwrap();
    let project = format!("cli-{}", std::process::id());
    let base = ["plan", "--file", path.to_str().unwrap(), "--provider", "docker", "--project", &project];
    let said = say(&base);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("web would be created") || said.out.contains("web will be created"), "{}", said.out);
    let plan: serde_json::Value = serde_json::from_str(&say(&[&base[..], &["--json"]].concat()).out).unwrap();
    assert_eq!(plan["actions"][0]["kind"], "create");
    assert_eq!(plan["environment"]["environment"], "production");

    let said = say(&[&base[..], &["--environment", "prodcution"]].concat());
    assert!(said.code == 1 && said.err.contains("did you mean `production`?"), "{}", said.err);
    let said = say(&["plan", "--file", path.to_str().unwrap(), "--provider", "dokcer", "--project", &project]);
    assert!(said.code == 1 && said.err.contains("docker and local"), "{}", said.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = trueup(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

/// What a command prints on a terminal (`script` makes one).
fn on_a_terminal(arguments: &str, no_color: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &format!("{TRUEUP} {arguments}"), "/dev/null"])
        .current_dir(folder.path())
        .stdin(Stdio::null());
    script.env("TERM", "xterm").env_remove("NO_COLOR").env("TRUEUP_SOCKET", "/nonexistent/trueup.sock");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    String::from_utf8(script.output().unwrap().stdout).unwrap()
}

#[test]
fn colour_is_for_terminals_and_never_with_no_color() {
    if !backend::available("script", backend::runs("script", &["--version"])) {
        return;
    }
    for arguments in ["doctor", "status"] {
        assert!(on_a_terminal(arguments, false).contains("\u{1b}["), "{arguments}");
        assert!(!on_a_terminal(arguments, true).contains('\u{1b}'), "{arguments}");
        let said = say(&[arguments, "--socket", "/nonexistent/trueup.sock"]);
        assert!(!(said.out + &said.err).contains('\u{1b}'), "{arguments}");
    }
}

#[test]
fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let said = say(&["doctor", "--json", "--socket", "/nonexistent/trueup.sock"]);
    assert_eq!(said.code, 1);
    let sections: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(sections[0]["title"], "daemon");
    assert_eq!(sections[0]["findings"][0]["level"], "error");
    assert!(sections[0]["findings"][0]["help"].as_str().unwrap().contains("trueup serve"));
    assert!(sections[1]["findings"].as_array().unwrap().len() >= 5);
}

#[test]
fn a_wrong_settings_file_stops_the_daemon_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trueup.toml");
    std::fs::write(&path, "pol_interval = \"60s\"\n").unwrap();
    let said = say(&["serve", "--config", path.to_str().unwrap(), "--state", folder.path().to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is not valid") && said.err.contains("line 1"), "{}", said.err);
    assert_eq!(say(&["serve", "--config", "/nonexistent/trueup.toml"]).code, 1);
}
