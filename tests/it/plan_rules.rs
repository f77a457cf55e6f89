//! What is blocked, what is left alone, and what an operator is told: rules that no golden case on Docker can show.

use std::collections::BTreeMap;
use std::sync::Arc;

use trueup::declared::Declared;
use trueup::deploy::check::check_of;
use trueup::drift::Base;
use trueup::ids::ServiceName;
use trueup::live::capability::{Capabilities, ChangeKind, Effect, Support};
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::live::{Live, LiveService, Observed};
use trueup::plan::{ActionKind, Blocked, Plan, PlanOptions};
use trueup::report::text::{Style, plan as report};

use crate::world::leaves::{base_of, declared_of};
use crate::world::sides::{docker, live_of, plan};

type Services = BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>;

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn web(leaves: &[(FieldPath, Value)]) -> Services {
    let mut leaves: BTreeMap<FieldPath, Value> = leaves.iter().cloned().collect();
    leaves.insert(FieldPath::Stopped, Value::Flag(false));
    BTreeMap::from([(name("web"), leaves)])
}

fn plan_of(declared: &Services, base: &Services, live: &Services, can: &Capabilities) -> Plan {
    plan(&declared_of(declared), &base_of(base), &live_of(live, &docker()), can, PlanOptions::default())
}

/// A provider without users.
fn without_users() -> Capabilities {
    fn support(field: &FieldPath) -> Support {
        match field {
            FieldPath::User => Support::Unsupported("users are the operator's to say"),
            _ => Support::Observed,
        }
    }
    fn effect(_: &FieldPath, _: ChangeKind) -> Effect {
        Effect::Replace
    }
    Capabilities {
        provider: "plain",
        support,
        accepts: |_, _| Ok(()),
        effect,
        required: &[FieldPath::Command],
        default_of: |_| None,
        kept: |_, _| None,
    }
}

#[test]
fn what_the_provider_cannot_do_blocks_its_service() {
    let can = without_users();
    let user = (FieldPath::User, Value::Text("shop".into()));
    let command = (FieldPath::Command, Value::Words(["serve".into()].into()));
    let services = web(&[user, command]);
    for live in [Services::new(), services.clone()] {
        let plan = plan_of(&services, &services, &live, &can);
        let [action] = plan.actions.as_slice() else { panic!("{plan:#?}") };
        let expected = Blocked::Unsupported { field: FieldPath::User, why: "users are the operator's to say".into() };
        assert_eq!(action.blocked, [expected]);
        assert_eq!(plan.feasible().count(), 0);
        assert!(plan.in_sync.is_empty());
        assert_eq!(plan.exit_code(), 2);
        assert!(report(&plan, Style::Plain).contains("blocked: user: users are the operator's to say"));
    }
}

#[test]
fn a_service_that_lacks_what_the_provider_needs_is_not_created() {
    let plan = plan_of(&web(&[]), &Services::new(), &Services::new(), &without_users());
    let why = "command is not declared, and a service of the plain provider needs it".to_owned();
    assert_eq!(plan.actions[0].blocked, [Blocked::Incomplete { why }]);
}

/// Law 3: where nothing can be seen, nothing is created, deleted or called in sync.
#[test]
fn an_environment_that_cannot_be_seen_is_left_alone() {
    let can = docker();
    let services = web(&[]);
    let live = Live { services: Observed::Unknown("the Engine does not answer".into()) };
    for declared in [services.clone(), Services::new()] {
        let options = PlanOptions { prune: true, ..PlanOptions::default() };
        let plan = plan(&declared_of(&declared), &base_of(&services), &live, &can, options);
        assert!(plan.actions.is_empty() && plan.orphans.is_empty() && plan.in_sync.is_empty(), "{plan:#?}");
        assert_eq!(plan.unknowns.len(), 1);
        assert_eq!(plan.exit_code(), 1);
    }
}

