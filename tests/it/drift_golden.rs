//! What does Trueup say of this repository, over this world? testdata/drift/<case>/ holds a question and its answer:
//!
//! - `declared.yml`: the repo's file;
//! - `base.yml` (optional): the file that was applied before (`"base": "declared"` in live.json: the same one);
//! - `live.json`: what runs and what the operator set, see [`World`];
//! - `plan.txt`: the report, with the digest left out, and the closing hint;
//! - `suppressed.txt` (where there are any): the differences that count for nothing, with their rules.
//!
//! `TRUEUP_GOLDEN=write cargo test --test it drift_golden` writes every plan.txt anew; read what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use trueup::declared::file::{Context, parse};
use trueup::declared::source::TreeEntry;
use trueup::declared::{Declared, DeclaredLeaf};
use trueup::drift::compare::compare;
use trueup::drift::seal::seal;
use trueup::drift::{Base, BaseLeaf, BaseService, Gaps};
use trueup::ids::{RunId, SecretName, ServiceName};
use trueup::live::capability::{Capabilities, Support};
use trueup::live::field::FieldPath;
use trueup::live::image::{ContentDigest, ImageValue};
use trueup::live::rule::Rule;
use trueup::live::value::Value;
use trueup::live::{Live, LiveLeaf, LiveService, Observed};
use trueup::plan::build::make;
use trueup::plan::{Plan, PlanOptions, PlanSuppressed};
use trueup::report::text::{Style, next_step, plan as report};

use crate::world::sides::{context, docker, fingerprint, local, replica};

/// live.json.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    /// Where it runs: `docker` unless said.
    #[serde(default)]
    provider: Place,
    /// What runs, before `services` changes it: as `declared`, as `base`, or `nothing`.
    from: From,
    /// What was applied: nothing, `declared.yml`, or (where it is there) `base.yml`.
    #[serde(default)]
    base: Option<String>,
    /// Why nothing could be seen at all.
    #[serde(default)]
    unreachable: Option<String>,
    /// What someone did to services by hand; `null` where they removed one.
    #[serde(default)]
    services: BTreeMap<ServiceName, Option<ByHand>>,
    /// What was asked for.
    #[serde(default)]
    options: Options,
    /// What the world outside has now.
    #[serde(default)]
    now: Outside,
    /// What it had when base was applied, where that was something else.
    #[serde(default)]
    then: Option<Outside>,
    /// Services whose health check cannot be carried out.
    #[serde(default)]
    unprobeable: BTreeMap<ServiceName, String>,
    /// What the pass has to say.
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Docker,
    Local,
}

impl Place {
    fn can(self) -> Capabilities {
        match self {
            Place::Docker => docker(),
            Place::Local => local(),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    Base,
    Declared,
    Nothing,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    services: Option<BTreeSet<ServiceName>>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    rollback_to: Option<u64>,
    /// What was planned; `main` unless said.
    #[serde(default)]
    reference: Option<String>,
    /// A file without a repository.
    #[serde(default)]
    no_commit: bool,
}

/// Registries, secrets and the operator's settings.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outside {
    /// What a tag means: one hexadecimal digit; `1` unless said.
    #[serde(default)]
    images: BTreeMap<String, char>,
    /// Tags that do not resolve, and why.
    #[serde(default)]
    unresolved: BTreeMap<String, String>,
    /// A secret's value, `null` for none; its name unless said.
    #[serde(default)]
    secrets: BTreeMap<SecretName, Option<String>>,
    /// `{{ .Env.X }}`.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// The repository's files: one hexadecimal digit for what each holds.
    #[serde(default)]
    files: BTreeMap<String, char>,
    /// `trueup service set`.
    #[serde(default)]
    registered: BTreeMap<ServiceName, serde_json::Value>,
}

/// What someone did to a service.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    /// How many replicas there are; as declared unless said.
    #[serde(default)]
    replicas: Option<u32>,
    /// What they did to all of them.
    #[serde(flatten)]
    all: Change,
    /// What they did to one, by its number.
    #[serde(default)]
    only: BTreeMap<u32, Change>,
    /// Replicas that are there and cannot be looked at, by name, and why.
    #[serde(default)]
    unseen: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Change {
    /// Leaves with another value, in the shape of `services.NAME`.
    #[serde(default)]
    set: Option<serde_json::Value>,
    /// Environment variables as they are in the replica, secrets too.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The content that its image has: one hexadecimal digit.
    #[serde(default)]
    content: Option<char>,
    /// The code that was laid down for it: one hexadecimal digit.
    #[serde(default)]
    code: Option<char>,
    /// Leaves that are gone.
    #[serde(default)]
    absent: Vec<FieldPath>,
    /// Leaves that could not be seen, and why.
    #[serde(default)]
    unknown: BTreeMap<FieldPath, String>,
    /// Leaves whose value the image or the provider supplies.
    #[serde(default)]
    supplied: Vec<FieldPath>,
    /// Whether it is stopped although it should run.
    #[serde(default)]
    stopped: bool,
}

/// One of the two files, completed as a pass would.
struct Side {
    place: Place,
    declared: Declared,
    gaps: Gaps,
    secrets: BTreeMap<SecretName, String>,
}

fn content(digit: char) -> ContentDigest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

impl Outside {
    fn context(&self, place: Place) -> Context {
        let file = |(path, digit): (&String, &char)| {
            let (path, blob) = (path.clone(), digit.to_string().repeat(40));
            TreeEntry { path, mode: 0o100_755, blob }
        };
        let local = place == Place::Local;
        Context {
            tree: local.then(|| self.files.iter().map(file).collect()),
            source_is_leaf: local,
            values: self.values.clone(),
            registered: self.registered.iter().map(|(name, spec)| (name.clone(), spec.clone())).collect(),
            allow_host_paths: vec!["/srv".to_owned()],
            branch: Some("main".to_owned()),
            commit: context(PlanOptions::default()).commit,
            ..Context::new("shop".parse().unwrap(), "production".parse().unwrap())
        }
    }

