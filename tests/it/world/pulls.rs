//! A pull request's report made in memory: three sides, a request that changes something of each kind.

use std::collections::BTreeMap;

use trueup::declared::{Declared, DeclaredLeaf, DeclaredService, Position};
use trueup::drift::{Base, BaseLeaf, BaseService};
use trueup::live::field::FieldPath;
use trueup::live::image::ImageValue;
use trueup::live::quantity::Bytes;
use trueup::live::value::{SecretValue, Value};
use trueup::live::{Live, LiveLeaf, Observed};
use trueup::plan::PlanOptions;
use trueup::report::detail::ReportDetail;
use trueup::report::mask::Leaving;
use trueup::report::parts::{Plans, sort};
use trueup::report::pull::{EnvironmentReport, PlannedPull, PullOutcome, PullReport, PullState};

use crate::world::leaves::content;
use crate::world::sides::{docker, fingerprint, live_of, plan};

/// A leaf as the file writes it: its value and its line.
#[derive(Clone)]
pub struct Written {
    pub value: Value,
    pub written: String,
    pub line: u32,
}

pub fn written(value: Value, line: u32) -> Written {
    Written { written: value.to_string(), value, line }
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub fn env(name: &str) -> FieldPath {
    FieldPath::Env(name.into())
}

pub fn image(reference: &str, digest: u8) -> Value {
    Value::Image(ImageValue { reference: Some(reference.parse().unwrap()), content: [content(digest)].into() }.into())
}

pub fn secret(name: &str, value: &str) -> Value {
    Value::Secret(SecretValue { name: Some(name.parse().unwrap()), fingerprint: Some(fingerprint(value)) })
}

pub type File = BTreeMap<&'static str, BTreeMap<FieldPath, Written>>;

pub fn declared(file: &File) -> Declared {
    let at = |line: u32| Position { file: ".trueup.yml".into(), line, column: 9 };
    let leaf = |leaf: &Written| DeclaredLeaf {
        value: leaf.value.clone(),
        written: leaf.written.as_str().into(),
        uses_commit: leaf.written.contains("Commit"),
        at: at(leaf.line),
    };
    let service = |leaves: &BTreeMap<FieldPath, Written>| DeclaredService {
        leaves: leaves
            .iter()
            .map(|(field, value)| (field.clone(), leaf(value)))
            .chain([(FieldPath::Stopped, leaf(&written(Value::Flag(false), 5)))])
            .collect(),
        at: at(5),
    };
    let services = file.iter().map(|(name, leaves)| (name.parse().unwrap(), service(leaves)));
    Declared { services: Some(services.collect()) }
}

pub fn base(file: &File) -> Base {
    let declared = declared(file);
    let service = |service: &DeclaredService| BaseService {
        leaves: service
            .leaves
            .iter()
            .map(|(field, leaf)| (field.clone(), BaseLeaf { value: leaf.value.clone(), written: leaf.written.clone() }))
            .collect::<BTreeMap<_, _>>()
            .into(),
        commit: None,
        run: None,
        verified_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let services = declared.services.unwrap();
    Base { services: services.iter().map(|(name, leaves)| (name.clone(), service(leaves))).collect() }
}

/// What runs where everything runs as applied.
pub fn running(base: &Base) -> Live {
    let services = base
        .services
        .iter()
        .map(|(name, service)| {
            let leaves = service.leaves.iter().map(|(field, leaf)| (field.clone(), leaf.value.clone()));
            (name.clone(), leaves.collect())
        })
        .collect();
    live_of(&services, &docker())
}

/// Someone sets a leaf of every replica of a service.
pub fn by_hand(live: &mut Live, service: &str, field: FieldPath, value: Value) {
    let Observed::Known(services) = &mut live.services else { panic!("nothing is seen") };
    for replica in &mut services.get_mut(&service.parse().unwrap()).unwrap().replicas {
        replica.leaves.insert(field.clone(), Observed::Known(LiveLeaf::set(value.clone())));
    }
}

/// The request's plan over the three sides.
pub fn planned(tip: &File, merged: &File, base: &Base, live: &Live, detail: ReportDetail) -> PlannedPull {
    let can = docker();
    let made = |file: &File| {
        let declared = declared(file);
        let mut sealed = live.clone();
        trueup::drift::seal::seal(&mut sealed, &declared, base, &fingerprint);
        plan(&declared, base, &sealed, &can, PlanOptions::default())
    };
    let (without, with) = (made(tip), made(merged));
    let declared = declared(merged);
    let leaving = Leaving { plan: &with, without: &without, base, declared: &declared, detail, observed: true };
    leaving.planned(&sort(Plans { without: &without, with: &with, now: &with }), "a".repeat(40).parse().unwrap())
}

/// A report on pull request 7 of `shop`.
pub fn report(environments: Vec<(&str, PullOutcome)>) -> PullReport {
    PullReport {
        project: "shop".parse().unwrap(),
        number: 7,
        head: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".parse().unwrap(),
        target: Some("main".to_owned()),
        fork: false,
        state: PullState::Open,
        environments: environments
            .into_iter()
            .map(|(name, outcome)| EnvironmentReport { environment: name.parse().unwrap(), outcome })
            .collect(),
    }
}

/// What was applied in the shop.
pub fn applied() -> File {
    BTreeMap::from([
        (
            "web",
            BTreeMap::from([
                (FieldPath::Image, written(image("acme/web:1", 1), 6)),
                (FieldPath::MemoryLimit, written(Value::Memory(Bytes(256 << 20)), 7)),
                (env("LOG_LEVEL"), written(text("info"), 8)),
                (env("TOKEN"), written(secret("api-token", "then"), 9)),
                (env("OLD"), written(text("gone soon"), 10)),
            ]),
        ),
        ("worker", BTreeMap::from([(FieldPath::Image, written(image("acme/worker:1", 2), 20))])),
    ])
}

/// A request that does something of each kind, while something waits and something was changed by hand.
pub fn shop(detail: ReportDetail) -> PlannedPull {
    let base = base(&applied());
    let mut live = running(&base);
    by_hand(&mut live, "web", FieldPath::MemoryLimit, Value::Memory(Bytes(512 << 20)));
    by_hand(&mut live, "web", env("DEBUG"), text("by hand"));
    let mut tip = applied();
    // Waits: merged and not synced.
    let web = tip.get_mut("web").unwrap();
    web.insert(env("LOG_LEVEL"), written(text("warn"), 8));
    web.insert(env("REGION"), written(text("eu"), 11));
    let mut merged = tip.clone();
    let web = merged.get_mut("web").unwrap();
    web.insert(FieldPath::Image, written(image("acme/web:2", 3), 6));
    web.insert(env("LOG_LEVEL"), written(text("debug"), 8));
    web.insert(env("TOKEN"), written(secret("api-token", "now"), 9));
    web.insert(env("DEBUG"), written(text("1"), 12));
    web.insert(env("BUILD"), Written { written: "{{ .Env.Build }}".to_owned(), value: text("operator's"), line: 13 });
    web.remove(&env("OLD"));
    merged.remove("worker");
    merged.insert("mail", BTreeMap::from([(FieldPath::Image, written(image("acme/mail:1", 4), 30))]));
    planned(&tip, &merged, &base, &live, detail)
}
