//! Does a pull request's report say what merging and syncing would change, from real commits to a comment, and does it
//! change nothing?

use reqwest::Method;
use serde_json::json;
use trueup::ids::{CommitSha, EnvironmentRef};
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::pass::PullFacts;
use trueup::report::annotations::{AnnotationLevel, of_environment};
use trueup::report::detail::ReportDetail;
use trueup::report::markdown::{CommentContext, CommentStyle, LengthUnit, comment};
use trueup::report::pull::{AfterMerge, NotPlanned, PlannedPull, PublicService, PullOutcome, PullReport, PullState};
use trueup::store::records::{Environment, RunState};

use crate::world::backend;
use crate::world::door::Door;
use crate::world::house::{House, environment, file, file_for};

const WEB: &str = "web:\n  image: acme/web:1\n  env:\n    A: \"1\"\n    B: \"1\"\n    C: \"1\"\n    D: \"1\"\n  resources:\n    memory_limit: 256Mi\n";

/// A synced house, and a branch `feature` of its repository.
async fn house() -> House {
    let house = House::new(WEB).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    house.repo.git(&["branch", "feature"]);
    house
}

/// Commits to the request's branch, shows it as pull request 7, and returns to `main`.
fn push(house: &House, content: &str) -> CommitSha {
    house.repo.git(&["checkout", "-q", "feature"]);
    let head = house.repo.commit(".trueup.yml", content);
    house.repo.git(&["update-ref", "refs/pull/7/head", &head]);
    house.repo.git(&["checkout", "-q", "main"]);
    head.parse().unwrap()
}

async fn facts(house: &House) -> PullFacts {
    house.passes.pull_facts(&house.id.project, 7, Some("main".into()), "olga").await.unwrap()
}

async fn report_of(house: &House, facts: &PullFacts) -> PullReport {
    let effects = house.runtime.effects();
    let report = house.passes.pull_report(&house.id.project, 7, facts, "olga").await.unwrap();
    assert_eq!(house.runtime.effects(), effects, "a report changes nothing");
    report
}

async fn report(house: &House) -> PullReport {
    report_of(house, &facts(house).await).await
}

fn planned(report: &PullReport) -> &PlannedPull {
    match &report.environments[0].outcome {
        PullOutcome::Planned(planned) => planned,
        other => panic!("{other:?}"),
    }
}

fn fields(services: &[PublicService]) -> Vec<String> {
    let of = |service: &PublicService| -> Vec<String> {
        service.changes.iter().map(|change| format!("{}.{}", service.service, change.field)).collect()
    };
    services.iter().flat_map(of).collect()
}

fn text(report: &PullReport) -> String {
    let style = CommentStyle { limit: 65_536, unit: LengthUnit::Characters, html: true };
    let context = CommentContext { installation: "0011", link: None, style };
    let json = serde_json::to_string(report).unwrap();
    assert_eq!(&serde_json::from_str::<PullReport>(&json).unwrap(), report, "it survives being kept");
    format!("{}\n{json}", comment(report, &context))
}

async fn set(house: &House, change: impl FnOnce(&mut Environment)) {
    let before = house.store.environment(&house.id).await.unwrap().unwrap();
    let mut after = before.clone();
    change(&mut after);
    house.store.update_environment(before, after).await.unwrap();
}

