//! What does a file declare, and what does Trueup say of one that is not valid?
//!
//! Each `testdata/invalid/NAME.yml` has beside it what the terminal shows for it, in `NAME.txt`; each
//! `testdata/valid/NAME.yml` what it declares. `TRUEUP_UPDATE=1 cargo test --test it declared` writes them anew: read the
//! difference before you commit it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trueup::declared::file::{self, Context, MAX_BYTES};
use trueup::declared::source::TreeEntry;
use trueup::declared::{Declared, InvalidFile, schema, snippet};
use trueup::live::field::FieldPath;

const UPDATE: &str = "TRUEUP_UPDATE";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

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
fn declare(path: &str, text: &[u8]) -> Result<Declared, InvalidFile> {
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

fn cases(folder: &str) -> Vec<(String, Vec<u8>, PathBuf)> {
    let mut cases: Vec<_> = std::fs::read_dir(root().join("testdata").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap(), path.with_extension("txt"))
        })
        .collect();
    cases.sort();
    cases
}

/// Compares with a file, or writes it.
fn expect(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&expected, actual).unified_diff().to_string();
    Err(format!("{} is not current ({UPDATE}=1 writes it):\n{diff}", path.display()))
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

#[test]
fn the_schema_is_current_describes_every_key_and_accepts_every_valid_file() {
    let schema = schema::json_schema();
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    expect(&root().join("schema/trueup.schema.json"), &text).unwrap();

    for (path, object) in objects(&schema) {
        for (key, property) in object["properties"].as_object().unwrap() {
            let about = property["description"].as_str().unwrap_or_default();
            assert!(about.len() > 20, "{path}.{key} is not described");
        }
    }

    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, text, _) in cases("valid") {
        let value: serde_json::Value =
            serde_saphyr::from_str(&String::from_utf8(text).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{} {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

/// Every object of the schema that has keys of its own, by its name.
fn objects(schema: &serde_json::Value) -> Vec<(String, serde_json::Value)> {
    let definitions = schema["$defs"].as_object().unwrap();
    let mut objects: Vec<_> = definitions
        .iter()
        .filter(|(_, definition)| definition["properties"].is_object())
        .map(|(name, definition)| (name.clone(), definition.clone()))
        .collect();
    objects.push(("Document".to_owned(), schema.clone()));
    objects
}

/// The reader knows exactly the schema's keys: each is read in some valid case, and none that is read is missing there.
#[test]
fn every_key_of_the_schema_is_used_by_a_valid_file() {
    let schema = schema::json_schema();
    let known: BTreeSet<String> = objects(&schema)
        .into_iter()
        .flat_map(|(_, object)| object["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    let mut used = BTreeSet::new();
    for (_, text, _) in cases("valid") {
        let value: serde_json::Value = serde_saphyr::from_str(&String::from_utf8(text).unwrap()).unwrap();
        keys_of(&value, &mut used);
    }
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "no file in testdata/valid uses {unused:?}");
}

fn keys_of(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                keys.insert(key.clone());
                keys_of(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

/// docs/file.md holds a table for each object of the schema, between `<!-- keys NAME -->` and `<!-- end -->`.
#[test]
fn the_reference_has_every_key() {
    let path = root().join("docs/file.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (name, object) in objects(&schema::json_schema()) {
        let begin = format!("<!-- keys {name} -->\n");
        let start = text.find(&begin).unwrap_or_else(|| panic!("docs/file.md has no table of {name}")) + begin.len();
        let end = start + text[start..].find("<!-- end -->").unwrap();
        text.replace_range(start..end, &table(&object));
    }
    expect(&path, &text).unwrap();
}

fn table(object: &serde_json::Value) -> String {
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(|key| key.as_str()).collect();
    let mut table = "\n| key | meaning |\n|---|---|\n".to_owned();
    for (key, property) in object["properties"].as_object().unwrap() {
        let about = property["description"].as_str().unwrap().replace('|', "\\|");
        let required = if required.contains(&key.as_str()) { " **Required.**" } else { "" };
        writeln!(table, "| `{key}` | {about}{required} |").unwrap();
    }
    table + "\n"
}

#[test]
fn too_large_a_file_is_refused_before_it_is_read() {
    let text = vec![b'#'; MAX_BYTES + 1];
    let invalid = file::parse("f.yml", &text).unwrap_err();
    assert!(invalid.to_string().starts_with("f.yml:1:1: the file is larger than 262144 bytes"), "{invalid}");
    let mut text = b"version: 1\n#".to_vec();
    text.resize(MAX_BYTES, b'x');
    assert!(file::parse("f.yml", &text).is_ok());
}

/// The most that any file may take here: a debug build on a busy machine. Released, each of these is far below 100 ms.
const TIME: Duration = Duration::from_secs(2);

fn timed(what: &str, text: &[u8]) -> Result<Declared, InvalidFile> {
    let began = Instant::now();
    let declared = declare("f.yml", text);
    assert!(began.elapsed() < TIME, "{what} took {:?}", began.elapsed());
    declared
}

#[test]
fn hostile_files_are_refused_in_time() {
    let fill = |piece: &str| piece.repeat(MAX_BYTES / piece.len()).into_bytes();
    let bomb = (1..30).fold("a0: &a0 [x, x, x]\n".to_owned(), |text, i| {
        let alias = format!("*a{}", i - 1);
        text + &format!("a{i}: &a{i} [{alias}, {alias}, {alias}, {alias}]\n")
    });
    let merge_bomb = (1..200).fold("a0: &a0 {x: 1}\n".to_owned(), |text, i| {
        let all: Vec<String> = (0..i).map(|j| format!("*a{j}")).collect();
        text + &format!("a{i}: &a{i} {{<<: [{}], k{i}: 1}}\n", all.join(", "))
    });
    let deep_aliases =
        (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{i}: &a{i} [*a{}]\n", i - 1));
    let block: String = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let many_keys: String = (0..20_000).map(|i| format!("k{i}: 1\n")).collect();
    let services: String = (0..7_000).map(|i| format!("      s{i}: {{image: a}}\n")).collect();
    let services = format!("version: 1\nenvironments:\n  production:\n    services:\n{services}");
    let ports: String =
        (0..6_000).map(|i| format!("      s{i}: {{ports: ['1.1.{}.{}:80:80']}}\n", i / 250, i % 250)).collect();
    let ports = format!("version: 1\nenvironments:\n  production:\n    services:\n{ports}");
    let chain: String = (0..4_000).map(|i| format!("      s{i}: {{depends_on: [s{}]}}\n", i + 1)).collect();
    let chain = format!("version: 1\nenvironments:\n  production:\n    services:\n{chain}      s4000: {{}}\n");
    for (what, text, valid) in [
        ("20,000 brackets", vec![b'['; 20_000], false),
        ("20,000 braces", "{a: ".repeat(20_000).into_bytes(), false),
        ("20,000 dashes", "- ".repeat(20_000).into_bytes(), false),
        ("20,000 question marks", "? ".repeat(20_000).into_bytes(), false),
        ("deep blocks", block.into_bytes(), false),
        ("an alias bomb", bomb.into_bytes(), false),
        ("a merge bomb", merge_bomb.into_bytes(), false),
        ("deep aliases", deep_aliases.into_bytes(), false),
        ("many keys", many_keys.into_bytes(), false),
        ("many commas", fill("[a,a],"), false),
        ("many anchors", fill("- &a x\n"), false),
        ("many unknown aliases", fill("- *a\n"), false),
        ("many tags", fill("- !a x\n"), false),
        ("many quotes", fill("\"\n"), false),
        ("many template openings", fill("{{"), false),
        ("many colons", fill("a: "), false),
        ("only colons", fill(":"), false),
        ("only ampersands", fill("&"), false),
        ("many documents", fill("---\n"), false),
        ("one long line", fill("a"), false),
        ("many block scalars", fill("a: |\n b\n"), false),
        ("many services", services.into_bytes(), true),
        ("many host ports", ports.into_bytes(), true),
        ("a long chain of dependencies", chain.into_bytes(), true),
    ] {
        let result = timed(what, &text);
        assert_eq!(result.is_ok(), valid, "{what}: {:?}", result.map(|_| ()).map_err(|invalid| invalid.to_string()));
    }
}

/// Pieces of files, so that what is generated gets past the parser.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "version: 1\n",
        "environments:\n",
        "  production:\n",
        "    services:\n",
        "      web:\n",
        "        image: nginx\n",
        "        env: {A: b}\n",
        "        env:\n",
        "          PASSWORD: x\n",
        "          A: { secret: a }\n",
        "        ports: ['80:80', 90]\n",
        "        volumes: [a:/b]\n",
        "        replicas: 2\n",
        "        command: a 'b c'\n",
        "deploy: {port: 80}\n",
        "{{ .Source }}",
        "{{",
        "}}",
        "&a ",
        "*a",
        "<<: *a\n",
        "- ",
        "? ",
        ": ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|\n",
        ">\n",
        "#",
        "!x ",
        "---\n",
        "%YAML 1.2\n",
        "~",
        "on",
        "null",
        "\u{feff}",
        "\u{0}",
        "é",
        "𝕏",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_any(&bytes)?;
    }

    #[test]
    fn no_text_panics(text in pieces()) {
        check_any(text.as_bytes())?;
    }

    #[test]
    fn no_mutation_of_a_valid_file_panics(case in 0usize..1000, cuts in prop::collection::vec((0usize..4000, pieces()), 1..4)) {
        let cases = cases("valid");
        let mut text = String::from_utf8(cases[case % cases.len()].1.clone()).unwrap();
        for (at, piece) in cuts {
            let mut at = at % (text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.insert_str(at, &piece[..piece.char_indices().nth(12).map_or(piece.len(), |(end, _)| end)]);
        }
        check_any(text.as_bytes())?;
    }
}

/// Whatever the bytes: an answer in time, with positions that exist, and a rendering.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    let began = Instant::now();
    let result = declare("f.yml", bytes);
    prop_assert!(began.elapsed() < TIME);
    let Err(invalid) = result else { return Ok(()) };
    prop_assert!(!invalid.diagnostics.is_empty());
    let text = String::from_utf8_lossy(bytes).into_owned();
    for diagnostic in &invalid.diagnostics {
        if let Some(at) = &diagnostic.at {
            prop_assert!(at.line >= 1 && at.column >= 1 && diagnostic.width >= 1, "{diagnostic:?}");
        }
    }
    let rendered = snippet::render(&invalid, &BTreeMap::from([("f.yml".to_owned(), text)]), false);
    prop_assert!(!rendered.is_empty());
    Ok(())
}

/// What editors must refuse too, though they know the schema only.
#[test]
fn the_schema_refuses_what_is_wrong_in_itself() {
    let validator = jsonschema::validator_for(&schema::json_schema()).unwrap();
    for name in [
        "booleans",
        "env-names",
        "environment-name",
        "environment-null",
        "foreign-keys",
        "healthcheck",
        "labels",
        "no-version",
        "not-yet",
        "numbers",
        "pipelines",
        "provider-in-file",
        "pull",
        "resources-zero",
        "restart",
        "secret-form",
        "service-name",
        "services-at-top",
        "services-empty-value",
        "short-unknown",
        "strategy",
        "unknown-key",
        "version-2",
        "version-quoted",
        "version-template",
        "wrong-types",
    ] {
        let text = std::fs::read_to_string(root().join(format!("testdata/invalid/{name}.yml"))).unwrap();
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!validator.is_valid(&value), "the schema accepts {name}");
    }
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
