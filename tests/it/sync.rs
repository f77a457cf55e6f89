//! Does a sync do what its plan says, harm nothing when it fails, and record only what it verified?

use trueup::authority::{Actor, Role};
use trueup::drift::Cause;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::plan::{ActionKind, PlanOptions};
use trueup::provider::StepError;
use trueup::store::records::RunState;
use trueup::sync::Started;
use trueup::sync::gate::Refusal;

use crate::world::backend;
use crate::world::house::House;

pub const WEB: &str = "web:\n  image: acme/web:1\n  env: {LOG_LEVEL: info}\n  resources: {memory_limit: 256Mi}\n";

fn memory(mib: u64) -> Value {
    Value::Memory(trueup::live::quantity::Bytes(mib << 20))
}

#[tokio::test]
async fn a_sync_creates_verifies_records_and_leaves_nothing_to_do() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let plan = house.plan().await;
    assert_eq!(plan.actions[0].kind, ActionKind::Create);
    assert!(house.runtime.effects().is_empty(), "planning has an effect: {:?}", house.runtime.effects());
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.running("web").len(), 1);
    let again = house.plan().await;
    assert!(again.is_empty() && again.exit_code() == 0, "{again:#?}");
    let effects = house.runtime.effects();
    assert_eq!(house.start(&again).await.unwrap(), Started::NothingToDo(Vec::new()));
    assert_eq!(house.runtime.effects(), effects, "a sync with nothing to do has an effect");
    let base = house.store.base(&house.id).await.unwrap();
    assert_eq!(base.services.len(), 1);
}

#[tokio::test]
async fn a_commit_replaces_and_what_nobody_declared_survives() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.runtime.by_hand("web", |replica| {
        replica.unmanaged.insert("cap_add".into(), "NET_ADMIN".into());
    });
    house.declare(&WEB.replace("web:1", "web:2"));
    let plan = house.plan().await;
    let change = &plan.actions[0].changes[0];
    assert_eq!((plan.actions[0].kind, change.cause), (ActionKind::Replace, Cause::Repo));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    let running = house.runtime.running("web");
    assert_eq!(running.len(), 1);
    assert_eq!(house.runtime.replicas().len(), 1, "the old replica was not removed");
    assert_eq!(running[0].unmanaged["cap_add"], "NET_ADMIN");
}

#[tokio::test]
async fn a_change_by_hand_is_seen_as_live_and_set_back_in_place() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let before = house.runtime.replicas();
    house.runtime.by_hand("web", |replica| {
        replica.leaves.insert(FieldPath::MemoryLimit, memory(512));
    });
    let plan = house.plan().await;
    let change = &plan.actions[0].changes[0];
    assert_eq!((change.field.clone(), change.cause), (FieldPath::MemoryLimit, Cause::Live));
    assert_eq!(plan.actions[0].kind, ActionKind::InPlace);
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.replicas(), before, "a change in place must touch nothing else");
}

#[tokio::test]
async fn restarts_of_long_ago_say_nothing_of_a_change_in_place() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.runtime.by_hand("web", |replica| {
        replica.restarts = 7;
        replica.leaves.insert(FieldPath::MemoryLimit, memory(512));
    });
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.running("web")[0].leaves[&FieldPath::MemoryLimit], memory(256));
    assert!(house.plan().await.is_empty());
}

#[tokio::test]
async fn a_new_replica_that_restarts_over_and_over_fails() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    let before = house.runtime.replicas();
    house.runtime.restart_endlessly("2");
    house.declare(&WEB.replace("web:1", "web:2"));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.summary.clone().unwrap().contains("does not stay up"), "{:?}", run.summary);
    assert_eq!(house.runtime.replicas(), before);
}

#[tokio::test]
async fn a_stopped_service_is_drift_and_a_sync_starts_it() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.runtime.by_hand("web", |replica| replica.running = false);
    let plan = house.plan().await;
    assert_eq!(plan.actions[0].changes[0].field, FieldPath::Stopped);
    house.carry_out(&plan).await;
    assert_eq!(house.runtime.running("web").len(), 1);
    assert!(house.plan().await.is_empty());
}

