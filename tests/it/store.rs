//! Does the store keep what it was given, and nothing else, through restarts, faults and old formats?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use trueup::authority::{Actor, Role};
use trueup::drift::{BaseLeaf, BaseService, Cause};
use trueup::ids::{EnvironmentRef, PlanDigest, RunId, ServiceName};
use trueup::live::Health;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::plan::{PLAN_FORMAT, Plan, PlanOptions};
use trueup::report::detail::ReportDetail;
use trueup::store::records::{
    AuditEntry, Environment, Project, ReadState, ReadStatus, RegisteredService, ReplicaHealth, RunKind, RunState,
    ServiceHealth,
};
use trueup::store::{LINES_PER_RUN_MAX, RELEASES_KEPT, RunStart, Store, StoreError};

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + seconds, 123_456_789).unwrap()
}

pub fn shop() -> EnvironmentRef {
    "shop/production".parse().unwrap()
}

pub fn web() -> ServiceName {
    "web".parse().unwrap()
}

pub fn project(name: &str) -> Project {
    Project {
        name: name.parse().unwrap(),
        url: format!("https://git.acme.dev/{name}.git"),
        auth: Some("env://TOKEN".parse().unwrap()),
        user: Some("alice".into()),
        tracked: Some("main".into()),
        config_path: ".trueup.yml".into(),
        disabled: false,
        webhook_secret: None,
        integration: None,
        repository: None,
        created_at: at(0),
    }
}

pub fn environment(id: &EnvironmentRef) -> Environment {
    Environment {
        id: id.clone(),
        provider: "docker".into(),
        settings: BTreeMap::from([("socket".into(), "/run/docker.sock".into())]),
        tracked: None,
        secrets: BTreeMap::from([("db".parse().unwrap(), "file:///etc/db".parse().unwrap())]),
        values: BTreeMap::from([("REGION".into(), "eu".into())]),
        allow_host_paths: vec!["/srv".into()],
        allow_untracked: true,
        report_detail: ReportDetail::NamesOnly,
        plan_forks: true,
        drift_issue: true,
        comment_commands: trueup::authority::CommentCommands::Sync,
        run_as: Some("shop".into()),
        created_at: at(1),
    }
}

pub async fn filled(directory: &Path) -> Store {
    let store = Store::open(directory).unwrap();
    store.add_project(project("shop")).await.unwrap();
    store.add_environment(environment(&shop())).await.unwrap();
    store
}

fn digest(fill: &str) -> PlanDigest {
    fill.repeat(64)[..64].parse().unwrap()
}

fn plan(digest: PlanDigest, made_at: Timestamp) -> Plan {
    Plan {
        format: PLAN_FORMAT,
        environment: shop(),
        provider: "docker".into(),
        reference: "main".into(),
        commit: None,
        commits: Default::default(),
        options: PlanOptions::default(),
        actions: vec![],
        unknowns: vec![],
        suppressed: vec![],
        orphans: vec![],
        in_sync: vec![web()],
        notes: vec![],
        desired: BTreeMap::new(),
        made_at,
        digest,
    }
}

pub fn start(fill: &str, seconds: i64) -> RunStart {
    RunStart {
        environment: shop(),
        plan: digest(fill),
        commit: Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap()),
        kind: RunKind::Sync,
        actor: Actor { name: "root (uid 0)".into(), role: Role::Admin },
        at: at(seconds),
    }
}

fn base(run: Option<RunId>, level: &str) -> BaseService {
    let leaf = BaseLeaf { value: Value::Text(level.into()), written: level.into() };
    BaseService {
        leaves: Arc::new(BTreeMap::from([
            (FieldPath::Env("LOG_LEVEL".into()), leaf.clone()),
            (FieldPath::Labels("com.acme/tier \"1\"".into()), leaf),
        ])),
        commit: None,
        run,
        verified_at: at(5),
    }
}

fn doing(health: Health) -> ServiceHealth {
    let replica = |name: &str| ReplicaHealth { name: name.into(), health: health.clone() };
    ServiceHealth { replicas: vec![replica("web-1"), replica("web-2")], health: health.clone() }
}

/// Begins and ends a run that releases `services`.
async fn released(store: &Store, services: &[(&str, &str)]) -> RunId {
    let run = store.begin_run(start("a", 2)).await.unwrap();
    for (service, level) in services {
        store.record_base(&shop(), &service.parse().unwrap(), base(Some(run), level)).await.unwrap();
    }
    store.finish_run(run, RunState::Succeeded, "done", at(3)).await.unwrap();
    run
}

