//! Does what is said on a forge say what is so: one comment, the right one, whatever happens on the way?

use std::time::Duration;

use tokio::sync::oneshot;
use trueup::forge::ForgeKind;
use trueup::reporter::{Nudge, Nudged};
use trueup::store::records::ReportState;

use crate::world::forge::fault::Fault;
use crate::world::house::operator;
use crate::world::office::{Office, REPOSITORY, project, until, web};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_is_reported_on_from_its_opening_to_its_sync() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;

    let [comment] = &office.comments(number)[..] else { panic!("{:?}", office.comments(number)) };
    assert!(comment.body.contains("LOG_LEVEL") && comment.body.contains("debug"), "{}", comment.body);
    assert!(!comment.body.contains("trueup sync"), "an open request has no command: {}", comment.body);
    {
        let inner = office.world.inner();
        let repository = &inner.state.repositories[REPOSITORY];
        let [status] = &repository.statuses[..] else { panic!("{:?}", repository.statuses) };
        assert!(status.context.starts_with("trueup/production"), "{status:?}");
        assert_eq!((status.state.as_str(), status.url.is_empty()), ("success", false), "{status:?}");
        let [check] = &repository.checks[..] else { panic!("{:?}", repository.checks) };
        assert!(
            !check.annotations.is_empty() && check.annotations.iter().all(|note| note["path"] == ".trueup.yml"),
            "{check:?}"
        );
    }

    // The same again is not written again.
    let id = comment.id;
    drop(office.world.seen());
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(office.world.writes(), Vec::<String>::new());

    // A push edits the comment in place.
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
    office.nudge(number).await;
    office.quiet().await;
    let [comment] = &office.comments(number)[..] else { panic!("{:?}", office.comments(number)) };
    assert_eq!(comment.id, id);
    assert!(comment.body.contains("trace") && !comment.body.contains("\"debug\""), "{}", comment.body);

    // The merge gives it the command, and the very plan that it names is carried out.
    office.world.merge(REPOSITORY, number);
    office.nudge(number).await;
    office.quiet().await;
    let body = office.comments(number)[0].body.clone();
    let command = body.lines().find(|line| line.contains("trueup sync shop/production --plan")).expect("a command");
    let digest = command.rsplit(' ').next().unwrap().trim_matches('`');
    let digest: String = digest.chars().filter(char::is_ascii_hexdigit).collect();
    let run = office.house.syncs.start(operator(), &office.house.id, &digest).await.unwrap();
    let trueup::sync::Started::Run(run) = run else { panic!("there was something to do") };
    let run = office.house.ended(run).await;
    until("the comment tells of the run", async || {
        office.comments(number)[0].body.contains(&format!("run {}", run.id)) || {
            // Planned again at most every ten minutes; who cannot wait asks.
            office.nudge(number).await;
            false
        }
    })
    .await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forge_gets_its_comment_and_its_status() {
    for kind in ForgeKind::ALL {
        let office = Office::open(kind, false).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        office.nudge(number).await;
        office.quiet().await;
        let [comment] = &office.comments(number)[..] else { panic!("{kind}: {:?}", office.comments(number)) };
        assert!(comment.body.contains("LOG_LEVEL"), "{kind}: {}", comment.body);
        let rows = office.reports().await;
        let ends: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.state, row.error.as_deref())).collect();
        assert!(ends.iter().all(|(_, state, _)| *state == ReportState::Posted), "{kind}: {ends:?}");
        assert!(ends.iter().any(|(kind, ..)| *kind == "status"), "{kind}: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_is_a_failure_with_its_line() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "broken", &[(".trueup.yml", &web("debug").replace("image:", "imaje:"))]);
    let number = office.world.open_pull(REPOSITORY, "broken");
    office.nudge(number).await;
    office.quiet().await;
    let body = office.comments(number)[0].body.clone();
    assert!(body.contains("imaje") && body.contains(".trueup.yml:6"), "{body}");
    let inner = office.world.inner();
    let repository = &inner.state.repositories[REPOSITORY];
    assert_eq!(repository.statuses[0].state, "failure");
    assert_eq!(repository.checks[0].conclusion, "failure");
    assert_eq!(repository.checks[0].annotations[0]["annotation_level"], "failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_makes_no_second_comment() {
    let office = Office::open(ForgeKind::Github, true).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "comments", Fault::LoseReply);
    office.nudge(number).await;
    until("it is tried again", async || {
        office.reports().await.iter().any(|row| row.kind == "comment" && row.attempts > 0)
    })
    .await;
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_forge_cannot_take_now_is_tried_again_and_what_it_refuses_is_not() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "comments", Fault::bad_gateway());
    office.world.fault("POST", "statuses", Fault::status(422));
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
    let rows = office.reports().await;
    let of = |kind: &str| rows.iter().find(|row| row.kind == kind).unwrap();
    assert_eq!((of("comment").state, of("comment").attempts), (ReportState::Posted, 2));
    assert_eq!((of("status").state, of("status").attempts), (ReportState::Failed, 1));
    assert!(of("status").error.is_some());

    // By hand it is posted after all.
    office.outbox.retry(of("status").id).await.unwrap();
    office.quiet().await;
    assert_eq!(office.world.inner().state.repositories[REPOSITORY].statuses.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_says_it_once_all_the_same() {
    // Between reading and posting, between posting and noting, and with newer news in between.
    for fault in [None, Some(Fault::LoseReply), Some(Fault::Slow(Duration::from_secs(20)))] {
        let mut office = Office::open(ForgeKind::Github, false).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        let faulty = fault.is_some();
        if let Some(fault) = fault {
            office.world.fault("POST", "comments", fault);
        }
        office.nudge(number).await;
        if faulty {
            until("it is being posted", async || {
                office.reports().await.iter().any(|row| row.kind == "comment" && row.attempts > 0)
            })
            .await;
        }
        office.kill().await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
        office.begin().await;
        office.nudge(number).await;
        office.quiet().await;
        let comments = office.comments(number);
        assert_eq!(comments.len(), 1, "{comments:?}");
        assert!(comments[0].body.contains("trace"), "{}", comments[0].body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_keeps_what_would_be_said_for_posting_by_hand() {
    let mut office = Office::open(ForgeKind::Github, false).await;
    office.kill().await;
    office.offline = true;
    office.begin().await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;
    assert!(office.comments(number).is_empty());
    let rows = office.reports().await;
    assert!(rows.iter().all(|row| row.state == ReportState::Skipped && row.attempts == 1), "{rows:?}");
    let comment = rows.iter().find(|row| row.kind == "comment").unwrap();
    assert!(comment.payload.contains("LOG_LEVEL"));
    office.outbox.retry(comment.id).await.unwrap();
    office.quiet().await;
    assert_eq!(office.comments(number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_moves_nothing() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    drop(office.world.seen());
    let comment_id = office.world.say(REPOSITORY, number, "mallory", "/trueup sync production");
    let (taken, answer) = oneshot::channel();
    office.nudges.send(Nudged { nudge: Nudge::Comment { project: project(), number, comment_id }, taken }).unwrap();
    answer.await.unwrap();
    office.quiet().await;
    assert!(office.house.store.pulls(&project()).await.unwrap().is_empty(), "it is not even looked at");
    assert_eq!(office.world.lines(), Vec::<String>::new());
    assert!(office.house.store.runs(&office.house.id, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_branch_says_what_awaits_a_sync() {
    let office = Office::open(ForgeKind::Gitea, false).await;
    let said = |state: &str| {
        let inner = office.world.inner();
        inner.state.repositories[REPOSITORY].statuses.last().is_some_and(|status| status.state == state)
    };
    let plan = office.house.plan().await;
    until("it is pending", async || said("pending")).await;
    let started = office.house.syncs.start(operator(), &office.house.id, plan.digest.as_str()).await.unwrap();
    let trueup::sync::Started::Run(run) = started else { panic!("there was something to do") };
    office.house.ended(run).await;
    until("it is in sync", async || said("success")).await;
    office.quiet().await;
    let rows = office.reports().await;
    assert!(rows.iter().all(|row| row.kind == "status" && row.pull.is_none()), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_someone_deleted_is_made_anew_at_the_next_look() {
    for kind in ForgeKind::ALL {
        let office = Office::open(kind, false).await;
        office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
        let number = office.world.open_pull(REPOSITORY, "louder");
        office.nudge(number).await;
        office.quiet().await;
        let first = office.comments(number)[0].clone();
        office.world.delete_comment(REPOSITORY, &first.id.to_string());
        assert!(office.comments(number).is_empty(), "{kind}");
        // Nothing moved: what is to be said is the same as before.
        office.nudge(number).await;
        until("it is there again", async || !office.comments(number).is_empty()).await;
        office.quiet().await;
        let [again] = &office.comments(number)[..] else { panic!("{kind}: {:?}", office.comments(number)) };
        assert_eq!((again.id != first.id, &again.body), (true, &first.body), "{kind}");
    }
}

/// What the forge refuses for good is recorded once, however often it is planned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_not_offered_again_until_it_is_another() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.world.fault("POST", "statuses", Fault::status(403));
    office.nudge(number).await;
    office.quiet().await;
    let statuses = async || {
        let rows = office.reports().await;
        rows.iter().filter(|row| row.kind == "status").map(|row| row.state).collect::<Vec<_>>()
    };
    assert_eq!(statuses().await, [ReportState::Failed]);
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(statuses().await, [ReportState::Failed]);
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("trace"))]);
    office.nudge(number).await;
    office.quiet().await;
    assert_eq!(statuses().await, [ReportState::Posted, ReportState::Failed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_leads_elsewhere_or_is_closed_says_so_where_it_said_something() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    let retarget = |branch: &str| {
        let mut inner = office.world.inner();
        let repository = inner.state.repositories.get_mut(REPOSITORY).unwrap();
        repository.pulls.get_mut(&number).unwrap().base_branch = branch.to_owned();
    };
    retarget("attic");
    office.nudge(number).await;
    office.quiet().await;
    assert!(office.comments(number).is_empty(), "nobody tracks that: nothing is said");
    retarget("main");
    office.nudge(number).await;
    office.quiet().await;
    assert!(office.comments(number)[0].body.contains("LOG_LEVEL"));
    retarget("attic");
    office.nudge(number).await;
    office.quiet().await;
    let body = office.comments(number)[0].body.clone();
    assert!(
        body.contains("No environment that is reported on tracks its target") && !body.contains("LOG_LEVEL"),
        "{body}"
    );
    retarget("main");
    office.nudge(number).await;
    office.quiet().await;
    office.world.close_pull(REPOSITORY, number);
    office.nudge(number).await;
    office.quiet().await;
    let [comment] = &office.comments(number)[..] else { panic!("{:?}", office.comments(number)) };
    assert!(comment.body.contains("was closed without being merged"), "{}", comment.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_request_is_planned_again_when_what_runs_moves_and_not_before_ten_minutes() {
    let office = Office::open(ForgeKind::Github, false).await;
    office.house.sync().await;
    office.world.push(REPOSITORY, "louder", &[(".trueup.yml", &web("debug"))]);
    let number = office.world.open_pull(REPOSITORY, "louder");
    office.nudge(number).await;
    office.quiet().await;
    let store = &office.house.store;
    let planned = store.pulls(&project()).await.unwrap().remove(0).planned_at.unwrap();
    office.house.runtime.stop_by_hand(office.house.runtime.replicas().keys().next().unwrap());
    office.house.passes.observe(&office.house.id).await.unwrap();
    until("it is marked", async || store.next_pull_due().await.unwrap().is_some()).await;
    let row = store.pulls(&project()).await.unwrap().remove(0);
    assert_eq!(row.due_at.unwrap().duration_since(planned).as_secs(), 600);
    assert_eq!(row.planned_at, Some(planned), "not planned yet");
}