#[tokio::test]
async fn a_failed_health_gate_brings_the_old_back_and_records_nothing() {
    if !backend::git() {
        return;
    }
    let probed = format!("{WEB}  port: 8080\n  healthcheck: {{path: /healthz, interval: 100ms, timeout: 100ms}}\n");
    let house = House::new(&probed).await;
    house.sync().await;
    let before = house.runtime.replicas();
    let base = house.store.base(&house.id).await.unwrap();
    house.runtime.sicken("2");
    house.declare(&probed.replace("web:1", "web:2"));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.clone().unwrap();
    assert!(summary.contains("503") && summary.contains("runs again as it was"), "{summary}");
    let output = house.output(run.id).await;
    assert!(output.contains("last words"), "the failed replica's last lines are missing: {output}");
    assert_eq!(house.runtime.replicas(), before, "what ran before is not as it was");
    assert!(house.runtime.effects().contains(&"discard replica-2".to_owned()), "{:?}", house.runtime.effects());
    assert_eq!(house.store.base(&house.id).await.unwrap(), base, "a failed run changed base");
    let plan = house.plan().await;
    assert_eq!(plan.actions[0].changes[0].cause, Cause::Repo, "the change that failed must still be drift");
}

#[tokio::test]
async fn a_new_replica_that_cannot_be_removed_leaves_no_old_one_down() {
    if !backend::git() {
        return;
    }
    let probed = format!("{WEB}  port: 8080\n  healthcheck: {{path: /healthz, interval: 100ms, timeout: 100ms}}\n");
    let house = House::new(&probed).await;
    house.sync().await;
    house.runtime.sicken("2");
    house.declare(&probed.replace("web:1", "web:2"));
    let plan = house.plan().await;
    house.runtime.fail_next("remove", StepError::Refused("device or resource busy".into()));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.clone().unwrap();
    assert!(summary.contains("device or resource busy"), "{summary}");
    let effects = house.runtime.effects();
    let (stopped, started) = ("stop replica-1".to_owned(), "start replica-1".to_owned());
    let at = |effect: &String| effects.iter().rposition(|one| one == effect);
    assert!(at(&started) > at(&stopped), "the old one stayed down: {effects:?}");
}

#[tokio::test]
async fn a_dependency_that_is_left_out_is_held_to_the_check_it_was_applied_with() {
    if !backend::git() {
        return;
    }
    let check = "  port: 8080\n  healthcheck: {path: /healthz, interval: 100ms, timeout: 100ms}\n";
    let services = format!("db:\n  image: acme/db:7\n{check}web:\n  image: acme/web:1\n  depends_on: [db]\n");
    let house = House::new(&services).await;
    assert_eq!(house.sync().await.state, RunState::Succeeded);
    house.runtime.sicken("7");
    house.declare(&services.replace("web:1", "web:2"));
    let only = PlanOptions { services: Some(["web".parse().unwrap()].into()), ..PlanOptions::default() };
    let plan = house.plan_with(only).await;
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Failed);
    let summary = run.summary.unwrap();
    assert!(summary.contains("depends on db") && summary.contains("503"), "{summary}");
}

#[tokio::test]
async fn a_replica_that_ends_at_once_fails_quickly() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.runtime.crash("1");
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.summary.unwrap().contains("does not stay up"));
    assert!(house.runtime.replicas().is_empty(), "what was prepared is still there");
}

#[tokio::test]
async fn a_later_failure_keeps_what_was_verified_before() {
    if !backend::git() {
        return;
    }
    let house = House::new("api: {image: acme/api:1}\nweb: {image: acme/web:1}\n").await;
    house.runtime.crash("1-broken");
    house.declare("api: {image: acme/api:1}\nweb: {image: acme/web:1-broken}\n");
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.summary.unwrap().starts_with("api applied and verified; web failed"));
    let base = house.store.base(&house.id).await.unwrap();
    assert_eq!(base.services.keys().map(ToString::to_string).collect::<Vec<_>>(), ["api"]);
}

#[tokio::test]
async fn only_the_plan_that_was_confirmed_is_carried_out() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let confirmed = house.plan().await;
    house.declare(&WEB.replace("256Mi", "300Mi"));
    match house.start(&confirmed).await {
        Err(Refusal::Moved { current, .. }) => {
            let moved = trueup::report::moved::moved(&confirmed, &current).join("\n");
            assert!(moved.contains("256Mi") && moved.contains("300Mi"), "{moved}");
        }
        other => panic!("{other:?}"),
    }
    assert!(house.runtime.effects().is_empty());
    assert!(house.store.runs(&house.id, 10).await.unwrap().is_empty(), "a refused sync leaves no run");
}

