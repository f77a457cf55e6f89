//! Do secrets reach the container they are for, and nothing else: no plan, report, log, label or database?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use trueup::health::Monitor;
use trueup::plan::Plan;

use crate::world::dock::{Dock, Site, changes, service};
use crate::world::docker::{available, docker, unique};
use crate::world::house::scratch;

const VARIABLE: &str = "TRUEUP_TEST_TOKEN";

/// Runs the test again in a process of its own whose environment holds the secret, as the daemon's does.
fn again_with_a_secret(test: &str) {
    let value = format!("token-{}", unique());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, value)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn write(path: &Path, value: &str) {
    std::fs::write(path, format!("{value}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every file under a directory that holds the value.
fn holders(directory: &Path, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holders(&path, value));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(value.len()).any(|window| window == value.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The value is in no plan, no report and nowhere in the state directory.
async fn nowhere(dock: &Dock, plan: &Plan, value: &str) {
    let json = serde_json::to_string(plan).unwrap();
    assert!(!json.contains(value), "{value} is in the plan: {json}");
    let shown = trueup::report::text::plan(plan, trueup::report::text::Style::Plain);
    assert!(!shown.contains(value), "{value} is shown: {shown}");
    for run in dock.house.store.runs(&dock.house.id, 20).await.unwrap() {
        let output = dock.house.output(run.id).await;
        assert!(!output.contains(value), "{value} is in the output of run {}: {output}", run.id);
        assert!(!run.summary.unwrap_or_default().contains(value));
    }
    assert_eq!(holders(dock.house.state.path(), value), Vec::<String>::new(), "{value} is in the state directory");
}

#[tokio::test]
async fn a_secret_reaches_its_container_and_nothing_else() {
    if !available() {
        return;
    }
    let Ok(token) = std::env::var(VARIABLE) else {
        return again_with_a_secret("flow_docker_secrets::a_secret_reaches_its_container_and_nothing_else");
    };
    let folder = scratch();
    let file = folder.path().join("password");
    let first = format!("hunter-{}", unique());
    write(&file, &first);
    let (password, variable) = (format!("file://{}", file.display()), format!("env://{VARIABLE}"));
    let secrets = [("password", password.as_str()), ("token", variable.as_str())];
    let site = Site { secrets: &secrets, ..Site::default() };
    let env = "env: {API_TOKEN: {secret: token}, DB_PASSWORD: {secret: password}, PLAIN: text}";
    let dock = Dock::with(site, &service("web", &[env])).await;
    let plan = dock.plan().await;
    dock.sync().await;
    assert_eq!(dock.env_of("web", "API_TOKEN").as_deref(), Some(token.as_str()));
    assert_eq!(dock.env_of("web", "DB_PASSWORD").as_deref(), Some(first.as_str()));
    let labels = dock.inspect("web")["Config"]["Labels"].to_string();
    for value in [&token, &first] {
        nowhere(&dock, &plan, value).await;
        assert!(!labels.contains(value.as_str()), "{labels}");
    }

    // The value moved, the file stood still.
    let second = format!("hunter-{}", unique());
    write(&file, &second);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.env.DB_PASSWORD input"]);
    let shown = trueup::report::text::plan(&plan, trueup::report::text::Style::Plain);
    assert!(shown.contains("(secret)"), "{shown}");
    dock.sync().await;
    assert_eq!(dock.env_of("web", "DB_PASSWORD").as_deref(), Some(second.as_str()));
    nowhere(&dock, &plan, &second).await;

    // Someone put another value in by hand: that is nobody's to show either.
    let by_hand = format!("by-hand-{}", unique());
    docker(&["rm", "-f", &dock.id("web")]);
    let mut arguments = vec!["run".to_owned(), "-d".to_owned()];
    arguments.extend(dock.world.label_arguments("web"));
    for (key, value) in [("API_TOKEN", &token), ("DB_PASSWORD", &by_hand), ("PLAIN", &"text".to_owned())] {
        arguments.extend(["--env".to_owned(), format!("{key}={value}")]);
    }
    arguments.extend(["--env".to_owned(), format!("UNDECLARED=undeclared-{by_hand}")]);
    arguments.push(dock.world.image.clone());
    docker(&arguments);
    let plan = dock.plan().await;
    assert_eq!(changes(&plan), ["web.env.DB_PASSWORD live"]);
    nowhere(&dock, &plan, &by_hand).await;
    dock.sync().await;

    // Without its value a secret blocks; it is never taken for empty.
    std::fs::remove_file(&file).unwrap();
    let plan = dock.plan().await;
    assert!(plan.feasible().next().is_none() && !plan.unknowns.is_empty(), "{plan:?}");
    assert_eq!(dock.env_of("web", "DB_PASSWORD").as_deref(), Some(second.as_str()));
}

/// A rollback brings back what ran, not what was secret then: the old value may be revoked.
#[tokio::test]
async fn a_rollback_uses_the_secret_of_now() {
    if !available() {
        return;
    }
    let folder = scratch();
    let file = folder.path().join("password");
    let values = ["then", "now"].map(|when| format!("{when}-{}", unique()));
    write(&file, &values[0]);
    let password = format!("file://{}", file.display());
    let site = Site { secrets: &[("password", &password)], ..Site::default() };
    let web = |release: &str| {
        service("web", &[&format!("env: {{RELEASE: \"{release}\", DB_PASSWORD: {{secret: password}}}}")])
    };
    let dock = Dock::with(site, &web("1")).await;
    dock.sync().await;
    dock.declare(&web("2"));
    dock.sync().await;
    write(&file, &values[1]);
    let plan = dock.house.passes.rollback_plan(&dock.house.id, None, None, "olga").await.unwrap();
    let run = dock.house.carry_out(&plan).await;
    assert_eq!(run.state, trueup::store::records::RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(dock.env_of("web", "RELEASE").as_deref(), Some("1"));
    assert_eq!(dock.env_of("web", "DB_PASSWORD").as_deref(), Some(values[1].as_str()), "the old value was used");
    // What was recorded is what runs: of that leaf nothing is left to do.
    assert_eq!(changes(&dock.plan().await), ["web.env.RELEASE repo"]);
    nowhere(&dock, &plan, &values[1]).await;
}

#[tokio::test]
async fn what_a_container_prints_of_its_secrets_is_masked_wherever_it_is_kept() {
    if !available() {
        return;
    }
    let folder = scratch();
    let file = folder.path().join("password");
    let value = format!("hunter-{}", unique());
    write(&file, &value);
    let password = format!("file://{}", file.display());
    let site = Site { secrets: &[("password", &password)], ..Site::default() };
    let web = |words: &str, more: &str| {
        format!(
            "web:\n  image: busybox:1\n  env: {{DB_PASSWORD: {{secret: password}}}}\n  healthcheck: {{command: [sh, -c, '{words}'], interval: 100ms, timeout: 2s, unhealthy_threshold: 2}}\n  {more}\n"
        )
    };
    let tells = "echo the password is $DB_PASSWORD; test -e /tmp/well";
    let says =
        "command: [sh, -c, 'echo begun with $DB_PASSWORD; trap \"exit 0\" TERM; while :; do sleep 1 & wait $!; done']";
    let dock = Dock::with(site, &web(tells, says)).await;
    let plan = dock.plan().await;
    let (run, output) = dock.fail().await;
    assert!(output.contains("the password is ***") && output.contains("begun with ***"), "{output}");
    assert!(run.summary.unwrap().contains("the password is ***"));
    nowhere(&dock, &plan, &value).await;

    // It gets well, and later ill again: what its probe then says is kept for `status`.
    dock.declare(&web("true", says));
    dock.sync().await;
    dock.declare(&web("true", &format!("{says}\n  labels: {{a: b}}")));
    let monitor = Monitor::new(dock.house.store.clone(), dock.house.passes.clone());
    let service: trueup::ids::ServiceName = "web".parse().unwrap();
    let mut base = dock.house.store.base(&dock.house.id).await.unwrap().services[&service].clone();
    let check: trueup::live::field::FieldPath = "healthcheck.command".parse().unwrap();
    let words = ["sh", "-c", tells].iter().map(|word| (*word).to_owned()).collect();
    std::sync::Arc::make_mut(&mut base.leaves).get_mut(&check).unwrap().value =
        trueup::live::value::Value::Words(words);
    dock.house.store.record_base(&dock.house.id, &service, base).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        // Each service is probed at its own interval, so a round says when the next one has something to do.
        let due = monitor.round(&dock.house.id).await.unwrap();
        let healths = dock.house.store.healths(&dock.house.id).await.unwrap();
        if format!("{healths:?}").contains("the password is ***") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{healths:?}");
        tokio::time::sleep(due.unwrap()).await;
    }
    nowhere(&dock, &plan, &value).await;

    // A service that waits for it quotes it, although it holds no secret itself.
    let waits =
        "api:\n  image: busybox:1\n  depends_on: [web]\n  healthcheck: {command: [\"true\"], interval: 100ms}\n";
    dock.declare(&format!("{waits}{}", web(tells, says)));
    let (run, output) = dock.fail().await;
    assert!(run.summary.unwrap().contains("the password is ***"), "{output}");
    nowhere(&dock, &plan, &value).await;
}