#[tokio::test]
async fn everything_comes_back_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let installation = store.installation().await.unwrap();
    let spec = serde_json::json!({"image": "web:1"});
    let service = RegisteredService { environment: shop(), name: web(), spec };
    store.put_service(service.clone()).await.unwrap();
    let read = ReadStatus {
        state: ReadState::FetchFailed,
        reason: Some("no route".into()),
        commit: Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap()),
        checked_at: at(2),
        stale_since: Some(at(1)),
    };
    store.put_read(&shop(), &read).await.unwrap();
    let made = plan(digest("ab"), at(4));
    store.save_plan(&made).await.unwrap();
    store.set_latest_plan(&shop(), &made.digest).await.unwrap();
    let run = store.begin_run(start("ab", 5)).await.unwrap();
    let intent = serde_json::json!({"step": "prepare", "from": null});
    let seq = store.journal_intent(run, Some(&web()), intent.clone(), at(6)).await.unwrap();
    store.journal_outcome(run, seq, serde_json::json!({"replica": "c1"}), at(7)).await.unwrap();
    store.journal_intent(run, None, intent, at(8)).await.unwrap();
    store.append_line(run, at(8), "pulling ✓").await.unwrap();
    store.record_base(&shop(), &web(), base(Some(run), "info")).await.unwrap();
    store.update_drift_marks(&shop(), vec![(web(), FieldPath::Image, Cause::Input)], at(9)).await.unwrap();
    let health = BTreeMap::from([(web(), doing(Health::Unhealthy { why: "503".into() }))]);
    store.put_healths(&shop(), health, at(10)).await.unwrap();
    store.add_token("ci", Role::Operator, [7; 32], at(11)).await.unwrap();
    drop(store);

    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.installation().await.unwrap(), installation);
    assert_eq!(store.projects().await.unwrap(), [project("shop")]);
    assert_eq!(store.environment(&shop()).await.unwrap(), Some(environment(&shop())));
    assert_eq!(store.services(&shop()).await.unwrap(), [service]);
    assert_eq!(store.read(&shop()).await.unwrap(), Some(read.clone()));
    assert_eq!(store.reads().await.unwrap(), [(shop(), read)]);
    assert_eq!(store.latest_plan(&shop()).await.unwrap(), Some(made.clone()));
    assert_eq!(store.plan_by_prefix("abababab").await.unwrap(), made);
    let unfinished = store.unfinished_runs().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!((unfinished[0].id, unfinished[0].started_at, unfinished[0].state), (run, at(5), RunState::Running));
    let journal = store.journal(run).await.unwrap();
    assert_eq!(journal.iter().map(|step| step.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(journal[0].service, Some(web()));
    assert_eq!(journal[0].outcome, Some(serde_json::json!({"replica": "c1"})));
    assert_eq!((journal[1].service.clone(), journal[1].outcome.clone(), journal[1].ended_at), (None, None, None));
    assert_eq!(store.lines(run, 0).await.unwrap()[0].text, "pulling ✓");
    assert_eq!(store.base(&shop()).await.unwrap().services, BTreeMap::from([(web(), base(Some(run), "info"))]));
    let marks = store.drift_marks(&shop()).await.unwrap();
    assert_eq!((marks[0].field.clone(), marks[0].cause, marks[0].since), (FieldPath::Image, Cause::Input, at(9)));
    let healths = store.healths(&shop()).await.unwrap();
    assert_eq!(healths, [(web(), doing(Health::Unhealthy { why: "503".into() }), at(10))]);
    assert_eq!(store.token_by_hash([7; 32]).await.unwrap().map(|token| token.role), Some(Role::Operator));
    assert_eq!(store.token_by_hash([8; 32]).await.unwrap(), None);
}

/// Two who change an environment at once: the later one is told, and nothing of the earlier is lost.
#[tokio::test]
async fn a_change_of_an_environment_made_from_an_older_state_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let before = store.environment(&shop()).await.unwrap().unwrap();
    let mut first = before.clone();
    first.allow_untracked = !before.allow_untracked;
    store.update_environment(before.clone(), first.clone()).await.unwrap();
    let mut second = before.clone();
    second.tracked = Some("release".into());
    let refused = store.update_environment(before, second).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.environment(&shop()).await.unwrap().unwrap(), first);
}