#[tokio::test]
async fn the_three_parts_from_real_commits() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"").replace("B: \"1\"", "B: \"hand\"")));
    // Merged and not synced; and changed by hand: the request takes over what someone did to B.
    house.declare(&WEB.replace("D: \"1\"", "D: \"2\""));
    house.runtime.by_hand("web", |replica| {
        replica.leaves.insert(FieldPath::Env("B".into()), Value::Text("hand".into()));
        replica.leaves.insert(FieldPath::Env("C".into()), Value::Text("hand".into()));
    });
    let report = report(&house).await;
    assert!(!report.fork, "a branch of the repository stands at its head");
    let shown = planned(&report);
    assert_eq!(fields(&shown.pull_request), ["web.env.A"]);
    assert_eq!(fields(&shown.undone), ["web.env.B"]);
    assert_eq!(fields(&shown.waiting), ["web.env.D"]);
    assert_eq!(fields(&shown.live), ["web.env.C"]);
    assert_eq!(shown.merged, None, "there is nothing to sync before the merge");
    assert!(!text(&report).contains("trueup sync"));
    let notes = of_environment(&report, &house.id.environment);
    let lines: Vec<(u32, AnnotationLevel)> = notes.iter().map(|of| (of.start_line, of.level)).collect();
    // Replacing interrupts, so everything here is a warning; each on its own line of the merged file.
    assert_eq!(lines, [(8, AnnotationLevel::Warning), (10, AnnotationLevel::Warning), (11, AnnotationLevel::Warning)]);
    insta::assert_snapshot!("pull_three_parts", settled(&report));
}

/// The comment, with ids that change from run to run named.
fn settled(report: &PullReport) -> String {
    text(report).split("\n{").next().unwrap().replace(report.head.short(), "HEAD")
}

#[tokio::test]
async fn nothing_to_change_a_conflict_an_invalid_file_and_none() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    house.repo.git(&["update-ref", "refs/pull/7/head", "feature"]);
    let nothing = report(&house).await;
    assert_eq!(planned(&nothing).changing().count(), 0);
    assert_eq!(planned(&nothing).in_sync, ["web".parse().unwrap()]);

    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"").replace("image:", "imagee:")));
    let invalid = report(&house).await;
    let PullOutcome::Invalid { problems } = &invalid.environments[0].outcome else { panic!("{invalid:?}") };
    assert_eq!(problems[0].at.as_ref().map(|at| at.line), Some(6), "{problems:?}");
    let notes = of_environment(&invalid, &house.id.environment);
    assert_eq!((notes[0].start_line, notes[0].level), (6, AnnotationLevel::Failure));

    house.declare(&WEB.replace("A: \"1\"", "A: \"3\""));
    let conflict = report(&house).await;
    let paths = vec![".trueup.yml".to_owned()];
    assert_eq!(conflict.environments[0].outcome, PullOutcome::Conflict { paths, more: 0 });

    house.repo.git(&["checkout", "-q", "feature"]);
    house.repo.git(&["reset", "-q", "--hard", "main"]);
    house.repo.git(&["rm", "-q", ".trueup.yml"]);
    house.repo.git(&["commit", "-q", "-m", "gone"]);
    house.repo.git(&["update-ref", "refs/pull/7/head", "feature"]);
    house.repo.git(&["checkout", "-q", "main"]);
    let none = report(&house).await;
    assert_eq!(none.environments[0].outcome, PullOutcome::NoFile { path: ".trueup.yml".into() });

    let missing = house.passes.pull_facts(&house.id.project, 8, None, "olga").await.unwrap_err();
    assert!(missing.to_string().contains("refs/pull/8/head"), "{missing}");
}

#[tokio::test]
async fn a_broken_target_is_mended_by_the_request() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    house.declare(&WEB.replace("image:", "imagee:"));
    house.repo.git(&["branch", "-f", "feature", "main"]);
    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"")));
    assert_eq!(fields(&planned(&report(&house).await).pull_request), ["web.env.A"]);
}

#[tokio::test]
async fn a_fork_s_head_is_planned_only_if_allowed_and_looks_at_nothing() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    let changed = WEB.replace("acme/web:1", "evil.example/web:2").replace("A: \"1\"", "A: { secret: root-password }");
    push(&house, &file(&changed.replace("B: \"1\"", "B: \"{{ .Env.Internal }}\"")));
    house.repo.git(&["branch", "-D", "feature"]);
    set(&house, |environment| drop(environment.values.insert("Internal".into(), "swordfish".into()))).await;
    let refused = report(&house).await;
    assert!(refused.fork);
    assert_eq!(refused.environments[0].outcome, PullOutcome::NotPlanned { why: NotPlanned::ForkNotAllowed });

    set(&house, |environment| environment.plan_forks = true).await;
    // What runs says something else, and is not even there to be asked.
    house
        .runtime
        .by_hand("web", |replica| drop(replica.leaves.insert(FieldPath::Env("C".into()), Value::Text("hand".into()))));
    house.runtime.set_unreachable(true);
    let report = report(&house).await;
    let shown = planned(&report);
    assert!(!shown.observed && shown.unknowns.is_empty() && shown.blocked.is_empty(), "{shown:?}");
    assert_eq!(fields(&shown.pull_request), ["web.image", "web.env.A", "web.env.B"]);
    assert!(shown.live.is_empty() && shown.waiting.is_empty());
    let text = text(&report);
    assert!(!text.contains("hand") && !text.contains("swordfish"), "{text}");
    assert!(!text.contains("sha256:") || !text.contains("evil.example/web:2@"), "no registry was asked: {text}");
}

