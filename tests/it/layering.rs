//! Does the house keep its shape? Pure files stay pure, arrows point one way, engines stay behind their doors, and no
//! path leads to a change but through the gate.

mod source;

use std::collections::BTreeMap;

use crate::layering::source::{Source, sources};

/// Which modules of the crate each module may use. What is not listed is refused, so a new module or a new arrow is
/// decided here and nowhere else.
const ARROWS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("authority", &[]),
    ("live", &["ids"]),
    ("declared", &["ids", "live"]),
    ("drift", &["ids", "live", "declared"]),
    ("plan", &["ids", "live", "declared", "drift"]),
    ("report", &["ids", "live", "declared", "drift", "plan"]),
    ("settings", &["ids", "authority", "live", "declared", "secret", "events::event"]),
    ("secret", &["ids", "live", "settings"]),
    ("audit", &["ids", "authority", "secret", "store"]),
    (
        "store",
        &[
            "ids",
            "authority",
            "forge",
            "live",
            "declared",
            "drift",
            "plan",
            "report::detail",
            "report::pull",
            "secret",
            "events::event",
            "integration::kind",
        ],
    ),
    ("events", &["ids", "store"]),
    ("notify", &["events", "git", "guarded", "metrics", "report::cloudevent", "secret", "settings", "store"]),
    ("metrics", &["forge::ForgeKind", "integration::kind", "store::records"]),
    (
        "integration",
        &[
            "ids",
            "declared::suggest",
            "events",
            "forge",
            "git",
            "live",
            "metrics",
            "oci",
            "provider",
            "secret",
            "store",
        ],
    ),
    ("guarded", &[]),
    ("oci", &["guarded", "live"]),
    ("forge", &["ids", "guarded", "report", "secret", "settings"]),
    ("git", &["ids", "declared", "guarded", "live", "secret", "settings"]),
    ("provider", &["ids", "declared", "live", "oci", "secret", "settings", "git", "store::records", "sync::gate"]),
    ("deploy", &["ids", "live", "drift", "plan", "provider", "store", "sync::gate", "sync::journal"]),
    ("health", &["ids", "live", "drift", "deploy::check", "pass", "provider", "secret", "store"]),
    (
        "sync",
        &[
            "ids",
            "authority",
            "audit",
            "live",
            "declared",
            "drift",
            "plan",
            "report",
            "pass",
            "provider",
            "deploy",
            "secret",
            "store",
            "settings",
        ],
    ),
    ("commands", &["ids", "authority", "audit", "forge", "outbox", "plan", "report", "reporter", "store", "sync"]),
    ("outbox", &["ids", "forge", "metrics", "store"]),
    (
        "reporter",
        &[
            "ids",
            "declared",
            "events",
            "forge",
            "git",
            "integration",
            "live",
            "metrics",
            "outbox",
            "pass",
            "plan",
            "provider",
            "report",
            "secret",
            "store",
        ],
    ),
    (
        "pass",
        &[
            "ids",
            "authority",
            "audit",
            "live",
            "declared",
            "drift",
            "plan",
            "report",
            "git",
            "provider",
            "deploy::check",
            "health",
            "secret",
            "store",
            "settings",
        ],
    ),
    (
        "http",
        &[
            "ids",
            "events",
            "integration",
            "metrics",
            "authority",
            "audit",
            "live",
            "declared",
            "drift",
            "plan",
            "report",
            "git",
            "forge",
            "outbox",
            "provider",
            "reporter",
            "secret",
            "store",
            "settings",
            "sync",
            "pass",
            "health",
            "daemon",
        ],
    ),
    (
        "daemon",
        &[
            "ids",
            "commands",
            "outbox",
            "reporter",
            "events",
            "integration",
            "metrics",
            "notify",
            "authority",
            "audit",
            "live",
            "declared",
            "drift",
            "plan",
            "report",
            "git",
            "forge",
            "provider",
            "deploy",
            "secret",
            "store",
            "settings",
            "sync",
            "pass",
            "health",
            "http",
        ],
    ),
    (
        "cli",
        &[
            "ids",
            "events",
            "integration",
            "authority",
            "live",
            "declared",
            "drift",
            "plan",
            "report",
            "git",
            "provider",
            "secret",
            "store",
            "settings",
            "pass",
            "daemon",
            "http",
            "sync::journal",
        ],
    ),
];

/// The modules that only turn data into data.
const PURE: &[&str] = &["ids", "authority", "settings", "declared", "live", "drift", "plan", "report"];

