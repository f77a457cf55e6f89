//! Does `trueup plan --pull` show, against a real daemon, what merging would change, and only what it may?

use jiff::Timestamp;

use crate::world::installation::{Installation, TRUEUP};

const FILE: &str = r#"version: 1
environments:
  demo:
    services:
      web:
        command: ["{{ .Env.Trueup }}", sample-server]
        env: { GREETING: hello }
        healthcheck: { path: /healthz, interval: 200ms, timeout: 2s }
        stop_grace_period: 2s
"#;

#[test]
fn a_pull_request_is_planned_on_the_command_line() {
    let shop = Installation::new();
    let commit = |file: &str| shop.repository.commit(&[(".trueup.yml", file)], "Declare", Timestamp::now()).unwrap();
    let point = |name: &str, commit: &str| {
        let path = shop.repository.path().join(".git").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{commit}\n")).unwrap();
    };
    let main = commit(FILE);
    shop.expect(0, &["project", "add", "shop", shop.repository.path().to_str().unwrap()]);
    let value = format!("Trueup={TRUEUP}");
    let add = ["env", "add", "shop/demo", "--provider", "local", "--set", "allow_own_user=true", "--value", &value];
    shop.expect(0, &add);
    shop.expect(0, &["sync", "shop/demo", "--yes"]);

    let head = commit(&FILE.replace("hello", "good morning"));
    point("refs/heads/main", main.as_str());
    point("refs/pull/7/head", head.as_str());
    let plan = ["plan", "shop/demo", "--pull", "7"];
    let refused = shop.say(&plan);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.contains("trueup env set shop/demo --plan-forks"), "{refused:?}");
    shop.expect(0, &["env", "set", "shop/demo", "--plan-forks"]);
    let foreign = shop.expect(2, &plan);
    assert!(foreign.contains("nothing was looked at"), "{foreign}");
    shop.expect(0, &["env", "set", "shop/demo", "--refuse-forks"]);

    // A branch of the repository at the same commit: it is no fork's.
    point("refs/heads/feature", head.as_str());
    let own = shop.settled(&shop.expect(2, &plan));
    insta::assert_snapshot!("plan_pull", own.replace(head.short(), "HEAD"));
    let json: serde_json::Value =
        serde_json::from_str(&shop.expect(2, &["plan", "shop/demo", "--pull", "7", "--json"])).unwrap();
    assert_eq!(json["environments"][0]["outcome"]["pull_request"][0]["changes"][0]["field"], "env.GREETING", "{json}");

    let missing = shop.say(&["plan", "shop/demo", "--pull", "8"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("refs/pull/8/head"), "{missing:?}");
    let confused = shop.say(&["plan", "shop/demo", "--pull", "7", "--prune"]);
    assert_eq!(confused.code, 1, "{confused:?}");
    let shown = shop.expect(0, &["env", "show", "shop/demo"]);
    assert!(shown.contains("reports") && shown.contains("full"), "{shown}");
    shop.expect(0, &["env", "set", "shop/demo", "--report-detail", "names-only"]);
    assert!(!shop.expect(2, &plan).contains("good morning"));
    let odd = shop.say(&["env", "set", "shop/demo", "--report-detail", "some"]);
    assert!(odd.code == 1 && odd.err.contains("names-only"), "{odd:?}");
}