#[tokio::test]
async fn what_runs_under_undeclared_names_never_shows() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    house.runtime.by_hand("web", |replica| {
        replica.leaves.insert(FieldPath::Env("TOKEN".into()), Value::Text("hunter2".into()));
        replica.leaves.insert(FieldPath::Env("LURED".into()), Value::Text("swordfish".into()));
    });
    // The request declares a name to lure the value out.
    push(&house, &file(&WEB.replace("    D: \"1\"\n", "    D: \"1\"\n    LURED: \"x\"\n")));
    let lured = report(&house).await;
    assert_eq!(fields(&planned(&lured).pull_request), ["web.env.LURED"]);
    let said = text(&lured);
    assert!(!said.contains("hunter2") && !said.contains("swordfish"), "{said}");
    assert!(said.contains("(not shown: live value)"), "{said}");

    set(&house, |environment| environment.report_detail = ReportDetail::NamesOnly).await;
    let names = text(&report(&house).await);
    assert!(names.contains("env.LURED") && !names.contains("\"x\""), "{names}");

    set(&house, |environment| environment.report_detail = ReportDetail::Off).await;
    let off = report(&house).await;
    assert_eq!(off.environments[0].outcome, PullOutcome::NotPlanned { why: NotPlanned::ReportsOff });
    assert!(!text(&off).split("\n{").next().unwrap().contains("production"), "not even its name");
}

#[tokio::test]
async fn after_the_merge_the_digest_syncs_and_the_run_is_reported() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"")));
    house.declare(&WEB.replace("D: \"1\"", "D: \"2\""));
    house.repo.git(&["merge", "-q", "--no-edit", "--no-ff", "feature"]);
    let commit: CommitSha = house.repo.git(&["rev-parse", "HEAD"]).parse().unwrap();
    let merged = PullFacts { state: PullState::Merged { commit: Some(commit.clone()) }, ..facts(&house).await };
    // Someone else's merge comes after it.
    house.declare(&WEB.replace("A: \"1\"", "A: \"2\"").replace("D: \"1\"", "D: \"2\"").replace("B: \"1\"", "B: \"2\""));

    let waiting = report_of(&house, &merged).await;
    let shown = planned(&waiting);
    assert_eq!(fields(&shown.pull_request), ["web.env.A"]);
    assert_eq!(fields(&shown.waiting), ["web.env.B", "web.env.D"]);
    let Some(AfterMerge::Awaits { digest, command }) = &shown.merged else { panic!("{:?}", shown.merged) };
    assert_eq!(*command, format!("trueup sync shop/production --plan {}", digest.short()));
    assert!(text(&waiting).contains(command.as_str()));
    let plan = house.store.plan_by_prefix(digest.short()).await.unwrap();
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded);

    let done = report_of(&house, &merged).await;
    let Some(AfterMerge::Ran { run: reported, succeeded: true, services, rest: None, .. }) = &planned(&done).merged
    else {
        panic!("{:?}", planned(&done).merged)
    };
    assert_eq!((*reported, services.len(), services[0].verified), (run.id, 1, true));
    // A run of before the merge carried nothing of it.
    let unknown = PullFacts { state: PullState::Merged { commit: None }, ..merged.clone() };
    assert!(matches!(planned(&report_of(&house, &unknown).await).merged, Some(AfterMerge::Ran { .. })));
    house.runtime.crash("3");
    house.declare(&WEB.replace("acme/web:1", "acme/web:3"));
    let failed = house.sync().await;
    assert_eq!(failed.state, RunState::Failed);
    let Some(AfterMerge::Ran { run: reported, succeeded: false, services, rest: Some(_), command: Some(_) }) =
        planned(&report_of(&house, &merged).await).merged.clone()
    else {
        panic!("the newest run that carries the commit is reported")
    };
    assert_eq!((reported, services[0].verified), (failed.id, false));

    let closed = PullFacts { state: PullState::Closed, ..merged };
    assert!(report_of(&house, &closed).await.environments.is_empty());
}

