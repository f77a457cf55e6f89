//! Do the reader, the schema, the reference and the examples know the same keys?
//!
//! `TRUEUP_UPDATE=1 cargo test --test it declared` writes schema/trueup.schema.json and the tables of docs/file.md anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use trueup::declared::{file, schema};

use crate::world::cases::{cases, expect, root};

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
    let mut table = "\n| key | type | meaning | example |\n|---|---|---|---|\n".to_owned();
    for (key, property) in object["properties"].as_object().unwrap() {
        let about = property["description"].as_str().unwrap().replace('|', "\\|");
        let required = if required.contains(&key.as_str()) { " **Required.**" } else { "" };
        let example = property["examples"][0].to_string().replace(',', ", ").replace("\":", "\": ");
        writeln!(table, "| `{key}` | {} | {about}{required} | `{example}` |", kind(property)).unwrap();
    }
    table + "\n"
}

/// What a property takes, in words.
fn kind(property: &serde_json::Value) -> String {
    let word = |name: &serde_json::Value| match name.as_str().unwrap() {
        "string" => "text",
        "integer" | "number" => "number",
        "boolean" => "boolean",
        "array" => "list",
        "object" => "map",
        other => panic!("a type of no name: {other}"),
    };
    let mut words: Vec<&str> = Vec::new();
    match (&property["anyOf"], &property["type"]) {
        (serde_json::Value::Array(either), _) => {
            let template = |schema: &&serde_json::Value| schema["pattern"] == "\\{\\{.*\\}\\}";
            return either.iter().filter(|schema| !template(schema)).map(kind).collect::<Vec<_>>().join(" or ");
        }
        (_, serde_json::Value::Array(types)) => words.extend(types.iter().map(word)),
        (_, serde_json::Value::String(_)) => words.push(word(&property["type"])),
        _ => words.push("map"),
    }
    words.dedup();
    words.join(" or ")
}

/// Each key's example, by itself, is taken by the reader and by the schema.
#[test]
fn every_example_of_the_schema_is_accepted() {
    let schema = schema::json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut examples = 0;
    for (name, object) in objects(&schema) {
        for (key, property) in object["properties"].as_object().unwrap() {
            let example = &property["examples"][0];
            let mut held = serde_json::json!({ key: example });
            // What makes each key possible at its place.
            match name.as_str() {
                "EnvEntry" if key == "plain" => held["value"] = "x".into(),
                "VolumeMap" => {
                    for (other, value) in [("source", "data"), ("target", "/data")] {
                        held[other] = if key == other { example.clone() } else { value.into() };
                    }
                }
                _ => {}
            }
            let service =
                |held| serde_json::json!({ "environments": { "production": { "services": { "web": held } } } });
            let mut document = match name.as_str() {
                "Document" => held,
                "Environment" => serde_json::json!({ "environments": { "production": held } }),
                "ShortForm" => serde_json::json!({ "deploy": held }),
                "Service" if key == "depends_on" => serde_json::json!({
                    "environments": { "production": { "services": { "web": held, "database": {} } } }
                }),
                "Service" => service(held),
                "Healthcheck" => service(serde_json::json!({ "healthcheck": held })),
                "Resources" => service(serde_json::json!({ "resources": held })),
                "Deploy" => service(serde_json::json!({ "deploy": held })),
                "EnvEntry" => service(serde_json::json!({ "env": { "A": held } })),
                "VolumeMap" => service(serde_json::json!({ "volumes": [held] })),
                other => panic!("an object of no place: {other}"),
            };
            document["version"] = 1.into();
            assert!(validator.is_valid(&document), "{name}.{key}: the schema refuses its own example");
            // JSON is YAML.
            let text = document.to_string();
            file::parse("example.yml", text.as_bytes()).unwrap_or_else(|invalid| panic!("{name}.{key}: {invalid}"));
            examples += 1;
        }
    }
    assert!(examples > 40, "{examples}");
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
