//! What does a file declare, and what does Trueup say of one that is not valid?
//!
//! Each `testdata/invalid/NAME.yml` has beside it what the terminal shows for it, in `NAME.txt`; each
//! `testdata/valid/NAME.yml` what it declares. `TRUEUP_UPDATE=1 cargo test --test it declared` writes them anew: read the
//! difference before you commit it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use trueup::declared::file::{self, Context};
use trueup::declared::source::TreeEntry;
use trueup::declared::{Declared, InvalidFile, snippet};
use trueup::live::field::FieldPath;

use crate::world::cases::{cases, expect};

/// The same for every case: an environment with a commit, one value and one allowed path.
fn context() -> Context {
    let mut context = Context::new("shop".parse().unwrap(), "production".parse().unwrap());
    context.commit = Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap());
    context.branch = Some("main".to_owned());
    context.values.insert("DOMAIN".to_owned(), "shop.acme.dev".to_owned());
    context.values.insert("REPLICAS".to_owned(), "3".to_owned());
    context.allow_host_paths = vec!["/srv/shop".to_owned()];
    let entry = |path: &str| TreeEntry { path: path.to_owned(), mode: 0o100_644, blob: format!("blob-{path}") };
    context.tree = Some(["Dockerfile", "src/main.rs", ".trueup.yml"].map(entry).to_vec());
    context
}

/// Parses and resolves, as a pass does. A line `# registered NAME JSON` is a service that an operator registered.
pub fn declare(path: &str, text: &[u8]) -> Result<Declared, InvalidFile> {
    let file = file::parse(path, text)?;
    let mut context = context();
    for line in String::from_utf8_lossy(text).lines() {
        let registered = line.strip_prefix("# registered ").and_then(|rest| rest.split_once(' '));
        if let Some((name, json)) = registered
            && let (Ok(name), Ok(spec)) = (name.parse(), serde_json::from_str(json))
        {
            context.registered.push((name, spec));
        }
    }
    file.resolve(&context)
}

fn show(declared: &Declared) -> String {
    let Some(services) = &declared.services else { return "nothing is declared, nothing is an orphan\n".to_owned() };
    let mut text = String::new();
    if services.is_empty() {
        text.push_str("no service should run\n");
    }
    for (name, service) in services {
        writeln!(text, "{name}  ({})", service.at).unwrap();
        for (field, leaf) in &service.leaves {
            let (line, column) = (leaf.at.line, leaf.at.column);
            let commit = if leaf.uses_commit { "  uses the commit" } else { "" };
            writeln!(text, "  {field} = {}  <- {}  ({line}:{column}){commit}", leaf.value, leaf.written).unwrap();
        }
    }
    text
}