#[tokio::test]
async fn names_are_taken_once_and_nothing_is_made_up() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    assert!(matches!(store.add_project(project("shop")).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.add_environment(environment(&shop())).await, Err(StoreError::Conflict(_))));
    let nowhere: EnvironmentRef = "blog/production".parse().unwrap();
    assert!(matches!(store.add_environment(environment(&nowhere)).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.update_project(project("blog")).await, Err(StoreError::NotFound(_))));
    assert!(matches!(
        store.update_environment(environment(&nowhere), environment(&nowhere)).await,
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(store.remove_environment(&nowhere).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.remove_service(&shop(), &web()).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.record_base(&nowhere, &web(), base(None, "info")).await, Err(StoreError::NotFound(_))));
    let healthy = BTreeMap::from([(web(), doing(Health::Healthy))]);
    assert!(matches!(store.put_healths(&nowhere, healthy, at(0)).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.remove_token("ci").await, Err(StoreError::NotFound(_))));
    store.add_token("ci", Role::Viewer, [1; 32], at(0)).await.unwrap();
    assert!(matches!(store.add_token("ci", Role::Admin, [2; 32], at(0)).await, Err(StoreError::Conflict(_))));
    let changed = Project { url: "/srv/shop".into(), auth: None, disabled: true, ..project("shop") };
    store.update_project(changed.clone()).await.unwrap();
    assert_eq!(store.project(&changed.name).await.unwrap(), Some(changed));
}

#[tokio::test]
async fn removal_takes_everything_along_but_never_under_a_run() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let name = project("shop").name;
    assert!(matches!(store.remove_project(&name, false).await, Err(StoreError::Conflict(_))));
    let run = store.begin_run(start("a", 1)).await.unwrap();
    assert!(matches!(store.remove_environment(&shop()).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.remove_project(&name, true).await, Err(StoreError::Conflict(_))));
    store.record_base(&shop(), &web(), base(Some(run), "info")).await.unwrap();
    store.finish_run(run, RunState::Failed, "it broke", at(2)).await.unwrap();
    store.remove_project(&name, true).await.unwrap();
    assert_eq!(store.environments(None).await.unwrap(), []);
    assert_eq!(store.run(run).await.unwrap(), None);

    // A new environment of the same name knows nothing of the old one, and no run's number comes twice.
    store.add_project(project("shop")).await.unwrap();
    store.add_environment(environment(&shop())).await.unwrap();
    assert_eq!(store.base(&shop()).await.unwrap().services, BTreeMap::new());
    assert_eq!(store.begin_run(start("a", 3)).await.unwrap(), RunId(run.0 + 1));
}

#[tokio::test]
async fn one_unfinished_run_per_environment() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let other: EnvironmentRef = "shop/staging".parse().unwrap();
    store.add_environment(environment(&other)).await.unwrap();
    let attempts = futures_util::future::join_all((0..20).map(|_| store.begin_run(start("a", 1)))).await;
    let (begun, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
    assert_eq!((begun.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|result| matches!(result, Err(StoreError::Conflict(_)))));
    let run = *begun[0].as_ref().unwrap();
    store.begin_run(RunStart { environment: other, ..start("a", 1) }).await.unwrap();
    assert!(matches!(store.finish_run(run, RunState::Running, "", at(2)).await, Err(StoreError::Conflict(_))));
    store.finish_run(run, RunState::Succeeded, "ok", at(2)).await.unwrap();
    assert!(matches!(store.finish_run(run, RunState::Failed, "", at(3)).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.finish_run(RunId(99), RunState::Failed, "", at(3)).await, Err(StoreError::NotFound(_))));
    assert!(store.begin_run(start("a", 4)).await.is_ok());
    let ended = store.run(run).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.summary.as_deref(), ended.finished_at),
        (RunState::Succeeded, Some("ok"), Some(at(2)))
    );
}

