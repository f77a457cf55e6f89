//! Does the comparison find what differs, all of it and nothing else?

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use trueup::drift::seal::seal;
use trueup::drift::{Base, Cause, LeafDrift};
use trueup::ids::ServiceName;
use trueup::live::capability::Support;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::live::{Live, LiveLeaf, LiveService, Observed};
use trueup::plan::{Plan, PlanOptions};

use crate::world::leaves::{base_of, declared_of, field, leaves, service_name, services, text, value_of};
use crate::world::sides::{carry_out, docker, drift, fingerprint, live_of, plan, replica, shown};

fn running(live: &mut Live) -> &mut BTreeMap<ServiceName, LiveService> {
    match &mut live.services {
        Observed::Known(services) => services,
        Observed::Unknown(why) => panic!("{why}"),
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(192))]

    /// Law 4: whatever was declared, applied and running before, after a sync the next plan is empty.
    #[test]
    fn apply_then_plan_is_empty(
        now in services(),
        before in services(),
        by_hand in services(),
        applied in services(),
        prune in any::<bool>(),
    ) {
        let can = docker();
        let (declared, mut base, mut live) = (declared_of(&now), base_of(&applied), live_of(&before, &can));
        // Some replicas are of another make altogether.
        for (name, service) in running(&mut live) {
            if let (Some(leaves), Some(last)) = (by_hand.get(name), service.replicas.last_mut()) {
                *last = replica(name, last.index, leaves, &can);
            }
        }
        let options = PlanOptions { prune, ..PlanOptions::default() };
        let first = plan(&declared, &base, &live, &can, options.clone());
        prop_assert_eq!(first.feasible().count(), first.actions.len(), "nothing is blocked here");
        carry_out(&first, &mut live, &mut base, &can);
        let second = plan(&declared, &base, &live, &can, options);
        prop_assert!(second.actions.is_empty(), "{:#?}", second.actions);
        prop_assert!(second.unknowns.is_empty());
        prop_assert_eq!(second.in_sync.len(), now.len());
        prop_assert_eq!(second.orphans.is_empty(), prune || first.orphans.is_empty());
    }

    /// Law 5: looked at again, a plan that nobody carried out is found undone, leaf by leaf, withdrawn ones too; and
    /// one that was is found done.
    #[test]
    fn what_was_not_done_is_not_verified(now in services(), before in services(), applied in services()) {
        let can = docker();
        let (declared, mut base, mut live) = (declared_of(&now), base_of(&applied), live_of(&before, &can));
        let first = plan(&declared, &base, &live, &can, PlanOptions::default());
        let expected = first.to_verify(first.made_at);
        let visible = |plan: &Plan| -> BTreeSet<(ServiceName, FieldPath)> {
            let changes = plan.actions.iter().flat_map(|action| action.changes.iter().map(move |change| (action, change)));
            changes
                .filter(|(_, change)| (can.support)(&change.field) == Support::Observed)
                .map(|(action, change)| (action.service.clone(), change.field.clone()))
                .collect()
        };
        let undone = plan(&declared, &expected, &live, &can, PlanOptions::default());
        prop_assert_eq!(visible(&undone), visible(&first));
        carry_out(&first, &mut live, &mut base, &can);
        let done = plan(&declared, &expected, &live, &can, PlanOptions::default());
        prop_assert!(done.actions.is_empty(), "{:#?}", done.actions);
    }

    /// Whatever is declared and runs as declared does not drift, with a base or without one.
    #[test]
    fn what_runs_as_declared_does_not_drift(now in services(), applied in services()) {
        let can = docker();
        let (declared, live) = (declared_of(&now), live_of(&now, &can));
        for base in [base_of(&applied), base_of(&now), Base::default()] {
            for (_, found) in drift(&declared, &base, &live, &can).services {
                let seen: Vec<&LeafDrift> =
                    found.leaves.iter().filter(|leaf| (can.support)(&leaf.field) == Support::Observed).collect();
                prop_assert!(seen.iter().all(|leaf| leaf.declared.is_none()), "{seen:#?}");
            }
        }
    }

    /// Any declared leaf that someone changes in what runs is found at its path, with cause `live`, and nothing else is.
    #[test]
    fn any_leaf_perturbed_in_live_is_found_at_its_path(
        (services, name, at, other) in services()
            .prop_filter("something is declared", |services| !services.is_empty())
            .prop_flat_map(|services| {
                let can = docker();
                let leaves: Vec<(ServiceName, FieldPath)> = services
                    .iter()
                    .flat_map(|(name, leaves)| leaves.keys().map(move |field| (name.clone(), field.clone())))
                    .filter(|(_, field)| (can.support)(field) == Support::Observed)
                    .collect();
                (Just(services), proptest::sample::select(leaves))
            })
            .prop_flat_map(|(services, (name, at))| {
                let other = match at {
                    FieldPath::Stopped => Just(Value::Flag(true)).boxed(),
                    _ => value_of(&at),
                };
                let is = services[&name][&at].clone();
                let field = at.clone();
                let other = other.prop_map(move |other| shown(&field, &other, &docker()));
                let field = at.clone();
                let other = other.prop_filter("another value", move |other| !docker().same(&field, &is, other));
                (Just(services), Just(name), Just(at), other)
            }),
        which in any::<Index>(),
        gone in any::<bool>(),
    ) {
        let can = docker();
        let (declared, base, mut live) = (declared_of(&services), base_of(&services), live_of(&services, &can));
        let replicas = &mut running(&mut live).get_mut(&name).unwrap().replicas;
        let all = replicas.len();
        let chosen = which.index(all);
        let hit = replicas[chosen].name.clone();
        if at == FieldPath::Replicas {
            replicas.push(replica(&name, 99, &services[&name], &can));
        } else if gone && at != FieldPath::Stopped {
            replicas[chosen].leaves.remove(&at);
        } else {
            replicas[chosen].leaves.insert(at.clone(), Observed::Known(LiveLeaf::set(other.clone())));
        }
        let found = drift(&declared, &base, &live, &can);
        for (service, drift) in &found.services {
            prop_assert!(drift.unknown.is_empty());
            if *service != name {
                prop_assert!(drift.leaves.is_empty(), "{service}: {:#?}", drift.leaves);
            }
        }
        let leaves = &found.services[&name].leaves;
        prop_assert_eq!(leaves.len(), 1, "{:#?}", leaves);
        prop_assert_eq!(&leaves[0].field, &at);
        prop_assert_eq!(leaves[0].cause, Cause::Live);
        let only: Vec<&str> = leaves[0].replicas.iter().map(|replica| replica.name.as_str()).collect();
        let expected: Vec<&str> = if at == FieldPath::Replicas || all == 1 { Vec::new() } else { vec![&hit] };
        prop_assert_eq!(only, expected);
    }

    /// A leaf that nobody declares and nobody applied is nobody's business: not compared, not in the plan, not stored.
    #[test]
    fn unmanaged_leaves_are_never_seen(services in services(), at in field(), value in text()) {
        let can = docker();
        let (declared, base, mut live) = (declared_of(&services), base_of(&services), live_of(&services, &can));
        let marked = format!("unmanaged-{value}-unmanaged");
        for (name, service) in running(&mut live) {
            if services[name].contains_key(&at) || at == FieldPath::Replicas {
                continue;
            }
            for replica in &mut service.replicas {
                replica.leaves.insert(at.clone(), Observed::Known(LiveLeaf::set(Value::Text(marked.as_str().into()))));
            }
        }
        seal(&mut live, &declared, &base, &fingerprint);
        let plan = plan(&declared, &base, &live, &can, PlanOptions::default());
        prop_assert!(plan.actions.is_empty(), "{:#?}", plan.actions);
        prop_assert!(!serde_json::to_string(&plan).unwrap().contains("unmanaged-"));
    }

    /// Law 8: no value that either side holds as a secret is in the plan or in its words, whatever runs in its place.
    #[test]
    fn no_secret_value_is_in_a_plan(
        name in service_name(),
        common in leaves(),
        plain in "[a-z]{3,8}",
        sides in (0..3_u8, 0..3_u8),
        moved in any::<bool>(),
    ) {
        let can = docker();
        let (now, then, by_hand) = ("s3cr3t-now-Xq7", "s3cr3t-then-Xq7", "s3cr3t-by-hand-Xq7");
        let at = FieldPath::Env("TOKEN".into());
        let side = |kind: u8, secret: &str| match kind {
            0 => None,
            1 => Some(Value::Text(plain.as_str().into())),
            _ => Some(Value::Secret(trueup::live::value::SecretValue {
                name: Some("token".parse().unwrap()),
                fingerprint: Some(fingerprint(secret)),
            })),
        };
        let with = |value: Option<Value>| {
            let mut leaves = common.clone();
            leaves.remove(&at);
            leaves.extend(value.map(|value| (at.clone(), value)));
            BTreeMap::from([(name.clone(), leaves)])
        };
        let (declared, base) = (with(side(sides.0, now)), with(side(sides.1, then)));
        let mut live = live_of(&base, &can);
        for replica in &mut running(&mut live).get_mut(&name).unwrap().replicas {
            let runs = if moved { by_hand } else { then };
            replica.leaves.insert(at.clone(), Observed::Known(LiveLeaf::set(Value::Text(runs.into()))));
        }
        let (declared, base) = (declared_of(&declared), base_of(&base));
        seal(&mut live, &declared, &base, &fingerprint);
        let plan = plan(&declared, &base, &live, &can, PlanOptions::default());
        let report = trueup::report::text::plan(&plan, trueup::report::text::Style::Plain);
        let held_as_secret = sides.0 == 2 || sides.1 == 2;
        for text in [serde_json::to_string(&plan).unwrap(), report, format!("{plan:?}")] {
            prop_assert!(!held_as_secret || !text.contains("s3cr3t"), "{text}");
        }
    }

    /// The order in which a provider lists replicas decides nothing.
    #[test]
    fn the_order_of_replicas_decides_nothing(
        now in services(),
        before in services(),
        seed in any::<u64>(),
    ) {
        let can = docker();
        let (declared, base) = (declared_of(&now), base_of(&before));
        let live = live_of(&before, &can);
        let mut shuffled = live.clone();
        for service in running(&mut shuffled).values_mut() {
            let middle = usize::try_from(seed).unwrap_or(0) % service.replicas.len();
            service.replicas.rotate_left(middle);
        }
        let plans = [live, shuffled].map(|live| plan(&declared, &base, &live, &can, PlanOptions::default()));
        prop_assert_eq!(&plans[0], &plans[1]);
    }
}

