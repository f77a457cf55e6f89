//! Does a command do what its options say, and no more: one service, an orphan, another ref?

use std::process::Command;

use crate::cli_daemon::{FILE, commit, ready};
use crate::world::backend;
use crate::world::installation::Installation;

/// A second service beside `web`.
fn with_api(file: &str) -> String {
    let web = file.split_once("      web:\n").unwrap().1;
    format!("{file}      api:\n{web}")
}

/// The names of the services that a plan would change.
fn planned(shop: &Installation, code: i32) -> Vec<String> {
    let plan: serde_json::Value = serde_json::from_str(&shop.expect(code, &["plan", "shop/demo", "--json"])).unwrap();
    let actions = plan["actions"].as_array().unwrap();
    actions.iter().map(|action| action["service"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_the_named_service_is_synced_and_only_with_prune_an_orphan_goes() {
    let shop = ready();
    commit(&shop, &with_api(FILE));
    assert_eq!(planned(&shop, 2), ["api", "web"]);
    let said = shop.expect(0, &["sync", "shop/demo", "--service", "web", "--yes"]);
    assert!(said.contains("web will be created") && !said.contains("api will be created"), "{said}");
    assert_eq!(planned(&shop, 2), ["api"], "another service was synced");
    shop.expect(0, &["sync", "shop/demo", "--yes"]);

    commit(&shop, FILE);
    let said = shop.expect(0, &["sync", "shop/demo", "--yes"]);
    assert!(!said.contains("api will be deleted"), "{said}");
    let status = shop.say(&["status", "shop/demo"]).out;
    assert!(status.contains("only `sync --prune` deletes it"), "{status}");

    commit(&shop, "version: 1\nenvironments: { demo: { services: {} } }\n");
    let said = shop.expect(0, &["sync", "shop/demo", "--prune", "--yes"]);
    assert!(said.contains("api will be deleted") && said.contains("web will be deleted"), "{said}");
    let plan: serde_json::Value = serde_json::from_str(&shop.expect(0, &["plan", "shop/demo", "--json"])).unwrap();
    assert_eq!((&plan["actions"], &plan["orphans"]), (&serde_json::json!([]), &serde_json::json!([])));
}

#[test]
fn any_ref_is_planned_and_the_tracked_one_stays_what_is_synced() {
    if !backend::git() {
        return;
    }
    let shop = ready();
    shop.expect(0, &["sync", "shop/demo", "--yes"]);
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(shop.repository.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (branch, tip) = (git(&["symbolic-ref", "HEAD"]), git(&["rev-parse", "HEAD"]));
    commit(&shop, &FILE.replace("hello", "good morning"));
    let other = git(&["rev-parse", "HEAD"]);
    git(&["update-ref", "refs/heads/feature", &other]);
    git(&["update-ref", "refs/pull/7/head", &other]);
    git(&["tag", "v2", &other]);
    git(&["update-ref", &branch, &tip]);
    assert_eq!(shop.say(&["plan", "shop/demo"]).code, 0);
    for reference in ["feature", "v2", "refs/pull/7/head", &other] {
        let plan = shop.expect(2, &["plan", "shop/demo", "--ref", reference]);
        assert!(plan.contains("good morning"), "{reference}: {plan}");
    }
    let said = shop.say(&["plan", "shop/demo", "--ref", "nowhere"]);
    assert!(said.code == 1 && said.err.contains("nowhere"), "{}", said.err);
    assert_eq!(shop.say(&["status", "shop/demo"]).code, 0, "what is tracked is in sync");
}