#[tokio::test]
async fn the_journal_knows_each_outcome_once_and_no_step_after_the_end() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let run = store.begin_run(start("a", 1)).await.unwrap();
    let seq = store.journal_intent(run, None, serde_json::json!("stop"), at(1)).await.unwrap();
    store.journal_outcome(run, seq, serde_json::Value::Null, at(2)).await.unwrap();
    let again = store.journal_outcome(run, seq, serde_json::json!("failed"), at(3)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "a null outcome is an outcome");
    assert_eq!(store.journal(run).await.unwrap()[0].outcome, Some(serde_json::Value::Null));
    let unknown = store.journal_outcome(run, 9, serde_json::Value::Null, at(3)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
    store.finish_run(run, RunState::Failed, "", at(4)).await.unwrap();
    let late = store.journal_intent(run, None, serde_json::json!("start"), at(5)).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn output_is_bounded() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let run = store.begin_run(start("a", 1)).await.unwrap();
    let text = "x".repeat(10_000);
    let count = LINES_PER_RUN_MAX + 5;
    let last = futures_util::future::join_all((0..count).map(|_| store.append_line(run, at(2), &text))).await;
    assert_eq!(last.last().unwrap().as_ref().unwrap(), &LINES_PER_RUN_MAX);
    let lines = store.lines(run, LINES_PER_RUN_MAX - 2).await.unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].text.len() <= 4_096 && lines[0].text.ends_with('…'));
    assert!(lines[1].text.contains("goes on"), "{}", lines[1].text);
    assert!(matches!(store.append_line(RunId(99), at(2), "x").await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn plans_answer_to_a_unique_prefix() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let first: PlanDigest = format!("{}{}", "a".repeat(10), "b".repeat(54)).parse().unwrap();
    let second: PlanDigest = format!("{}{}", "a".repeat(10), "f".repeat(54)).parse().unwrap();
    for digest in [&first, &second] {
        store.save_plan(&plan(digest.clone(), at(1))).await.unwrap();
    }
    assert!(matches!(store.plan_by_prefix("aaaaaaaa").await, Err(StoreError::Conflict(_))));
    assert_eq!(store.plan_by_prefix("aaaaaaaaaab").await.unwrap().digest, first);
    assert_eq!(store.plan_by_prefix(second.as_str()).await.unwrap().digest, second);
    for bad in ["aaaaaaa", "", "aaaaaaaa%", "AAAAAAAAAAB", &"a".repeat(65)] {
        assert!(matches!(store.plan_by_prefix(bad).await, Err(StoreError::Conflict(_))), "{bad}");
    }
    assert!(matches!(store.plan_by_prefix("bbbbbbbb").await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.set_latest_plan(&shop(), &digest("c")).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_release_is_every_service_as_of_that_run() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let one = released(&store, &[("web", "one"), ("job", "one")]).await;
    let two = released(&store, &[("web", "two")]).await;
    let deleting = store.begin_run(start("a", 2)).await.unwrap();
    store.forget_base(&shop(), &"job".parse().unwrap()).await.unwrap();
    store.forget_base(&shop(), &"job".parse().unwrap()).await.unwrap();
    store.finish_run(deleting, RunState::Succeeded, "", at(4)).await.unwrap();
    let four = released(&store, &[("web", "four")]).await;
    store.record_base(&shop(), &"cron".parse().unwrap(), base(None, "found")).await.unwrap();

    let levels = |release: BTreeMap<ServiceName, BaseService>| -> Vec<(String, String)> {
        let level = |base: &BaseService| base.leaves[&FieldPath::Env("LOG_LEVEL".into())].written.to_string();
        release.iter().map(|(name, base)| (name.to_string(), level(base))).collect()
    };
    let expected =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
    assert_eq!(levels(store.release(&shop(), one).await.unwrap()), expected(&[("job", "one"), ("web", "one")]));
    assert_eq!(levels(store.release(&shop(), two).await.unwrap()), expected(&[("job", "one"), ("web", "two")]));
    assert_eq!(levels(store.release(&shop(), deleting).await.unwrap()), expected(&[("web", "two")]));
    assert_eq!(levels(store.release(&shop(), four).await.unwrap()), expected(&[("web", "four")]));
    assert!(matches!(store.release(&shop(), RunId(99)).await, Err(StoreError::NotFound(_))));
    let listed = store.releases(&shop(), 10).await.unwrap();
    assert_eq!(listed.iter().map(|release| release.run.id).collect::<Vec<_>>(), [four, deleting, two, one]);
    assert_eq!(listed[3].services, BTreeSet::from([web(), "job".parse().unwrap()]));
    assert_eq!(listed[1].services, BTreeSet::new());
}

#[tokio::test]
async fn a_release_that_is_no_longer_whole_is_refused_rather_than_guessed() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let first = released(&store, &[("web", "0"), ("job", "0")]).await;
    let mut runs = vec![];
    for level in 0..RELEASES_KEPT {
        runs.push(released(&store, &[("web", &level.to_string())]).await);
    }
    // `job` as of the first run is known, `web` is not: deploying that as a release would delete it.
    let lost = store.release(&shop(), first).await;
    assert!(matches!(&lost, Err(StoreError::Conflict(why)) if why.contains("web")), "{lost:?}");
    assert_eq!(store.release(&shop(), runs[0]).await.unwrap().len(), 2);
    let listed: Vec<RunId> = store.releases(&shop(), 99).await.unwrap().iter().map(|release| release.run.id).collect();
    assert!(!listed.contains(&first));
    assert_eq!(listed.len(), RELEASES_KEPT);
}

#[tokio::test]
async fn since_persists_while_the_state_does() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let image = || (web(), FieldPath::Image, Cause::Repo);
    store.update_drift_marks(&shop(), vec![image(), (web(), FieldPath::User, Cause::Live)], at(1)).await.unwrap();
    store.update_drift_marks(&shop(), vec![image(), (web(), FieldPath::User, Cause::Both)], at(2)).await.unwrap();
    let marks = store.drift_marks(&shop()).await.unwrap();
    assert_eq!(
        marks.iter().map(|mark| (mark.cause, mark.since)).collect::<Vec<_>>(),
        [(Cause::Repo, at(1)), (Cause::Both, at(2))]
    );
    store.update_drift_marks(&shop(), vec![(web(), FieldPath::User, Cause::Both)], at(3)).await.unwrap();
    assert_eq!(store.drift_marks(&shop()).await.unwrap().len(), 1);
    store.update_drift_marks(&shop(), vec![image()], at(4)).await.unwrap();
    assert_eq!(store.drift_marks(&shop()).await.unwrap()[0].since, at(4), "it had gone in between");

    let unhealthy = |why: &str| doing(Health::Unhealthy { why: why.into() });
    for (why, seconds) in [("503", 1), ("timeout", 2)] {
        store.put_healths(&shop(), BTreeMap::from([(web(), unhealthy(why))]), at(seconds)).await.unwrap();
    }
    assert_eq!(store.healths(&shop()).await.unwrap(), [(web(), unhealthy("timeout"), at(1))]);
    store.put_health(&shop(), &web(), Health::Unhealthy { why: "again".into() }, at(2)).await.unwrap();
    let (_, seen, since) = store.healths(&shop()).await.unwrap().remove(0);
    assert_eq!((seen.replicas, since), (vec![], at(1)));
    let job: ServiceName = "job".parse().unwrap();
    store.put_healths(&shop(), BTreeMap::from([(job.clone(), doing(Health::Healthy))]), at(3)).await.unwrap();
    assert_eq!(store.healths(&shop()).await.unwrap(), [(job, doing(Health::Healthy), at(3))]);
}

#[tokio::test]
async fn the_audit_log_folds_only_what_is_the_same() {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let entry = |target: &str, seconds: i64| AuditEntry {
        at: at(seconds),
        actor: "daemon".into(),
        operation: "secret resolved".into(),
        target: target.into(),
        outcome: "allowed".into(),
    };
    let hour = SignedDuration::from_hours(1);
    for (target, seconds) in [("env://A", 0), ("env://B", 60), ("env://A", 120), ("env://A", 4000)] {
        store.append_audit_folded(entry(target, seconds), hour).await.unwrap();
    }
    store.append_audit(entry("env://A", 4001)).await.unwrap();
    let lines = store.audit(10).await.unwrap();
    let seen: Vec<_> =
        lines.iter().map(|line| (line.entry.target.as_str(), line.entry.at, line.last_at, line.times)).collect();
    assert_eq!(
        seen,
        [
            ("env://A", at(4001), at(4001), 1),
            ("env://A", at(4000), at(4000), 1),
            ("env://B", at(60), at(60), 1),
            ("env://A", at(0), at(120), 2),
        ]
    );
    assert_eq!(store.audit(1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_sweep_spares_what_is_cited() {
    let directory = TempDir::new().unwrap();
    let store = filled(directory.path()).await;
    let day = 24 * 3600;
    for (fill, days) in [("a", 0), ("b", 0), ("c", 0), ("d", 20)] {
        store.save_plan(&plan(digest(fill), at(days * day))).await.unwrap();
    }
    store.set_latest_plan(&shop(), &digest("b")).await.unwrap();
    let run = store.begin_run(start("c", 0)).await.unwrap();
    store.append_line(run, at(0), "line").await.unwrap();
    let swept = store.sweep(at(31 * day)).await.unwrap();
    assert_eq!((swept.plans, swept.lines, swept.runs), (1, 0, 0));
    assert!(store.plan_by_prefix(digest("a").as_str()).await.is_err());
    for kept in ["b", "c", "d"] {
        assert!(store.plan_by_prefix(digest(kept).as_str()).await.is_ok(), "{kept}");
    }
    store.finish_run(run, RunState::Failed, "", at(1)).await.unwrap();
    assert_eq!(store.sweep(at(91 * day)).await.unwrap().lines, 1);
    assert_eq!(store.sweep(at(400 * day)).await.unwrap().runs, 0, "the newest runs stay");
}