#[test]
fn invalid_files_say_where_what_and_what_to_do() {
    let cases = cases("invalid");
    assert!(cases.len() >= 50, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (name, text, expected) in cases {
        let Err(invalid) = declare(&name, &text) else {
            wrong.push(format!("{name} is accepted"));
            continue;
        };
        for diagnostic in &invalid.diagnostics {
            let summary = diagnostic.message.contains("more problems were found");
            assert!(diagnostic.at.is_some() || summary, "{name}: no position: {}", diagnostic.message);
            assert!(diagnostic.width >= 1, "{name}");
            assert!(diagnostic.help.is_some() || summary, "{name}: no way out: {}", diagnostic.message);
        }
        let sources = BTreeMap::from([(name.clone(), String::from_utf8_lossy(&text).into_owned())]);
        let shown = snippet::render(&invalid, &sources, false) + "\n";
        for shown in [&shown, &invalid.to_string(), &serde_json::to_string(&invalid.diagnostics).unwrap()] {
            assert!(!shown.contains("hunter2"), "{name} repeats a secret: {shown}");
        }
        wrong.extend(expect(&expected, &shown).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn valid_files_declare_their_leaves() {
    let mut wrong = Vec::new();
    for (name, text, expected) in cases("valid") {
        match declare(&name, &text) {
            Ok(declared) => wrong.extend(expect(&expected, &show(&declared)).err()),
            Err(invalid) => wrong.push(format!("{name} is refused: {invalid}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const LOCAL: &[u8] =
    b"version: 1\nenvironments:\n  production:\n    services:\n      web: { command: run, working_dir: ./app/ }\n";

#[test]
fn the_code_is_a_leaf_where_the_provider_runs_it() {
    let file = file::parse(".trueup.yml", LOCAL).unwrap();
    let production = "production".parse().unwrap();
    assert!(!file.needs_tree(&production, false));
    assert!(file.needs_tree(&production, true));
    assert!(!file.needs_tree(&"staging".parse().unwrap(), true));

    let entry = |path: &str, blob: &str| TreeEntry { path: path.to_owned(), mode: 0o100_644, blob: blob.to_owned() };
    let source = |tree: Vec<TreeEntry>, text: &[u8]| {
        let context = Context { tree: Some(tree), source_is_leaf: true, ..context() };
        let declared = file::parse(".trueup.yml", text).unwrap().resolve(&context).unwrap();
        let services = declared.services.unwrap();
        services[&"web".parse().unwrap()].leaves[&FieldPath::Source].value.to_string()
    };
    let base = vec![entry("app/a", "1"), entry("lib/b", "1"), entry(".trueup.yml", "1")];
    let with = |path: &str| base.iter().map(|e| if e.path == path { entry(path, "2") } else { e.clone() }).collect();
    // Its directory is the default; elsewhere nothing counts.
    assert_eq!(source(base.clone(), LOCAL), source(with("lib/b"), LOCAL));
    assert_ne!(source(base.clone(), LOCAL), source(with("app/a"), LOCAL));
    // Without one the whole repository is, but for the file itself, or every edit of it would replace what runs.
    let whole = b"version: 1\nenvironments: { production: { services: { web: { command: run } } } }\n";
    assert_eq!(source(base.clone(), whole), source(with(".trueup.yml"), whole));
    assert_ne!(source(base.clone(), whole), source(with("lib/b"), whole));

    let invalid = file.resolve(&Context { tree: None, source_is_leaf: true, ..context() }).unwrap_err();
    assert!(invalid.to_string().starts_with(".trueup.yml:5:12: a source needs the repository's files"), "{invalid}");
}

#[test]
fn what_a_file_needs_is_known_before_it_is_resolved() {
    let production = "production".parse().unwrap();
    for (text, tree, version) in [
        ("environments: { production: { services: { web: { image: 'a:{{ .Source }}' } } } }", true, false),
        ("environments: { production: { services: { web: { image: a, source: [src] } } } }", true, false),
        ("environments: { production: { services: { web: { image: 'a:{{ version }}' } } } }", false, true),
        ("environments: { production: { services: { web: { image: a } } } }", false, false),
        ("environments: { staging: { services: { web: { image: 'a:{{ .Source }}{{ .Version }}' } } } }", false, false),
        // Only the operator's store knows what the registered service says.
        ("deploy: { port: 80 }", true, true),
    ] {
        let file = file::parse("f.yml", format!("version: 1\n{text}\n").as_bytes()).unwrap();
        assert_eq!(file.needs_tree(&production, false), tree, "{text}");
        assert_eq!(file.uses_version(&production), version, "{text}");
    }
}

#[test]
fn without_a_repository_what_comes_from_it_is_not_defined() {
    let text = "version: 1\nenvironments: { production: { services: { web: { env: { A: '{{ .Commit }}', B: '{{ .Source }}' } } } } }\n";
    let file = file::parse("f.yml", text.as_bytes()).unwrap();
    let invalid = file.resolve(&Context::new("shop".parse().unwrap(), "production".parse().unwrap())).unwrap_err();
    let positions: Vec<_> =
        invalid.diagnostics.iter().map(|diagnostic| diagnostic.at.as_ref().unwrap().column).collect();
    assert_eq!(positions, [60, 80], "{invalid}");
}

#[test]
fn what_an_operator_registers_keeps_the_files_rules() {
    let accepted = serde_json::json!({ "image": "nginx:{{ .Version }}", "env": { "A": 1, "B": { "secret": "b" } }, "ports": [80] });
    file::check_service(&accepted).unwrap();
    for (spec, begins) in [
        (serde_json::json!({ "imgae": "nginx" }), "imgae: `imgae` is not a key of a service (did you mean `image`?)"),
        (
            serde_json::json!({ "image": 5.5, "env": { "TOKEN": "hunter2" } }),
            "env.TOKEN: `TOKEN` looks like a credential",
        ),
        (serde_json::json!({ "restart": false }), "restart: `restart` must be"),
        (serde_json::json!({ "depends_on": ["db"] }), "depends_on: a registered service"),
        (serde_json::json!(["nginx"]), "service: a service must be a map of keys"),
        (serde_json::json!({ "build": {} }), "build: `build` is not supported yet"),
        (serde_json::json!({ "ports": ["80:80"], "replicas": 2 }), "ports[0]: only one replica can have port 80"),
    ] {
        let invalid = file::check_service(&spec).unwrap_err();
        assert!(invalid.to_string().starts_with(begins), "{invalid}");
        assert!(!invalid.to_string().contains("hunter2"));
    }
}

#[test]
fn every_problem_of_a_file_is_found_and_too_many_are_counted() {
    let wrong: String = (0..60).map(|i| format!("wrong{i}: 1\n")).collect();
    let invalid = file::parse("f.yml", format!("version: 1\n{wrong}").as_bytes()).unwrap_err();
    assert_eq!(invalid.diagnostics.len(), 51);
    assert_eq!(invalid.diagnostics[50].message, "10 more problems were found; mend these first");
}
