use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::render::render;
use crate::cli::when::Viewpoint;
use crate::drift::Cause;
use crate::http::dto::{ReadState, ReadStatus, ServiceStatus, ServiceSync, StatusView, SyncState};
use crate::ids::RunId;
use crate::live::Health;
use crate::store::records::{ReplicaHealth, Run, RunKind, RunState};

fn now() -> Timestamp {
    "2026-11-21T03:12:07Z".parse().expect("valid")
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn read(state: ReadState, reason: Option<&str>) -> ReadStatus {
    let failed = matches!(state, ReadState::FetchFailed | ReadState::Invalid);
    ReadStatus {
        state,
        reason: reason.map(str::to_owned),
        commit: Some("0123456789abcdef0123456789abcdef01234567".parse().expect("valid")),
        checked_at: ago(1),
        stale_since: failed.then(|| ago(90)),
    }
}

fn service(name: &str, health: Health) -> ServiceStatus {
    let replica = |index: u32| ReplicaHealth { name: format!("{name}-{index}"), health: health.clone() };
    ServiceStatus {
        name: name.parse().expect("valid"),
        sync: ServiceSync::InSync,
        changes: 0,
        drift_since: None,
        causes: Vec::new(),
        reasons: Vec::new(),
        replicas: vec![replica(1), replica(2)],
        health,
        since: Some(ago(12)),
    }
}

fn view(read: Option<ReadStatus>) -> StatusView {
    StatusView {
        environment: "shop/production".parse().expect("valid"),
        provider: "docker".into(),
        read,
        plan_digest: None,
        sync: SyncState::InSync,
        changes: 0,
        blocked: 0,
        services: Vec::new(),
        run: None,
        observed_at: Some(ago(0)),
    }
}

fn shown(status: &StatusView) -> String {
    render(status, &Viewpoint { now: now(), zone: TimeZone::UTC }, false)
}

#[test]
fn each_way_that_a_read_can_go_is_told_with_its_reason() {
    let missing = ".trueup.yml does not exist at 01234567: nothing is declared, and nothing is withdrawn";
    let mistakes: Vec<String> = (1..=7).map(|line| format!(".trueup.yml:{line}:1: mistake {line}")).collect();
    let mut text = String::new();
    for read in [
        None,
        Some(read(ReadState::Ok, None)),
        Some(read(ReadState::NoFile, Some(missing))),
        Some(read(ReadState::FetchFailed, Some("the server answered HTTP 500"))),
        Some(read(ReadState::Invalid, Some(&mistakes[0]))),
        Some(read(ReadState::Invalid, Some(&mistakes.join("\n")))),
        Some(read(ReadState::Disabled, None)),
    ] {
        text.push_str(&shown(&view(read)));
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[test]
fn sync_and_health_stand_side_by_side_each_with_since_and_why() {
    let why = || "503 Service Unavailable".to_owned();
    let healths = BTreeMap::from([
        ("crash-loops", Health::CrashLooping { why: "exit code 1".to_owned() }),
        ("healthy", Health::Healthy),
        ("starting", Health::Starting),
        ("stopped", Health::Stopped { why: "exit code 0".to_owned() }),
        ("unhealthy", Health::Unhealthy { why: why() }),
        ("unknown", Health::Unknown { why: "connection refused".to_owned() }),
    ]);
    let mut services: Vec<ServiceStatus> = healths.into_iter().map(|(name, health)| service(name, health)).collect();
    let differs = |status: &mut ServiceStatus, sync, causes: &[Cause]| {
        status.sync = sync;
        status.changes = causes.len();
        status.causes = causes.to_vec();
        status.drift_since = Some(ago(40));
    };
    differs(&mut services[0], ServiceSync::Drift, &[Cause::Repo, Cause::Live]);
    differs(&mut services[1], ServiceSync::Blocked, &[Cause::Input]);
    services[1].reasons = vec!["it depends on db, which does not run".to_owned()];
    services[2].sync = ServiceSync::Orphan;
    services[5].sync = ServiceSync::Unknown;
    services[5].reasons = vec!["connection refused".to_owned()];
    let run = Run {
        id: RunId(7),
        environment: "shop/production".parse().expect("valid"),
        kind: RunKind::Sync,
        plan: "d".repeat(64).parse().expect("valid"),
        commit: None,
        state: RunState::Running,
        actor: "olga".into(),
        summary: None,
        started_at: ago(2),
        finished_at: None,
    };
    let status = StatusView {
        sync: SyncState::Drift,
        changes: 3,
        blocked: 1,
        plan_digest: Some("d".repeat(64).parse().expect("valid")),
        run: Some(run),
        services,
        ..view(Some(read(ReadState::Ok, None)))
    };
    insta::assert_snapshot!(shown(&status));
}