#[tokio::test]
async fn only_environments_that_track_the_target_are_reported() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    let other = |name: &str, tracked: &str| {
        let id: EnvironmentRef = format!("shop/{name}").parse().unwrap();
        Environment { tracked: Some(tracked.to_owned()), ..environment(&id, "memory", &[]) }
    };
    house.repo.git(&["branch", "release"]);
    for (name, tracked) in [("full-name", "refs/heads/main"), ("head", "HEAD"), ("release", "release"), ("tags", "v*")]
    {
        house.store.add_environment(other(name, tracked)).await.unwrap();
    }
    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"")));
    let names = |report: &PullReport| -> Vec<String> {
        report.environments.iter().map(|of| of.environment.to_string()).collect()
    };
    assert_eq!(names(&report(&house).await), ["full-name", "head", "production"]);
    let facts = PullFacts { target: Some("release".into()), ..facts(&house).await };
    assert_eq!(names(&report_of(&house, &facts).await), ["release"]);
    house.runtime.set_unreachable(true);
    let mut unseen = report(&house).await;
    unseen.environments.retain(|of| of.environment == house.id.environment);
    assert!(planned(&unseen).is_unseen());
}

#[tokio::test]
async fn a_commit_s_id_stands_for_the_head_s_until_it_is_merged() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    let head = push(&house, &file(&WEB.replace("A: \"1\"", "A: \"{{ .Commit }}\"")));
    let report = report(&house).await;
    let shown = planned(&report);
    assert!(shown.pull_request[0].changes[0].every_commit);
    assert!(shown.notes.iter().any(|note| note.contains("another id")), "{:?}", shown.notes);
    assert!(text(&report).contains(head.as_str()));
}

#[tokio::test]
async fn the_api_makes_keeps_and_shows_reports() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    push(&house, &file(&WEB.replace("A: \"1\"", "A: \"2\"")));
    let door = Door::open(house, "no-such-group").await;
    let at = "/api/v1/projects/shop/pulls/7/report";
    assert_eq!(door.get(at).await.0.as_u16(), 404);
    let (status, made) = door.post(at, json!({"target": "main"})).await;
    assert_eq!(status.as_u16(), 200, "{made}");
    assert_eq!(made["environments"][0]["outcome"]["pull_request"][0]["changes"][0]["field"], "env.A", "{made}");
    assert_eq!(door.get(at).await.1, made, "it is kept");
    let (status, problem) = door.post("/api/v1/projects/shop/pulls/9/report", json!({})).await;
    assert_eq!(status.as_u16(), 404, "{problem}");
    assert_eq!(door.post(at, json!({"target": "a b"})).await.0.as_u16(), 422);
    assert_eq!(door.ask(Method::GET, "/api/v1/projects/shop/pulls/x/report", None).await.0.as_u16(), 400);
    door.close().await;
}

#[tokio::test]
async fn the_other_file_of_another_environment_is_not_withdrawn() {
    if !backend::git() {
        return;
    }
    let house = house().await;
    push(&house, &file_for("staging", WEB));
    let report = report(&house).await;
    let shown = planned(&report);
    assert_eq!((shown.changing().count(), shown.orphans.len()), (0, 0), "{shown:?}");
    assert!(shown.notes.iter().any(|note| note.contains("declares no services")), "{:?}", shown.notes);
}