/// The files of modules with effects that only turn data into data all the same, by how their paths begin and end.
const PURE_FILES: &[(&str, &str)] = &[
    ("events/", "/event.rs"),
    ("integration/", "/kind.rs"),
    ("integration/", "/report.rs"),
    ("integration/", "/repository.rs"),
    ("integration/", "/settings.rs"),
    ("forge/", "/kind.rs"),
    ("forge/", "/event.rs"),
    ("forge/", "/headers.rs"),
    ("forge/", "/payload.rs"),
    ("forge/", "/signature.rs"),
    ("forge/", "/webhook.rs"),
    ("forge/", "/repository.rs"),
    ("guarded/", "/address.rs"),
    ("provider/", "/capability.rs"),
    ("provider/docker/", "/labels.rs"),
    ("provider/local/", "/observe.rs"),
    ("deploy/", "/check.rs"),
    ("commands/", "/grammar.rs"),
    ("commands/", "/answer.rs"),
];

/// What no pure module may hold: waiting, clocks, chance, the environment, files, sockets, processes, engines.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "::now(",
    "SystemTime",
    "Instant",
    "rand::",
    "SystemRandom",
    "std::env",
    "env!(",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "tokio",
    "reqwest",
    "rusqlite",
    "bollard",
    "gix",
    "hyper",
    "axum",
    "notify::",
    "tempfile",
    "println!",
    "tracing::",
    "static mut",
    "OnceLock",
    "RefCell",
    "Mutex",
    "Atomic",
];

/// Crates that stay behind one door, and where it is.
const DOORS: &[(&str, &[&str])] = &[
    ("bollard", &["provider/docker"]),
    ("gix", &["git"]),
    ("rusqlite", &["store"]),
    ("axum", &["http", "daemon"]),
    ("utoipa_axum", &["http"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("metrics_exporter_prometheus", &["metrics"]),
    ("notify", &["git"]),
    ("reqwest", &["cli", "forge", "git", "guarded", "notify", "oci", "provider"]),
    ("serde_saphyr", &["declared", "cli"]),
    ("annotate_snippets", &["declared"]),
    ("anyhow", &["cli", "daemon"]),
];

fn expect_none(question: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{question}\n{}", findings.join("\n"));
}

#[test]
fn pure_files_hold_no_effects() {
    expect_none("pure modules turn data into data, and nothing else:", effects_in_pure(&sources()));
}

fn effects_in_pure(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    let pure = |source: &Source| {
        let file = |(from, to): &(&str, &str)| source.path.starts_with(from) && source.path.ends_with(to);
        PURE.contains(&source.module.as_str()) || PURE_FILES.iter().any(file)
    };
    for source in sources.iter().filter(|source| pure(source)) {
        for token in IMPURE {
            findings.extend(source.hits(token));
        }
    }
    findings
}

#[test]
fn arrows_point_downwards_only() {
    let findings = wrong_arrows(&sources());
    expect_none("an arrow points the wrong way (or is new, and belongs into ARROWS if it is right):", findings);
}

fn wrong_arrows(sources: &[Source]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut findings = Vec::new();
    for source in sources {
        let Some(may_use) = allowed.get(source.module.as_str()) else {
            findings.push(format!("src/{}: the module `{}` has no row in ARROWS", source.path, source.module));
            continue;
        };
        for (number, line) in &source.lines {
            for (at, _) in line.match_indices("crate::") {
                let used = &line[at + "crate::".len()..];
                let within = |name: &&str| {
                    used.strip_prefix(*name)
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                let own = within(&source.module.as_str());
                if !own && !may_use.iter().any(within) {
                    findings.push(format!(
                        "src/{}:{number}: {} must not use: {}",
                        source.path,
                        source.module,
                        line.trim()
                    ));
                }
            }
        }
    }
    findings
}

#[test]
fn declared_knows_the_normal_forms_and_not_what_runs() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.module == "declared") {
        for token in ["LiveReplica", "LiveService", "LiveLeaf", "Observed", "live::Live"] {
            findings.extend(source.hits(token));
        }
    }
    expect_none("what is declared must not depend on what runs:", findings);
}

#[test]
fn engines_stay_behind_their_doors() {
    let mut findings = Vec::new();
    for source in sources() {
        for (engine, doors) in DOORS {
            if !doors.iter().any(|door| source.is_in(door)) {
                // A module of our own may bear the name of a crate.
                let ours = format!("crate::{engine}::");
                findings.extend(source.hits(&format!("{engine}::")).filter(|hit| !hit.contains(&ours)));
            }
        }
    }
    expect_none("an engine's types are outside their door:", findings);
}

#[test]
fn only_the_gate_makes_permits() {
    expect_none("a permit is made by the gate, and seen by those who carry it out:", stray_permits(&sources()));
}

fn stray_permits(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        if !source.is_in("sync/gate") {
            findings.extend(source.hits("SyncPermit {"));
        }
        if !["sync", "deploy", "provider"].iter().any(|place| source.is_in(place)) {
            findings.extend(source.hits("SyncPermit"));
        }
    }
    findings
}

