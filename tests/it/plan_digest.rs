//! Does a plan's digest move when, and only when, what the plan rests on moves?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_assert_ne, proptest};
use trueup::drift::{Base, BaseLeaf};
use trueup::ids::{RunId, ServiceName};
use trueup::live::field::FieldPath;
use trueup::live::image::ImageValue;
use trueup::live::quantity::{Bytes, Millis, NanoCpus};
use trueup::live::value::{
    PortBinding, PullPolicy, RestartPolicy, SecretValue, Strategy as Strategic, Value, VolumeMount, VolumeSource,
};
use trueup::live::{Health, Live, LiveLeaf, LiveService, Observed, ReplicaId};
use trueup::plan::build::make;
use trueup::plan::digest::digest;
use trueup::plan::{Plan, PlanOptions};
use trueup::report::moved::moved;
use trueup::report::text::{Style, next_step, plan as report};

use crate::world::leaves::{base_of, content, declared_of, services, text, value_of};
use crate::world::sides::{context, docker, drift, live_of, plan};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

fn running(live: &mut Live) -> &mut BTreeMap<ServiceName, LiveService> {
    match &mut live.services {
        Observed::Known(services) => services,
        Observed::Unknown(why) => panic!("{why}"),
    }
}

type Services = BTreeMap<ServiceName, BTreeMap<FieldPath, Value>>;

/// Services, one of their leaves, and another value for it.
fn one_leaf_moved() -> impl Strategy<Value = (Services, ServiceName, FieldPath, Value)> {
    services()
        .prop_filter("something is declared", |services| !services.is_empty())
        .prop_flat_map(|services| {
            let leaves: Vec<(ServiceName, FieldPath)> = services
                .iter()
                .flat_map(|(name, leaves)| leaves.keys().map(move |field| (name.clone(), field.clone())))
                .filter(|(_, field)| {
                    !matches!(field, FieldPath::Stopped | FieldPath::DependsOn | FieldPath::DeployStrategy)
                })
                .collect();
            (Just(services), proptest::sample::select(leaves))
        })
        .prop_flat_map(|(services, (name, at))| {
            let is = services[&name][&at].clone();
            let other = value_of(&at).prop_filter("another value", move |other| *other != is);
            (Just(services), Just(name), Just(at), other)
        })
}

