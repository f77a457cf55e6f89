//! Is every change of a pull request's plan in exactly one part, and is what leaves the house only what may?

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use trueup::drift::Cause;
use trueup::ids::ServiceName;
use trueup::live::field::FieldPath;
use trueup::live::value::Value;
use trueup::plan::{Plan, PlanOptions};
use trueup::report::detail::ReportDetail;
use trueup::report::mask::Leaving;
use trueup::report::parts::{Part, Plans, sort};

use crate::world::leaves::{base_of, declared_of, services};
use crate::world::sides::{docker, live_of, plan};

type Services = BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>;
type Key = (ServiceName, FieldPath);

/// The first with the leaves of the second laid over, as a change of it.
fn over(first: &Services, second: &Services) -> Services {
    let mut both = first.clone();
    for (name, leaves) in second {
        both.entry(name.clone()).or_default().extend(leaves.clone());
    }
    both
}

fn keys(plan: &Plan) -> BTreeSet<Key> {
    let of = |action: &trueup::plan::Action| -> Vec<Key> {
        action.changes.iter().map(|change| (action.service.clone(), change.field.clone())).collect()
    };
    plan.actions.iter().flat_map(of).collect()
}

fn listed(parts: &[Part<'_>]) -> Vec<Key> {
    let of = |part: &Part<'_>| -> Vec<Key> {
        part.changes.iter().map(|sorted| (part.action.service.clone(), sorted.change.field.clone())).collect()
    };
    parts.iter().flat_map(of).collect()
}

/// What is to be done about a field, without why.
fn what(plan: &Plan, (service, field): &Key) -> Option<Option<Value>> {
    let action = plan.action(service)?;
    action.changes.iter().find(|change| change.field == *field).map(|change| change.declared.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing is lost and nothing is there twice, before the merge and after it.
    #[test]
    fn every_change_is_in_exactly_one_part(
        applied in services(),
        waiting in services(),
        own in services(),
        later in services(),
        by_hand in services(),
        merged in any::<bool>(),
        gone in any::<bool>(),
    ) {
        let can = docker();
        let (base, live) = (base_of(&applied), live_of(&over(&applied, &by_hand), &can));
        let tip = over(&applied, &waiting);
        let mut with = over(&tip, &own);
        if gone {
            // The request also takes something away.
            with.pop_first();
        }
        let now = if merged { over(&with, &later) } else { with.clone() };
        let made = |services: &Services| plan(&declared_of(services), &base, &live, &can, PlanOptions::default());
        let (without, with, now) = (made(&tip), made(&with), made(&now));
        let parts = sort(Plans { without: &without, with: &with, now: &now });

        let (own, waiting, outside) = (listed(&parts.own), listed(&parts.waiting), listed(&parts.live));
        let all: Vec<Key> = own.iter().chain(&waiting).chain(&outside).cloned().collect();
        prop_assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "twice");
        prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), keys(&now), "lost, or invented");

        let undone = listed(&parts.undone);
        prop_assert!(undone.iter().all(|key| what(&now, key).is_none()), "undone and done");
        prop_assert!(undone.iter().all(|key| what(&without, key).is_some()));
        // The request's own are those where it makes the difference, all of them.
        let differs: BTreeSet<Key> =
            keys(&without).union(&keys(&with)).filter(|key| what(&without, key) != what(&with, key)).cloned().collect();
        if !merged {
            prop_assert_eq!(&own.iter().chain(&undone).cloned().collect::<BTreeSet<_>>(), &differs);
        }
        prop_assert!(own.iter().all(|key| differs.contains(key)));
        for part in &parts.live {
            prop_assert!(part.changes.iter().all(|sorted| matches!(sorted.change.cause, Cause::Live | Cause::Both)));
        }
        for part in &parts.waiting {
            prop_assert!(part.changes.iter().all(|sorted| !matches!(sorted.change.cause, Cause::Live | Cause::Both)));
        }
        for part in &parts.own {
            for sorted in &part.changes {
                let key = (part.action.service.clone(), sorted.change.field.clone());
                let before = what(&without, &key);
                let differs = before.is_some() && before != Some(sorted.change.declared.clone());
                prop_assert_eq!(sorted.instead_of.is_some(), differs);
            }
        }
        let orphans: Vec<&ServiceName> = parts.orphans.iter().map(|(name, _)| *name).collect();
        prop_assert_eq!(orphans, now.orphans.iter().collect::<Vec<_>>());

        // Masking loses none of them either, and survives being kept.
        let declared = declared_of(&tip);
        let leaving = Leaving {
            plan: &now, without: &without, base: &base, declared: &declared, detail: ReportDetail::Full, observed: true,
        };
        let shown = leaving.planned(&parts, "0".repeat(40).parse().unwrap());
        let count = |services: &[trueup::report::pull::PublicService]| {
            services.iter().map(|service| service.changes.len()).sum::<usize>()
        };
        prop_assert_eq!(count(&shown.pull_request) + count(&shown.waiting) + count(&shown.live), keys(&now).len());
        prop_assert_eq!(count(&shown.undone), undone.len());
        let kept = serde_json::to_string(&shown).unwrap();
        prop_assert_eq!(&serde_json::from_str::<trueup::report::pull::PlannedPull>(&kept).unwrap(), &shown);
        let again = leaving.planned(&sort(Plans { without: &without, with: &with, now: &now }), shown.tip.clone());
        prop_assert_eq!(again, shown);
    }

    /// Law 8: what runs shows only where base holds the leaf as plain, and in a report of names no value shows at all.
    #[test]
    fn no_value_leaves_that_may_not(applied in services(), wanted in services(), by_hand in services()) {
        let can = docker();
        // What runs by hand is told apart by a word that nothing else holds.
        let marked: Services = by_hand
            .iter()
            .map(|(name, leaves)| {
                let mark = |value: &Value| match value {
                    Value::Text(_) => Value::Text("hunter2".into()),
                    Value::Words(_) => Value::Words(["hunter2".to_owned()].into()),
                    other => other.clone(),
                };
                (name.clone(), leaves.iter().map(|(field, value)| (field.clone(), mark(value))).collect())
            })
            .collect();
        let (base, live) = (base_of(&applied), live_of(&over(&applied, &marked), &can));
        let declared = declared_of(&over(&applied, &wanted));
        let made = plan(&declared, &base, &live, &can, PlanOptions::default());
        let parts = sort(Plans { without: &made, with: &made, now: &made });
        let shown = |detail| {
            let leaving = Leaving {
                plan: &made, without: &made, base: &base, declared: &declared, detail, observed: true,
            };
            leaving.planned(&parts, "0".repeat(40).parse().unwrap())
        };
        let full = shown(ReportDetail::Full);
        for service in full.changing() {
            for change in &service.changes {
                let text = serde_json::to_string(&change).unwrap();
                let held = base.services.get(&service.service).and_then(|base| base.leaves.get(&change.field));
                let plain = held.is_some_and(|leaf| !matches!(leaf.value, Value::Secret(_)));
                prop_assert!(plain || !text.contains("hunter2"), "{text}");
            }
        }
        let names = serde_json::to_string(&shown(ReportDetail::NamesOnly)).unwrap();
        prop_assert!(!names.contains("hunter2"), "{names}");
        prop_assert!(!names.contains("\"shown\":\"plain\""), "{names}");
    }
}