/// Law 1: no path leads from an event, a timer or a read to a change. What could start one (`admit`, `resume`, a
/// provider's changing steps) is named only where an explicit request is carried out or an interrupted one is settled.
#[test]
fn nothing_but_a_request_reaches_the_gate() {
    expect_none("a change begins with a request, through the gate:", unasked_changes(&sources()));
}

fn unasked_changes(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let carries_out = ["sync", "deploy", "provider"].iter().any(|place| source.is_in(place));
        let asks = source.is_in("http") && (source.path.contains("sync") || source.path.contains("rollback"));
        let settles = source.is_in("daemon");
        // Whoever asks for a sync in someone's name: a route, or a comment's command.
        if !carries_out
            && !asks
            && source.path != "http/api/environments/start.rs"
            && source.path != "commands/carry.rs"
        {
            findings.extend(source.hits("syncs.start("));
        }
        if !carries_out && !asks {
            findings.extend(source.hits("admit("));
            findings.extend(source.hits("gate::admit"));
        }
        if !carries_out && !settles {
            findings.extend(source.hits("resume("));
            findings.extend(source.hits("gate::resume"));
        }
        if !carries_out {
            for step in [".prepare(", ".update(", ".remove(permit", ".discard(permit", ".start(permit", ".stop(permit"]
            {
                findings.extend(source.hits(step).filter(|hit| hit.contains("permit")));
            }
        }
    }
    findings
}

/// Tests that look for what must not be there prove little unless they find it where it is.
#[test]
fn a_planted_violation_is_seen() {
    type Check = fn(&[Source]) -> Vec<String>;
    let plants: [(&str, &str, Check); 9] = [
        ("drift/compare.rs", "let now = Timestamp::now();", effects_in_pure),
        ("provider/docker/labels.rs", "let text = std::fs::read_to_string(path);", effects_in_pure),
        ("plan/build.rs", "use crate::provider::Provider;", wrong_arrows),
        ("new_module.rs", "pub fn nothing() {}", wrong_arrows),
        ("pass/read.rs", "let permit = SyncPermit { run, environment, plan, _lock };", stray_permits),
        ("daemon/jobs.rs", "fn carry(permit: &SyncPermit) {}", stray_permits),
        ("daemon/jobs.rs", "gate::admit(&store, &locks, request, again).await?;", unasked_changes),
        ("reporter/pulls.rs", "parts.syncs.start(actor, &id, &digest).await?;", unasked_changes),
        ("health.rs", "provider.stop(permit, &replica.id).await;", unasked_changes),
    ];
    for (path, code, check) in plants {
        let harmless = format!("//! {code}\n\npub fn nothing() {{}}\n\n#[cfg(test)]\nmod tests {{\n    {code}\n}}\n");
        if path != "new_module.rs" {
            expect_none("comments and tests are no violations:", check(&[Source::of(path, &harmless)]));
        }
        let findings = check(&[Source::of(path, &format!("pub fn first() {{}}\n{code}\n"))]);
        assert_eq!(findings.len(), findings.iter().filter(|finding| finding.contains(path)).count());
        assert!(!findings.is_empty(), "{path}: {code}");
    }
}

#[test]
fn files_are_named_for_what_is_in_them_and_end_somewhere() {
    let mut findings = Vec::new();
    for source in sources() {
        let vague = ["utils", "util", "helpers", "helper", "manager", "common", "misc"];
        if source.path.trim_end_matches(".rs").split('/').any(|part| vague.contains(&part)) {
            findings.push(format!("src/{}: a file's name answers \"where is X?\"", source.path));
        }
        if source.length > 500 {
            findings.push(format!("src/{}: {} lines; 500 is the end", source.path, source.length));
        }
    }
    expect_none("the house's measures:", findings);
}