proptest! {
    #![proptest_config(config())]

    /// Whatever moves by itself, or is only words, moves no digest.
    #[test]
    fn ids_times_health_places_and_words_do_not_count(
        now in services(),
        before in services(),
        applied in services(),
        words in text(),
    ) {
        let can = docker();
        let (mut declared, mut base, mut live) = (declared_of(&now), base_of(&applied), live_of(&before, &can));
        let plan = plan(&declared, &base, &live, &can, PlanOptions::default());
        for service in running(&mut live).values_mut() {
            for replica in &mut service.replicas {
                replica.id = ReplicaId(format!("{}{words}", replica.id));
                replica.release = Some(RunId(99));
                replica.health = Health::Unhealthy { why: words.clone() };
            }
        }
        for service in declared.services.as_mut().unwrap().values_mut() {
            service.at.line += 40;
            for leaf in service.leaves.values_mut() {
                leaf.at.line += 40;
                leaf.at.file = format!("{}{words}", leaf.at.file).into();
            }
        }
        for service in base.services.values_mut() {
            service.run = Some(RunId(98));
            service.commit = Some("f".repeat(40).parse().unwrap());
            service.verified_at = jiff::Timestamp::MAX;
        }
        let mut context = context(PlanOptions::default());
        context.made_at = jiff::Timestamp::MAX;
        context.reference = words.clone();
        context.commit = None;
        context.notes = vec![words];
        let again = make(&declared, &base, &drift(&declared, &base, &live, &can), &can, context);
        prop_assert_eq!(&again.digest, &plan.digest);
        prop_assert_eq!(moved(&plan, &plan.clone()).len(), 1);
    }

    /// A declared leaf that moves, moves the digest, also where live moves along with it; and so does base.
    #[test]
    fn any_leaf_of_any_side_counts((was, name, at, other) in one_leaf_moved()) {
        let can = docker();
        let mut is = was.clone();
        is.get_mut(&name).unwrap().insert(at.clone(), other);
        let of = |declared: &Services, base: &Services, live: &Services| {
            plan(&declared_of(declared), &base_of(base), &live_of(live, &can), &can, PlanOptions::default())
        };
        let plan = of(&was, &was, &was);
        for moved_plan in [of(&is, &was, &was), of(&is, &is, &is), of(&was, &is, &was)] {
            prop_assert_ne!(&moved_plan.digest, &plan.digest);
            prop_assert!(!moved(&plan, &moved_plan).is_empty());
        }
        let same = |side: &Services, other: &Services| side[&name][&at].same(&other[&name][&at]);
        let observed = (can.support)(&at) == trueup::live::capability::Support::Observed;
        if observed && !same(&was, &is) {
            prop_assert_ne!(of(&was, &was, &is).digest, plan.digest);
        }
    }

    /// A leaf of live that nobody declares or applied is not part of it.
    #[test]
    fn unmanaged_live_leaves_do_not_count(services in services(), value in text()) {
        let can = docker();
        let (declared, base, mut live) = (declared_of(&services), base_of(&services), live_of(&services, &can));
        let before = plan(&declared, &base, &live, &can, PlanOptions::default()).digest;
        for service in running(&mut live).values_mut() {
            let leaf = Observed::Known(LiveLeaf::set(Value::Text(value.as_str().into())));
            service.replicas[0].leaves.insert(FieldPath::Env("NOT_AMONG_THEM".into()), leaf);
        }
        prop_assert_eq!(plan(&declared, &base, &live, &can, PlanOptions::default()).digest, before);
    }

    /// Stored and read again, a plan is the same plan, by its value and by its digest.
    #[test]
    fn a_plan_survives_json(now in services(), before in services(), applied in services(), prune in any::<bool>()) {
        let can = docker();
        let (declared, base, live) = (declared_of(&now), base_of(&applied), live_of(&before, &can));
        let plan = plan(&declared, &base, &live, &can, PlanOptions { prune, ..PlanOptions::default() });
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        prop_assert_eq!(&again, &plan);
        prop_assert_eq!(digest(&again, &base), plan.digest);
    }

    /// Every order of dependencies, blocked or not, names each service once.
    #[test]
    fn every_service_is_said_once(now in services(), before in services(), applied in services()) {
        let can = docker();
        let plan = plan(&declared_of(&now), &base_of(&applied), &live_of(&before, &can), &can, PlanOptions::default());
        let acted: Vec<&ServiceName> = plan.actions.iter().map(|action| &action.service).collect();
        let said: BTreeSet<&ServiceName> = acted.iter().copied().chain(&plan.in_sync).chain(&plan.orphans).collect();
        prop_assert_eq!(said.len(), acted.len() + plan.in_sync.len() + plan.orphans.len());
        prop_assert_eq!(acted.len() + plan.in_sync.len(), now.len());
    }

    /// No text of a repository, an engine or an operator breaks a report or steers the terminal that shows it.
    #[test]
    fn reports_hold_whatever_they_are_given(
        now in services(),
        before in services(),
        applied in services(),
        evil in text(),
    ) {
        let can = docker();
        let (declared, base, mut live) = (declared_of(&now), base_of(&applied), live_of(&before, &can));
        for service in running(&mut live).values_mut() {
            for replica in &mut service.replicas {
                replica.name.push_str(&evil);
                let unknown = replica.leaves.keys().next_back().cloned();
                replica.leaves.extend(unknown.map(|field| (field, Observed::Unknown(evil.clone()))));
            }
        }
        let found = drift(&declared, &base, &live, &can);
        let mut context = context(PlanOptions::default());
        context.reference = evil.clone();
        context.notes = vec![evil.clone()];
        context.unprobeable = now.keys().map(|name| (name.clone(), evil.clone())).collect();
        let plan = make(&declared, &base, &found, &can, context);
        let plain = format!("{}{}", report(&plan, Style::Plain), next_step(&plan).unwrap_or_default());
        let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        prop_assert!(!plain.contains(steers), "{plain:?}");
        let colours = report(&plan, Style::Colour);
        let bare = ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m", "\u{1b}[2m", "\u{1b}[1m", "\u{1b}[0m"]
            .iter()
            .fold(colours, |text, code| text.replace(code, ""));
        prop_assert_eq!(bare, report(&plan, Style::Plain), "colour changes nothing but colour");
    }
}

/// What was last applied is part of the digest though nothing would be done differently, and the reader is told.
#[test]
fn where_only_base_moved_that_is_said() {
    let can = docker();
    let leaves = BTreeMap::from([(FieldPath::Stopped, Value::Flag(false))]);
    let services: Services = BTreeMap::from([("web".parse().unwrap(), leaves)]);
    let (declared, live) = (declared_of(&services), live_of(&services, &can));
    let mut base = base_of(&services);
    let before = plan(&declared, &base, &live, &can, PlanOptions::default());
    let leaf = BaseLeaf { value: Value::Flag(false), written: "otherwise".into() };
    let web = base.services.get_mut("web".parse::<ServiceName>().as_ref().unwrap()).unwrap();
    Arc::make_mut(&mut web.leaves).insert(FieldPath::Stopped, leaf);
    let after = plan(&declared, &base, &live, &can, PlanOptions::default());
    assert_ne!(before.digest, after.digest);
    let lines = moved(&before, &after);
    assert!(lines.len() == 1 && lines[0].contains("last applied"), "{lines:?}");
}

/// Unknown and absent are two things in the canonical form too.
#[test]
fn unknown_is_not_absent_in_a_digest() {
    let can = docker();
    let at = FieldPath::Env("LOG".into());
    let leaves = BTreeMap::from([(FieldPath::Stopped, Value::Flag(false)), (at.clone(), Value::Text("info".into()))]);
    let services: Services = BTreeMap::from([("web".parse().unwrap(), leaves)]);
    let (declared, base, mut live) = (declared_of(&services), base_of(&services), live_of(&services, &can));
    let replica = &mut running(&mut live).values_mut().next().unwrap().replicas[0];
    replica.leaves.remove(&at);
    let mut plan = plan(&declared, &base, &live, &can, PlanOptions::default());
    plan.actions[0].changes[0].live = Observed::Unknown("it could not be seen".into());
    assert_ne!(digest(&plan, &base), plan.digest);
}

/// The form itself, over a value of every kind: whoever changes it takes a new format number, or plans that someone
/// confirmed are refused for nothing.
#[test]
fn the_canonical_form_of_format_1_stays() {
    let can = docker();
    let text = |text: &str| Value::Text(text.into());
    let mount = VolumeMount { source: VolumeSource::Named("shop-production-data".into()), read_only: true };
    let image = ImageValue { reference: Some("acme/web:1".parse().unwrap()), content: [content(1)].into() };
    let bindings =
        ["127.0.0.1", "::1"].map(|ip| PortBinding { host_ip: Some(ip.parse().unwrap()), host_port: Some(80) });
    let secret =
        SecretValue { name: Some("token".parse().unwrap()), fingerprint: Some("ab".repeat(32).parse().unwrap()) };
    let leaves = BTreeMap::from([
        (FieldPath::Image, Value::Image(image.into())),
        (FieldPath::Source, Value::Source("cd".repeat(32).parse().unwrap())),
        (FieldPath::Command, Value::Words(["serve".into(), String::new()].into())),
        (FieldPath::Stopped, Value::Flag(false)),
        (FieldPath::Replicas, Value::Integer(1)),
        (FieldPath::Env("A".into()), text("b")),
        (FieldPath::Env("TOKEN".into()), Value::Secret(secret)),
        (FieldPath::Ports("80/tcp".into()), Value::Ports(Arc::new(bindings.into()))),
        (FieldPath::Volumes("/data".into()), Value::Volume(mount)),
        (FieldPath::CpuLimit, Value::Cpu(NanoCpus(500_000_000))),
        (FieldPath::MemoryLimit, Value::Memory(Bytes(1 << 28))),
        (FieldPath::Restart, Value::Restart(RestartPolicy::OnFailure { max: Some(5) })),
        (FieldPath::StopGracePeriod, Value::Duration(Millis(1_500))),
        (FieldPath::Pull, Value::Pull(PullPolicy::Never)),
        (FieldPath::DependsOn, Value::Services(Arc::new(["db".parse().unwrap()].into()))),
        (FieldPath::DeployStrategy, Value::Strategy(Strategic::Recreate)),
    ]);
    let services: Services = BTreeMap::from([("web".parse().unwrap(), leaves)]);
    let options = PlanOptions { prune: true, rollback_to: Some(RunId(7)), services: None };
    let plan = plan(&declared_of(&services), &Base::default(), &live_of(&Services::new(), &can), &can, options);
    assert_eq!(trueup::plan::PLAN_FORMAT, 1);
    assert_eq!(plan.digest.as_str(), "1a502c76ce9e5b9328c2b5d94069acceb66fdedc0c75d6c92c6ce213f5798c00");
}
