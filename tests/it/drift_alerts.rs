//! Is drift that came from outside told where the operator wants it: once, edited, and ended when nothing drifts any more?

use serde_json::Value;
use trueup::events::{Event, EventType};
use trueup::forge::ForgeKind;
use trueup::live::field::FieldPath;
use trueup::live::value::Value as Leaf;
use trueup::report::detail::ReportDetail;
use trueup::store::records::{Environment, ReportState};

use crate::world::forge::fault::Fault;
use crate::world::forge::state::Text;
use crate::world::house::operator;
use crate::world::office::{Office, REPOSITORY, until};

async fn set(office: &Office, change: impl FnOnce(&mut Environment)) {
    let before = office.house.store.environment(&office.house.id).await.unwrap().unwrap();
    let mut after = before.clone();
    change(&mut after);
    office.house.store.update_environment(before, after).await.unwrap();
}

/// An office over an environment that is in sync.
async fn in_sync(kind: ForgeKind, issue: bool) -> Office {
    let office = Office::open(kind, false).await;
    set(&office, |environment| environment.drift_issue = issue).await;
    office.house.sync().await;
    office
}

fn by_hand(office: &Office, level: &str) {
    let level = Leaf::Text(level.into());
    office.house.runtime.by_hand("web", |replica| {
        replica.leaves.insert(FieldPath::Env("LOG_LEVEL".into()), level.clone());
    });
}

async fn look(office: &Office) {
    office.house.passes.observe(&office.house.id).await.unwrap();
}

fn issues(office: &Office) -> Vec<Text> {
    office.world.inner().state.repositories[REPOSITORY].issues().into_iter().cloned().collect()
}

async fn told(office: &Office) -> Vec<Event> {
    office
        .house
        .store
        .events_after(0, 100)
        .await
        .unwrap()
        .into_iter()
        .filter(|e| e.subject.starts_with("projects/"))
        .collect()
}

async fn kinds(office: &Office) -> Vec<EventType> {
    told(office).await.into_iter().map(|event| event.kind).collect()
}

/// As a daemon that was killed and is started again: it remembers nothing but what it wrote down.
async fn restart(office: &mut Office) {
    office.kill().await;
    office.house.passes.forget(&office.house.id);
    office.begin().await;
    office.house.passes.refresh(&office.house.id).await.unwrap();
}

