//! Is only a clear yes taken for one, and is it the plan that was shown that is carried out?

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::cli_daemon::{FILE, commit, ready};
use crate::world::backend;
use crate::world::installation::{Installation, TRUEUP};

/// A command on a terminal of its own (`script` makes one), up to its question.
struct Asked {
    script: std::process::Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
}

fn ask(shop: &Installation, arguments: &str) -> Asked {
    let mut script = Command::new("script")
        .args(["-qec", &format!("{TRUEUP} {arguments}"), "/dev/null"])
        .env("TERM", "dumb")
        .env("TRUEUP_SOCKET", shop.state().join("run/trueup.sock"))
        .current_dir(shop.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (keyboard, screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut asked = Asked { script, keyboard, screen, shown: Vec::new() };
    let mut byte = [0];
    while !asked.shown.ends_with(b"[y/N] ") {
        let read = asked.screen.read(&mut byte).unwrap();
        assert_eq!(read, 1, "it never asked: {}", String::from_utf8_lossy(&asked.shown));
        asked.shown.push(byte[0]);
    }
    asked
}

impl Asked {
    /// Types an answer; returns the exit code and all that was shown.
    fn answer(mut self, typed: &str) -> (i32, String) {
        self.keyboard.write_all(typed.as_bytes()).unwrap();
        self.screen.read_to_end(&mut self.shown).unwrap();
        let code = self.script.wait().unwrap().code().unwrap();
        (code, String::from_utf8_lossy(&self.shown).into_owned())
    }
}

fn here() -> bool {
    backend::available("script", backend::runs("script", &["--version"]))
}

#[test]
fn a_sync_is_carried_out_only_after_a_yes_and_only_as_it_was_shown() {
    if !here() {
        return;
    }
    let shop = ready();
    for no in ["\n", "n\n", "no\n", "yep\n"] {
        let asked = ask(&shop, "sync shop/demo");
        assert!(String::from_utf8_lossy(&asked.shown).contains("web will be created"));
        let (code, shown) = asked.answer(no);
        assert!(code == 1 && shown.contains("Nothing was changed."), "{no:?}: {code}\n{shown}");
    }
    assert!(shop.expect(0, &["history", "shop/demo"]).contains("Nothing was ever synced"));

    // What it rests on moves while it asks.
    let asked = ask(&shop, "sync shop/demo");
    commit(&shop, &FILE.replace("hello", "good morning"));
    let (code, shown) = asked.answer("y\n");
    assert!(code == 1 && shown.contains("has moved") && shown.contains("moved: "), "{code}\n{shown}");
    assert!(shop.expect(0, &["history", "shop/demo"]).contains("Nothing was ever synced"));

    let (code, shown) = ask(&shop, "sync shop/demo").answer("y\n");
    assert!(code == 0 && shown.contains("Run 1 succeeded"), "{code}\n{shown}");
}

#[test]
fn a_rollback_asks_too() {
    if !here() {
        return;
    }
    let shop = ready();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    commit(&shop, &FILE.replace("hello", "good morning"));
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    let (code, shown) = ask(&shop, "rollback shop/demo").answer("\n");
    assert!(code == 1 && shown.contains("Nothing was changed."), "{code}\n{shown}");
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 0, "it was rolled back");
    let (code, shown) = ask(&shop, "rollback shop/demo").answer("yes\n");
    assert!(code == 0 && shown.contains("Run 3 succeeded"), "{code}\n{shown}");
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 2, "the tip is drift now");
}