/// A missing file, environment or `services` key is not an empty one.
#[test]
fn what_is_missing_orphans_nothing() {
    let can = docker();
    let services = web(&[]);
    let options = PlanOptions { prune: true, ..PlanOptions::default() };
    let (base, live) = (base_of(&services), live_of(&services, &can));
    let missing = plan(&Declared { services: None }, &base, &live, &can, options.clone());
    assert!(missing.actions.is_empty() && missing.orphans.is_empty());
    assert_eq!(missing.exit_code(), 0);
    let empty = plan(&declared_of(&Services::new()), &base, &live, &can, options);
    assert_eq!(empty.orphans, [name("web")]);
    assert_eq!(empty.actions[0].kind, ActionKind::Delete);
}

/// A service of which a provider knows the name and no replica does not run.
#[test]
fn a_service_without_replicas_is_no_orphan() {
    let live = Live { services: Observed::Known(BTreeMap::from([(name("ghost"), LiveService::default())])) };
    let plan = plan(&declared_of(&Services::new()), &Base::default(), &live, &docker(), PlanOptions::default());
    assert!(plan.orphans.is_empty());
}

/// `--service` asks about that service alone: others' orphans, drift and base are not its business.
#[test]
fn a_plan_of_one_service_rests_on_that_service_alone() {
    let can = docker();
    let mut both = web(&[]);
    both.insert(name("api"), both[&name("web")].clone());
    let only = || PlanOptions { services: Some([name("web")].into()), ..PlanOptions::default() };
    let (declared, live) = (declared_of(&both), live_of(&both, &can));
    let narrow = plan(&declared, &base_of(&both), &live, &can, only());
    let mut elsewhere = both.clone();
    elsewhere.get_mut(&name("api")).unwrap().insert(FieldPath::User, Value::Text("shop".into()));
    elsewhere.insert(name("old"), both[&name("web")].clone());
    let moved = plan(&declared, &base_of(&elsewhere), &live_of(&elsewhere, &can), &can, only());
    assert_eq!(narrow.digest, moved.digest);
    assert_eq!((moved.orphans.len(), moved.exit_code()), (0, 0));
    assert_eq!(moved.desired.keys().collect::<Vec<_>>(), [&name("web")]);
}

/// The words for what a policy returns to are those of the check that the deploy makes.
#[test]
fn withdrawn_policies_return_to_what_the_health_gate_does() {
    let can = docker();
    let check = check_of(|_| None);
    for (field, default) in [
        (FieldPath::HealthInterval, check.interval.to_string()),
        (FieldPath::HealthTimeout, check.timeout.to_string()),
        (FieldPath::HealthStartPeriod, check.start_period.to_string()),
        (FieldPath::HealthyThreshold, check.healthy_threshold.to_string()),
        (FieldPath::UnhealthyThreshold, check.unhealthy_threshold.to_string()),
    ] {
        let before = web(&[(field.clone(), Value::Integer(77))]);
        let plan = plan_of(&web(&[]), &before, &before, &can);
        assert_eq!(plan.actions[0].changes[0].note, Some(format!("returns to {default}")), "{field}");
    }
}

/// Ten thousand services that all wait for one, and one orphan each: planning stays linear.
#[test]
fn many_dependants_are_planned_in_time() {
    let can = docker();
    let db = name("db");
    let image = (FieldPath::Image, Value::Words([].into()));
    let mut services = web(std::slice::from_ref(&image));
    services.insert(db.clone(), services[&name("web")].clone());
    for number in 0..5_000 {
        let mut leaves = services[&db].clone();
        leaves.insert(FieldPath::DependsOn, Value::Services(Arc::new([db.clone()].into())));
        services.insert(name(&format!("s{number}")), leaves);
    }
    let started = std::time::Instant::now();
    let plan = plan_of(&services, &Services::new(), &Services::new(), &can);
    assert_eq!(plan.feasible().count(), 5_002);
    assert!(report(&plan, Style::Plain).lines().count() > 15_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