use EventType::{DriftDetected, DriftResolved};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_issue_and_one_event_as_long_as_it_is_the_same() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Gitea, ForgeKind::Forgejo] {
        let mut office = in_sync(kind, true).await;
        by_hand(&office, "trace");
        look(&office).await;
        until("there is an issue", async || !issues(&office).is_empty()).await;
        until("it is told", async || kinds(&office).await == [DriftDetected]).await;
        office.quiet().await;
        let [issue] = &issues(&office)[..] else { panic!("{kind}: {:?}", issues(&office)) };
        assert!(issue.open && issue.title.contains("shop/production"), "{kind}: {issue:?}");
        assert!(issue.body.contains("LOG_LEVEL") && issue.body.contains("trace"), "{kind}: {}", issue.body);
        let id = issue.id;

        // Looked at again, by this daemon and by the next, it is said no second time.
        drop(office.world.seen());
        look(&office).await;
        restart(&mut office).await;
        office.quiet().await;
        let written: Vec<String> = office.world.writes().into_iter().filter(|line| line.contains("issues")).collect();
        assert_eq!((written, kinds(&office).await), (Vec::new(), vec![DriftDetected]), "{kind}");

        // Another drift is the same issue, edited.
        by_hand(&office, "debug");
        look(&office).await;
        until("it is edited", async || issues(&office)[0].body.contains("debug")).await;
        until("it is told", async || kinds(&office).await == [DriftDetected, DriftDetected]).await;

        // Put right, it is closed.
        by_hand(&office, "info");
        look(&office).await;
        until("it is closed", async || !issues(&office)[0].open).await;
        until("it is told", async || kinds(&office).await == [DriftDetected, DriftDetected, DriftResolved]).await;
        office.quiet().await;
        restart(&mut office).await;
        office.quiet().await;
        assert_eq!(kinds(&office).await.len(), 3, "{kind}");

        // And opened again by the next.
        by_hand(&office, "trace");
        look(&office).await;
        until("it is open again", async || issues(&office)[0].open).await;
        assert_eq!(issues(&office).iter().map(|issue| issue.id).collect::<Vec<_>>(), [id], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_seen_is_not_put_right() {
    let office = in_sync(ForgeKind::Gitea, true).await;
    by_hand(&office, "trace");
    look(&office).await;
    until("there is an issue", async || !issues(&office).is_empty()).await;
    office.house.runtime.set_unreachable(true);
    look(&office).await;
    office.quiet().await;
    office.house.runtime.set_unreachable(false);
    by_hand(&office, "info");
    look(&office).await;
    until("it is closed", async || !issues(&office)[0].open).await;
    until("it is told", async || kinds(&office).await.contains(&DriftResolved)).await;
    assert_eq!(kinds(&office).await, [DriftDetected, DriftResolved]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_is_written_where_the_operator_wants_it_only() {
    let office = in_sync(ForgeKind::Github, false).await;
    by_hand(&office, "trace");
    look(&office).await;
    until("it is told", async || kinds(&office).await == [DriftDetected]).await;
    let event = told(&office).await.remove(0);
    assert_eq!(event.subject, "projects/shop/environments/production");
    let change = &event.data["services"][0]["changes"][0];
    assert_eq!(
        (&event.data["environment"], &change["live"]["text"]),
        (&Value::from("production"), &Value::from("\"trace\""))
    );
    office.quiet().await;
    assert!(issues(&office).is_empty());

    // Wanted from now on, it is written at the next look; no longer wanted, it is closed.
    set(&office, |environment| environment.drift_issue = true).await;
    office.house.passes.forget(&office.house.id);
    look(&office).await;
    until("there is an issue", async || !issues(&office).is_empty()).await;
    office.quiet().await;
    set(&office, |environment| environment.drift_issue = false).await;
    office.house.passes.forget(&office.house.id);
    look(&office).await;
    until("it is closed", async || !issues(&office)[0].open).await;
    assert_eq!(kinds(&office).await, [DriftDetected], "that is no news of what runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_without_values_have_none_and_none_are_told_where_they_are_off() {
    let office = in_sync(ForgeKind::Github, true).await;
    set(&office, |environment| environment.report_detail = ReportDetail::Off).await;
    by_hand(&office, "trace");
    look(&office).await;
    office.quiet().await;
    assert_eq!((kinds(&office).await, issues(&office).len()), (Vec::new(), 0));

    set(&office, |environment| environment.report_detail = ReportDetail::NamesOnly).await;
    office.house.passes.forget(&office.house.id);
    look(&office).await;
    until("there is an issue", async || !issues(&office).is_empty()).await;
    until("it is told", async || !kinds(&office).await.is_empty()).await;
    let said = format!("{}{}", issues(&office)[0].body, told(&office).await[0].data);
    assert!(said.contains("LOG_LEVEL") && !said.contains("trace"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_puts_it_right_ends_it_and_what_it_does_is_no_drift() {
    let office = in_sync(ForgeKind::Github, true).await;
    by_hand(&office, "trace");
    let plan = office.house.plan().await;
    until("there is an issue", async || !issues(&office).is_empty()).await;
    let started = office.house.syncs.start(operator(), &office.house.id, plan.digest.as_str()).await.unwrap();
    let trueup::sync::Started::Run(run) = started else { panic!("there was something to do") };
    office.house.ended(run).await;
    until("it is closed", async || !issues(&office)[0].open).await;
    until("it is told", async || kinds(&office).await.contains(&DriftResolved)).await;
    assert_eq!(kinds(&office).await, [DriftDetected, DriftResolved]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_whose_making_was_never_confirmed_is_closed_all_the_same() {
    let mut office = in_sync(ForgeKind::Github, true).await;
    office.quiet().await;
    office.world.fault("POST", "issues", Fault::LoseReply);
    by_hand(&office, "trace");
    look(&office).await;
    until("it is there", async || !issues(&office).is_empty()).await;
    office.kill().await;
    office.begin().await;
    by_hand(&office, "info");
    look(&office).await;
    until("it is closed", async || issues(&office).iter().all(|issue| !issue.open)).await;
    assert_eq!(issues(&office).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forge_without_issues_says_so_once_and_the_event_is_told() {
    for kind in [ForgeKind::Bitbucket, ForgeKind::BitbucketServer] {
        let mut office = in_sync(kind, true).await;
        by_hand(&office, "trace");
        look(&office).await;
        until("it is told", async || kinds(&office).await == [DriftDetected]).await;
        office.quiet().await;
        restart(&mut office).await;
        office.quiet().await;
        let rows = office.reports().await;
        let refused: Vec<_> = rows.iter().filter(|row| row.kind == "issue").collect();
        let [refused] = &refused[..] else { panic!("{kind}: {refused:?}") };
        assert_eq!(refused.state, ReportState::Failed, "{kind}");
        assert!(refused.error.as_deref().is_some_and(|why| why.contains("issue")), "{kind}: {refused:?}");
    }
}