/// Two replicas that differ in different ways are told apart, in the order of their numbers.
#[test]
fn replicas_that_differ_in_different_ways_are_told_apart() {
    let can = docker();
    let at = FieldPath::Env("LOG".into());
    let text = |text: &str| Value::Text(text.into());
    let name: ServiceName = "web".parse().unwrap();
    let leaves = BTreeMap::from([
        (FieldPath::Stopped, Value::Flag(false)),
        (FieldPath::Replicas, Value::Integer(10)),
        (at.clone(), text("info")),
    ]);
    let services = BTreeMap::from([(name.clone(), leaves)]);
    let mut live = live_of(&services, &can);
    let replicas = &mut running(&mut live).get_mut(&name).unwrap().replicas;
    replicas[1].leaves.insert(at.clone(), Observed::Known(LiveLeaf::set(text("debug"))));
    replicas[9].leaves.remove(&at);
    let found = drift(&declared_of(&services), &base_of(&services), &live, &can);
    let leaf = &found.services[&name].leaves[0];
    let told: Vec<(&str, Option<&Value>)> =
        leaf.replicas.iter().map(|replica| (replica.name.as_str(), replica.live.as_ref())).collect();
    assert_eq!(told, [("web-2", Some(&text("debug"))), ("web-10", None)]);
    assert_eq!(leaf.cause, Cause::Live);
}

/// Every field is either observed or policy on Docker; none is forgotten by the model that the properties rest on.
#[test]
fn the_properties_leave_no_field_out() {
    let can = docker();
    let observed: BTreeSet<FieldPath> =
        FieldPath::SINGLE.into_iter().filter(|field| (can.support)(field) == Support::Observed).collect();
    assert!(observed.len() >= 11, "{observed:?}");
    for field in FieldPath::SINGLE {
        assert!(!matches!((can.support)(&field), Support::Unsupported(_)), "{field}");
    }
}