    fn complete(&self, place: Place, path: &str, text: &[u8]) -> Side {
        let file = parse(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let declared = file.resolve(&self.context(place)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut side = Side { place, declared, gaps: Gaps::default(), secrets: BTreeMap::new() };
        for (name, service) in side.declared.services.iter_mut().flatten() {
            for (field, leaf) in &mut service.leaves {
                if let Err(why) = self.fill(&mut leaf.value, &mut side.secrets) {
                    side.gaps.add(name, field, why);
                }
            }
        }
        side
    }

    fn fill(&self, value: &mut Value, secrets: &mut BTreeMap<SecretName, String>) -> Result<(), String> {
        match value {
            Value::Image(image) => {
                let ImageValue { reference: Some(reference), content: digests } = Arc::make_mut(image) else {
                    return Ok(());
                };
                let familiar = reference.familiar();
                if let Some(why) = self.unresolved.get(&familiar) {
                    return Err(why.clone());
                }
                digests.insert(match &reference.digest {
                    Some(digest) => digest.clone(),
                    None => content(self.images.get(&familiar).copied().unwrap_or('1')),
                });
            }
            Value::Secret(secret) => {
                let name = secret.name.clone().unwrap();
                let value = self.secrets.get(&name).cloned().unwrap_or_else(|| Some(format!("the value of {name}")));
                let Some(value) = value else {
                    return Err(format!(
                        "the secret {name} has no value in shop/production; set it with `trueup env set shop/production --secret {name}=env://NAME`"
                    ));
                };
                secret.fingerprint = Some(fingerprint(&value));
                secrets.insert(name, value);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Side {
    fn base(&self) -> Base {
        let leaf = |leaf: &DeclaredLeaf| BaseLeaf { value: leaf.value.clone(), written: leaf.written.clone() };
        let services = self.declared.services.iter().flatten().map(|(name, service)| {
            let leaves: BTreeMap<_, _> =
                service.leaves.iter().map(|(field, declared)| (field.clone(), leaf(declared))).collect();
            let leaves = leaves.into();
            let applied =
                BaseService { leaves, commit: None, run: Some(RunId(4)), verified_at: jiff::Timestamp::UNIX_EPOCH };
            (name.clone(), applied)
        });
        Base { services: services.collect() }
    }

    /// What runs once it is applied; secrets as the plain values that replicas hold.
    fn live(&self) -> BTreeMap<ServiceName, LiveService> {
        let can = self.place.can();
        let services = self.declared.services.iter().flatten().map(|(name, service)| {
            let mut leaves: BTreeMap<FieldPath, Value> =
                service.leaves.iter().map(|(field, leaf)| (field.clone(), leaf.value.clone())).collect();
            for value in leaves.values_mut() {
                if let Value::Secret(secret) = value {
                    *value = Value::Text(
                        self.secrets.get(secret.name.as_ref().unwrap()).cloned().unwrap_or_default().into(),
                    );
                }
            }
            (name.clone(), crate::world::sides::service(name, &leaves, &can))
        });
        services.collect()
    }
}

fn by_hand(name: &ServiceName, hand: &ByHand, service: &mut LiveService, outside: &Outside, place: Place) {
    let can = place.can();
    let count = hand.replicas.unwrap_or_else(|| u32::try_from(service.replicas.len().max(1)).unwrap());
    let model = service.replicas.first().cloned().unwrap_or_else(|| replica(name, 1, &BTreeMap::new(), &can));
    service.unseen = hand.unseen.clone();
    service.replicas.truncate(usize::try_from(count).unwrap());
    for index in u32::try_from(service.replicas.len()).unwrap() + 1..=count {
        let mut more = replica(name, index, &BTreeMap::new(), &can);
        more.leaves = model.leaves.clone();
        service.replicas.push(more);
    }
    for replica in &mut service.replicas {
        hand.all.make(&mut replica.leaves, outside, place);
        if let Some(only) = hand.only.get(&replica.index) {
            only.make(&mut replica.leaves, outside, place);
        }
    }
}

impl Change {
    fn make(&self, leaves: &mut BTreeMap<FieldPath, Observed<LiveLeaf>>, outside: &Outside, place: Place) {
        if let Some(set) = &self.set {
            let file = serde_json::json!({
                "version": 1, "environments": { "production": { "services": { "it": set } } }
            });
            let side = Outside { registered: BTreeMap::new(), ..outside.clone() }.complete(
                place,
                "live.json",
                file.to_string().as_bytes(),
            );
            let it = &side.declared.services.unwrap()[&"it".parse().unwrap()];
            let can = place.can();
            let seen = |field: &FieldPath| {
                (can.support)(field) == Support::Observed && !matches!(field, FieldPath::Stopped | FieldPath::Replicas)
            };
            for (field, leaf) in it.leaves.iter().filter(|(field, _)| seen(field)) {
                leaves.insert(field.clone(), Observed::Known(LiveLeaf::set(leaf.value.clone())));
            }
        }
        for (key, value) in &self.env {
            let leaf = LiveLeaf::set(Value::Text(value.into()));
            leaves.insert(FieldPath::Env(key.into()), Observed::Known(leaf));
        }
        if let Some(digit) = self.content
            && let Some(Observed::Known(LiveLeaf { value: Value::Image(image), .. })) =
                leaves.get_mut(&FieldPath::Image)
        {
            Arc::make_mut(image).content = [content(digit)].into();
        }
        if let Some(digit) = self.code {
            let hash = digit.to_string().repeat(64).parse().unwrap();
            leaves.insert(FieldPath::Source, Observed::Known(LiveLeaf::set(Value::Source(hash))));
        }
        for field in &self.absent {
            leaves.remove(field);
        }
        for (field, why) in &self.unknown {
            leaves.insert(field.clone(), Observed::Unknown(why.clone()));
        }
        for field in &self.supplied {
            match leaves.get_mut(field) {
                Some(Observed::Known(leaf)) => leaf.supplied = true,
                other => panic!("{field} is not there to be supplied: {other:?}"),
            }
        }
        if self.stopped {
            leaves.insert(FieldPath::Stopped, Observed::Known(LiveLeaf::set(Value::Flag(true))));
        }
    }
}

/// The case's plan.
fn plan_of(case: &Path) -> Plan {
    let read = |name: &str| std::fs::read(case.join(name));
    let world: World = serde_json::from_slice(&read("live.json").unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", case.join("live.json").display()));
    let then = world.then.as_ref().unwrap_or(&world.now);
    let file = read("declared.yml").unwrap();
    let place = world.provider;
    let declared = world.now.complete(place, ".trueup.yml", &file);
    let applied = match (world.base.as_deref(), read("base.yml")) {
        (None, Ok(text)) => Some(then.complete(place, ".trueup.yml", &text)),
        (Some("declared"), Err(_)) => Some(then.complete(place, ".trueup.yml", &file)),
        (None, Err(_)) => None,
        other => panic!("{}: what is base? {other:?}", case.display()),
    };
    let mut running = match (world.from, &applied) {
        (From::Declared, _) => declared.live(),
        (From::Base, Some(applied)) => applied.live(),
        (From::Base, None) => panic!("{}: there is no base", case.display()),
        (From::Nothing, _) => BTreeMap::new(),
    };
    for (name, hand) in &world.services {
        match hand {
            Some(hand) => by_hand(name, hand, running.entry(name.clone()).or_default(), then, place),
            None => drop(running.remove(name)),
        }
    }
    let services = match world.unreachable {
        Some(why) => Observed::Unknown(why),
        None => Observed::Known(running),
    };
    let base = applied.as_ref().map(Side::base).unwrap_or_default();
    let mut live = Live { services };
    seal(&mut live, &declared.declared, &base, &fingerprint);
    let can = place.can();
    let drift = compare(&declared.declared, &declared.gaps, &base, &live, &can);
    let Options { services, prune, rollback_to, reference, no_commit } = world.options;
    let mut context = context(PlanOptions { services, prune, rollback_to: rollback_to.map(RunId) });
    context.reference = reference.unwrap_or(context.reference);
    context.commit = context.commit.filter(|_| !no_commit);
    context.unprobeable = world.unprobeable;
    context.notes = world.notes;
    make(&declared.declared, &base, &drift, &can, context)
}

fn words(plan: &Plan) -> String {
    let hint = next_step(plan).map(|hint| format!("{hint}\n")).unwrap_or_default();
    format!("{}{hint}", report(plan, Style::Plain)).replace(plan.digest.short(), "DIGEST")
}

fn suppressed(plan: &Plan) -> String {
    let of = |PlanSuppressed { service, difference }: &PlanSuppressed| {
        let declared = difference.declared.as_ref().map_or("(withdrawn)".to_owned(), ToString::to_string);
        let (field, live, rule) = (&difference.field, &difference.live, difference.rule.words());
        format!("{service}.{field}: {declared} declared, {live} runs: {rule}\n")
    };
    plan.suppressed.iter().map(of).collect()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/drift");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_case_reads_as_it_should() {
    let write = std::env::var("TRUEUP_GOLDEN").is_ok_and(|word| word == "write");
    let mut wrong = Vec::new();
    for case in cases() {
        let plan = plan_of(&case);
        for (is, name) in [(words(&plan), "plan.txt"), (suppressed(&plan), "suppressed.txt")] {
            let file = case.join(name);
            if write && !is.is_empty() {
                std::fs::write(&file, &is).unwrap();
            }
            let should = std::fs::read_to_string(&file).unwrap_or_default();
            if is != should {
                wrong.push(format!("{}:\n{is}instead of:\n{should}", file.display()));
            }
        }
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again, plan, "{}: a plan survives being stored", case.display());
        assert_eq!(plan_of(&case), plan, "{}: the same question has one answer", case.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_enough_cases_and_they_name_every_field_and_cause() {
    let plans: Vec<Plan> = cases().iter().map(|case| plan_of(case)).collect();
    assert!(plans.len() >= 45, "{} cases", plans.len());
    let changes = || plans.iter().flat_map(|plan| &plan.actions).flat_map(|action| &action.changes);
    let fields: BTreeSet<&str> = changes().map(|change| change.field.name()).collect();
    let missing: Vec<FieldPath> = FieldPath::SINGLE
        .into_iter()
        .chain(["env.A", "ports[\"1/tcp\"]", "volumes[\"/a\"]", "labels.a"].map(|text| text.parse().unwrap()))
        .filter(|field| !fields.contains(field.name()))
        .collect();
    assert!(missing.is_empty(), "no case changes {missing:?}");
    let rules: BTreeSet<Rule> = plans.iter().flat_map(|plan| &plan.suppressed).map(|one| one.difference.rule).collect();
    assert_eq!(rules, BTreeSet::from([Rule::ImageContent, Rule::VolumeName, Rule::Rounded, Rule::Supplied]));
    let causes: BTreeSet<&str> = changes().map(|change| change.cause.word()).collect();
    assert_eq!(causes, BTreeSet::from(["both", "input", "live", "new", "repo"]));
}

/// What the first page shows is what the program says, but for the plan's and the commit's numbers.
#[test]
fn the_readme_shows_a_real_report() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("$ trueup plan shop/production\n").unwrap();
    let (shown, _) = rest.split_once("\n```").unwrap();
    let numbers = regex_lite::Regex::new(r"(Plan|main at) [0-9a-f]+|Plan DIGEST").unwrap();
    let settled = |text: &str| numbers.replace_all(text, "NUMBER").into_owned();
    let said = words(&plan_of(&root.join("testdata/drift/readme")));
    let (report, _) = said.split_once("\nTo carry it out:").unwrap_or((said.trim_end(), ""));
    assert_eq!(settled(shown), settled(report));
}

/// No report steers a terminal, and no line is broken by what it shows.
#[test]
fn reports_are_plain_text() {
    for case in cases() {
        let text = words(&plan_of(&case));
        let control = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{}", case.display());
    }
}