#[tokio::test]
async fn a_commit_that_moves_nothing_keeps_the_digest() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let confirmed = house.plan().await;
    house.repo.commit("README", "words");
    let run = house.carry_out(&confirmed).await;
    assert_eq!(run.state, RunState::Succeeded);
}

#[tokio::test]
async fn a_viewer_may_not_sync_and_nothing_is_changed() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    let plan = house.plan().await;
    let viewer = Actor { name: "vera".into(), role: Role::Viewer };
    let refused = house.syncs.start(viewer, &house.id, plan.digest.as_str()).await;
    assert!(matches!(refused, Err(Refusal::Denied(_))), "{refused:?}");
    assert!(house.runtime.effects().is_empty());
}

#[tokio::test]
async fn a_commit_off_the_tracked_branch_is_planned_but_not_synced() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.repo.git(&["checkout", "--quiet", "-b", "feature"]);
    house.declare(&WEB.replace("web:1", "web:9"));
    let request = trueup::pass::PlanRequest { reference: Some("feature".into()), options: PlanOptions::default() };
    let plan = house.passes.plan(&house.id, &request, "olga").await.unwrap();
    let refused = house.start(&plan).await;
    match refused {
        Err(Refusal::NotAllowed(why)) => assert!(why.contains("not reachable"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(house.runtime.effects().is_empty());
}

#[tokio::test]
async fn orphans_stay_until_pruned() {
    if !backend::git() {
        return;
    }
    let house = House::new("api: {image: acme/api:1}\nweb: {image: acme/web:1}\n").await;
    house.sync().await;
    house.declare("web: {image: acme/web:1}\n");
    let plan = house.plan().await;
    assert_eq!(plan.orphans.len(), 1);
    assert!(plan.is_empty());
    house.start(&plan).await.unwrap();
    assert_eq!(house.runtime.running("api").len(), 1, "a sync without --prune deleted an orphan");
    let pruning = house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
    house.carry_out(&pruning).await;
    assert!(house.runtime.running("api").is_empty());
    assert_eq!(house.store.base(&house.id).await.unwrap().services.len(), 1);
}

/// What could not be seen is neither made nor removed nor recorded nor forgotten; the rest is carried out.
#[tokio::test]
async fn a_service_that_cannot_be_seen_is_left_alone_and_the_rest_goes_on() {
    if !backend::git() {
        return;
    }
    let services = "api: {image: acme/api:1}\nold: {image: acme/old:1}\nweb: {image: acme/web:1}\n";
    let house = House::new(services).await;
    house.sync().await;
    let base = house.store.base(&house.id).await.unwrap();
    house.runtime.hide("api");
    house.runtime.hide("old");
    house.declare("api: {image: acme/api:2}\nweb: {image: acme/web:2}\n");
    let plan = house.plan_with(PlanOptions { prune: true, ..PlanOptions::default() }).await;
    let feasible: Vec<&str> = plan.feasible().map(|action| action.service.as_str()).collect();
    assert_eq!(feasible, ["web"], "{plan:#?}");
    assert!(plan.unknowns.iter().any(|unknown| unknown.service.as_ref().is_some_and(|name| name.as_str() == "api")));
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert_eq!(house.runtime.replicas().len(), 3);
    let after = house.store.base(&house.id).await.unwrap();
    for name in ["api", "old"] {
        let name = &name.parse().unwrap();
        assert_eq!(after.services.get(name), base.services.get(name), "{name}");
    }
    let (web, image) =
        (&after.services[&"web".parse().unwrap()], &after.services[&"web".parse().unwrap()].leaves[&FieldPath::Image]);
    assert_eq!((web.run, image.value.to_string().as_str()), (Some(run.id), "acme/web:2"), "they stand in its way");
    let why = house.passes.why(&house.id, &"api".parse().unwrap(), &FieldPath::Image, "olga").await.unwrap();
    assert!(why.live[0].contains("(unknown: api-1: input/output error)"), "{why:?}");
    let healths = house.store.healths(&house.id).await.unwrap();
    let api = healths.iter().find(|(name, _, _)| name.as_str() == "api").unwrap();
    assert_eq!(api.1.health.word(), "unknown");
    house.runtime.show_all();
    assert_eq!(house.plan().await.actions.len(), 1, "seen again, it is planned");
}

/// An engine that does not answer shows no orphans; what is no longer declared may run all the same.
#[tokio::test]
async fn where_nothing_can_be_seen_no_record_is_given_up() {
    if !backend::git() {
        return;
    }
    let house = House::new("api: {image: acme/api:1}\nweb: {image: acme/web:1}\n").await;
    house.sync().await;
    let base = house.store.base(&house.id).await.unwrap();
    house.declare("web: {image: acme/web:1}\n");
    house.runtime.set_unreachable(true);
    let plan = house.plan().await;
    assert!(plan.actions.is_empty() && !plan.unknowns.is_empty());
    assert_eq!(house.start(&plan).await.unwrap(), Started::NothingToDo(Vec::new()));
    assert_eq!(house.store.base(&house.id).await.unwrap(), base);
}

#[tokio::test]
async fn a_rollback_goes_back_and_the_tip_shows_as_drift() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.declare(&WEB.replace("web:1", "web:2"));
    house.sync().await;
    let plan = house.passes.rollback_plan(&house.id, None, None, "olga").await.unwrap();
    let run = house.carry_out(&plan).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    let image = house.runtime.running("web")[0].leaves[&FieldPath::Image].to_string();
    assert_eq!(image, "acme/web:1");
    let tip = house.plan().await;
    assert_eq!(tip.actions[0].changes[0].cause, Cause::Repo);
}

/// The background and someone who asks come to the same plan at once: whoever is given it can confirm it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_given_out_is_kept_whoever_made_it_first() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    for round in 0..20 {
        house.declare(&WEB.replace("web:1", &format!("web:{round}")));
        let asked = (0..4).map(|_| async {
            let plan = house.passes.refresh(&house.id).await.unwrap();
            house.store.plan_by_prefix(plan.digest.as_str()).await.unwrap();
        });
        futures_util::future::join_all(asked).await;
    }
}

