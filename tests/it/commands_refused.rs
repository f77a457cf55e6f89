//! Is everything refused that is not exactly allowed, with the reason for who has a role here, and in silence for others?

use jiff::SignedDuration;
use trueup::authority::{CommentCommands, Role};
use trueup::forge::ForgeKind;
use trueup::forge::api::Permission;
use trueup::plan::PlanOptions;
use trueup::report::detail::ReportDetail;

use crate::world::commands::{Bench, REPOSITORY, web};
use crate::world::forge::fault::Fault;
use crate::world::house::operator;

const KIND: ForgeKind = ForgeKind::Gitea;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_allowed_a_comment_is_not_even_read() {
    let bench = Bench::open(KIND).await;
    bench.allow(CommentCommands::Off).await;
    let plan = bench.plan().await;
    drop(bench.world.seen());
    bench.say("alice", &Bench::line(&plan)).await;
    bench.silent().await;
    let lines = bench.world.lines();
    assert!(!lines.iter().any(|line| line.contains("comments") || line.contains("permission")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_takes_plan_takes_no_sync() {
    let bench = Bench::open(KIND).await;
    bench.allow(CommentCommands::Plan).await;
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("trueup env set shop/production --comment-commands sync").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_is_in_no_report_answers_no_comment() {
    let bench = Bench::open(KIND).await;
    bench.set(|environment| environment.report_detail = ReportDetail::Off).await;
    bench.say("alice", "/trueup plan").await;
    bench.silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_answered_and_stand_in_the_audit_log_once() {
    let bench = Bench::open(KIND).await;
    bench.permit("mallory", Permission::Admin);
    let line = Bench::line(&bench.plan().await);
    for _ in 0..3 {
        bench.say("mallory", &line).await;
    }
    bench.silent().await;
    let lines = bench.audited("mallory").await;
    assert!(lines.len() == 1 && lines[0].ends_with("refused: has no role here x3"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_changed_hands_takes_no_role_along() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab, KIND, ForgeKind::Bitbucket, ForgeKind::BitbucketServer] {
        let bench = Bench::open(kind).await;
        // Someone else is called alice by now.
        bench.say("alice#99", &Bench::line(&bench.plan().await)).await;
        bench.silent().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_the_repository_syncs_nothing() {
    let bench = Bench::open(KIND).await;
    bench.permit("alice", Permission::Read);
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("the permission to write to this repository").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_syncs_nothing() {
    let bench = Bench::open(KIND).await;
    bench.map("alice", Role::Viewer).await;
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("it needs the role operator; the role here of whoever wrote it is viewer").await;
    assert_eq!(bench.audited("denied: ").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_commands_nothing() {
    let bench = Bench::open(ForgeKind::Github).await;
    bench.map("alice[bot]", Role::Admin).await;
    bench.permit("alice[bot]", Permission::Admin);
    bench.say("alice[bot]", &Bench::line(&bench.plan().await)).await;
    bench.silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forks_request_takes_no_sync() {
    let mut bench = Bench::open(KIND).await;
    bench.number = bench.world.open_fork_pull(REPOSITORY, "mallory/shop", "theirs", &[(".trueup.yml", &web("trace"))]);
    bench.world.merge(REPOSITORY, bench.number);
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("requests of forks take no sync").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_request_and_a_closed_one_take_no_sync() {
    let bench = Bench::unmerged(KIND).await;
    let line = Bench::line(&bench.plan().await);
    bench.say("alice", &line).await;
    bench.refused("there is nothing to sync before the merge").await;
    bench.world.close_pull(REPOSITORY, bench.number);
    bench.say("alice", &line).await;
    bench.quiet().await;
    assert!(bench.answers()[1].body.contains("closed without being merged"), "{:?}", bench.answers());
    assert!(bench.runs().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_without_its_digest_or_with_another_is_refused() {
    for (line, why) in [
        ("/trueup sync production", "a sync names the plan that it carries out"),
        ("/trueup sync production --plan 0123456789", "no plan of shop/production that is known here begins so"),
        ("/trueup sync staging --plan 0123456789", "no environment of that name"),
        ("/trueup sync other/production --plan 0123456789", "no environment of that name"),
        ("/trueup deploy", "/trueup sync ENVIRONMENT --plan DIGEST"),
    ] {
        let bench = Bench::open(KIND).await;
        bench.plan().await;
        bench.say("alice", line).await;
        bench.refused(why).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_moved_is_refused_with_what_moved_and_no_value() {
    let bench = Bench::open(KIND).await;
    let plan = bench.plan().await;
    bench.world.push(REPOSITORY, "main", &[(".trueup.yml", &web("hunter2"))]);
    bench.say("alice", &Bench::line(&plan)).await;
    let now = bench.plan().await;
    bench.refused(&format!("the plan is now `{}`", now.digest.short())).await;
    let answer = bench.answer().await;
    assert!(answer.contains("web.env.LOG_LEVEL") && !answer.contains("hunter2"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_with_options_is_carried_out_on_the_command_line() {
    let bench = Bench::open(KIND).await;
    let options = PlanOptions { prune: true, ..PlanOptions::default() };
    let plan = bench.house.plan_with(options).await;
    bench.say("alice", &Bench::line(&plan)).await;
    bench.refused("made with options").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_comment_and_an_old_one_are_no_commands() {
    for kind in ForgeKind::ALL {
        let bench = Bench::open(kind).await;
        let line = Bench::line(&bench.plan().await);
        let id = bench.world.say(REPOSITORY, bench.number, "alice", "/trueup plan");
        // Whoever rules the repository may write others' comments anew.
        bench.world.edit_comment(REPOSITORY, id, &line);
        bench.tell(id).await;
        bench.refused("the comment was edited").await;
    }
    let bench = Bench::open(KIND).await;
    let line = Bench::line(&bench.plan().await);
    let id = bench.world.say(REPOSITORY, bench.number, "alice", &line);
    bench.world.age_comment(REPOSITORY, id, SignedDuration::from_mins(61));
    bench.tell(id).await;
    bench.refused("older than an hour").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_is_gone_is_left_alone() {
    let bench = Bench::open(KIND).await;
    let line = Bench::line(&bench.plan().await);
    let id = bench.world.say(REPOSITORY, bench.number, "alice", &line);
    bench.world.delete_comment(REPOSITORY, &id.to_string());
    bench.tell(id).await;
    bench.silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forge_that_does_not_tell_the_permission_is_asked_again_and_then_the_command_is_refused() {
    let mut bench = Bench::open(KIND).await;
    bench.kill().await;
    bench.patience = SignedDuration::from_secs(3);
    bench.begin().await;
    let plan = bench.plan().await;
    // Once down: it works the second time.
    bench.world.fault("GET", "permission", Fault::status(503));
    bench.say("alice", &Bench::line(&plan)).await;
    let answer = bench.answer().await;
    assert!(answer.contains("**succeeded**"), "{answer}");

    // Down for good: never taken for a yes.
    let bench = {
        let mut bench = Bench::open(KIND).await;
        bench.kill().await;
        bench.patience = SignedDuration::from_secs(3);
        bench.begin().await;
        bench
    };
    for _ in 0..50 {
        bench.world.fault("GET", "permission", Fault::status(503));
    }
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("the forge could not be asked").await;

    // Not told for good.
    let bench = Bench::open(KIND).await;
    bench.world.fault("GET", "permission", Fault::status(403));
    bench.say("alice", &Bench::line(&bench.plan().await)).await;
    bench.refused("the forge does not tell this daemon what users may do").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_an_hour_takes_is_left_alone() {
    let bench = Bench::open(KIND).await;
    for _ in 0..trueup::store::COMMANDS_MAX {
        bench.say("mallory", "/trueup plan").await;
    }
    bench.quiet().await;
    drop(bench.world.seen());
    let id = bench.say("mallory", "/trueup plan").await;
    bench.quiet().await;
    assert!(!bench.world.lines().iter().any(|line| line.contains(&id.to_string())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_was_carried_out_meanwhile_has_moved() {
    let bench = Bench::open(KIND).await;
    let plan = bench.plan().await;
    // Somebody on the command line was faster: there is nothing left to do for this plan.
    let started = bench.house.syncs.start(operator(), &bench.house.id, plan.digest.as_str()).await.unwrap();
    let trueup::sync::Started::Run(run) = started else { panic!("there was something to do") };
    bench.house.ended(run).await;
    bench.say("alice", &Bench::line(&plan)).await;
    let answer = bench.answer().await;
    assert!(answer.contains("what the plan rests on has moved"), "{answer}");
    assert_eq!(bench.runs().await.len(), 1);
}

#[tokio::test]
async fn another_forges_accounts_have_no_role() {
    let bench = Bench::open(KIND).await;
    let name = "forge".parse().unwrap();
    let before = bench.house.store.integration(&name).await.unwrap().unwrap();
    assert_eq!(bench.house.store.forge_users(&name).await.unwrap().len(), 1);
    let after = trueup::store::records::Integration {
        endpoint: "https://elsewhere.example".into(),
        updated_at: jiff::Timestamp::now(),
        ..before.clone()
    };
    let event = trueup::events::NewEvent {
        kind: trueup::events::EventType::IntegrationUpdated,
        subject: name.to_string(),
        data: serde_json::json!({}),
        at: after.updated_at,
    };
    bench.house.store.update_integration(before, after, event).await.unwrap();
    assert!(bench.house.store.forge_users(&name).await.unwrap().is_empty());
}
