//! Do metrics and log lines tell of what is said on forges, each from where it happens?

use serde_json::Value;
use trueup::forge::ForgeKind;

use crate::integrations::Log;
use crate::world::forge::fault::Fault;
use crate::world::office::{Office, REPOSITORY, until, web};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_on_a_forge_is_counted_and_timed() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "statuses", Fault::status(422));
    office.world.fault("POST", "comments", Fault::bad_gateway());
    office.nudge(number).await;
    office.quiet().await;
    office.metrics.settle();
    let text = office.metrics.render();
    for line in [
        "scm_annotation_total{provider=\"github\",operation=\"comment\",status=\"transient\"} 1",
        "scm_annotation_total{provider=\"github\",operation=\"comment\",status=\"success\"} 1",
        "scm_annotation_total{provider=\"github\",operation=\"status\",status=\"permanent\"} 1",
        "scm_annotation_total{provider=\"github\",operation=\"check_run\",status=\"success\"} 1",
        "scm_annotation_duration_seconds_count{provider=\"github\",operation=\"comment\"} 2",
        "push_to_comment_seconds_count 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sent_while_offline_is_counted_too() {
    let mut office = Office::open(ForgeKind::Github, false).await;
    office.kill().await;
    office.offline = true;
    office.begin().await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;
    let line = "scm_annotation_total{provider=\"github\",operation=\"comment\",status=\"skipped_offline\"} 1";
    let text = office.metrics.render();
    assert!(text.lines().any(|known| known == line), "{text}");
}

/// One thread, so that all that is logged is taken down.
#[tokio::test]
async fn every_line_about_a_report_says_through_what_and_about_which() {
    let (log, guard) = Log::take();
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "comments", Fault::bad_gateway());
    office.world.fault("POST", "statuses", Fault::status(422));
    office.world.fault("GET", &format!("pulls/{number}"), Fault::status(500));
    office.nudge(number).await;
    until("it is said", async || !office.comments(number).is_empty()).await;
    office.quiet().await;
    drop(guard);
    let of = |target: &str| {
        target.starts_with("trueup::outbox")
            || target.starts_with("trueup::reporter::pulls")
            || target.starts_with("trueup::forge")
    };
    let lines: Vec<Value> = log.lines().into_iter().filter(|line| of(line["target"].as_str().unwrap())).collect();
    let has =
        |what: &str| lines.iter().any(|line| line["message"].as_str().is_some_and(|message| message.contains(what)));
    assert!(
        has("could not be reported on") && has("not posted yet") && has("not tried again") && has("posted"),
        "{lines:?}"
    );
    for line in &lines {
        let spans = line["spans"].as_array().unwrap();
        let field = |name: &str| spans.iter().rev().find_map(|span| span.get(name));
        assert_eq!(field("integrationId"), Some(&Value::from("forge")), "{line}");
        assert_eq!(field("provider"), Some(&Value::from("github")), "{line}");
        assert!(field("operation").is_some_and(Value::is_string), "{line}");
        assert!(field("prNumber").or(field("commitSha")).is_some(), "{line}");
    }
}