/// A process that is being started holds a copy of every open file for a moment, a mirror's lock among them.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_held_for_a_moment_is_waited_for() {
    if !backend::git() {
        return;
    }
    let house = House::new(WEB).await;
    house.sync().await;
    house.declare(&WEB.replace("web:1", "web:2"));
    let mirrors = house.state.path().join("mirrors");
    let mirror = std::fs::read_dir(mirrors).unwrap().next().unwrap().unwrap().path();
    let lock = std::fs::File::options().write(true).open(mirror.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let holder = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(lock);
    });
    let plan = house.plan().await;
    assert_eq!(plan.actions[0].kind, ActionKind::Replace);
    holder.await.unwrap();
}

#[tokio::test]
async fn a_replica_that_differs_is_replaced_while_the_others_change_in_place() {
    if !backend::git() {
        return;
    }
    let two = format!("{WEB}  replicas: 2\n");
    let house = House::new(&two).await;
    house.sync().await;
    house.runtime.by_hand("web", |replica| {
        if replica.index == 2 {
            replica.leaves.insert("env.LOG_LEVEL".parse().unwrap(), Value::Text("debug".into()));
        }
    });
    house.declare(&two.replace("256Mi", "300Mi"));
    let run = house.sync().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.summary);
    assert!(house.plan().await.is_empty());
    assert!(house.runtime.running("web").iter().all(|replica| replica.leaves[&FieldPath::MemoryLimit] == memory(300)));
}

#[tokio::test]
async fn a_sync_with_nothing_to_do_takes_no_service_out_of_a_recorded_release() {
    if !backend::git() {
        return;
    }
    let job = "job:\n  image: acme/job:1\n";
    let house = House::new(&format!("{WEB}{job}")).await;
    let first = house.sync().await;
    // The job goes from the file and, by hand, from what runs: nothing is left to do.
    house.declare(WEB);
    house.runtime.remove_by_hand("job");
    let plan = house.plan().await;
    assert!(matches!(house.start(&plan).await.unwrap(), Started::NothingToDo(_)), "{plan:#?}");
    let names = |release: std::collections::BTreeMap<trueup::ids::ServiceName, _>| -> Vec<String> {
        release.keys().map(ToString::to_string).collect()
    };
    assert_eq!(names(house.store.release(&house.id, first.id).await.unwrap()), ["job", "web"]);
    // The next run records that it is gone, and the first release stays what it was.
    house.declare(&WEB.replace("web:1", "web:2"));
    let second = house.sync().await;
    assert_eq!(names(house.store.release(&house.id, second.id).await.unwrap()), ["web"]);
    assert_eq!(names(house.store.release(&house.id, first.id).await.unwrap()), ["job", "web"]);
    assert_eq!(house.store.base(&house.id).await.unwrap().services.len(), 1);
}
