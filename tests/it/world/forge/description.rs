//! The forges' own published descriptions (OpenAPI 3, Swagger 2), against which every request is held. They are other
//! people's and stay outside: `TRUEUP_CONFORMANCE_DIR` says where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};
use trueup::forge::ForgeKind;

use super::Asked;

/// Where the conformance data is; `None` where nobody says.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os("TRUEUP_CONFORMANCE_DIR").map(PathBuf::from)
}

/// The file of a forge's description, and what its paths have before those of the API's base.
fn file(kind: ForgeKind) -> (&'static str, &'static str) {
    match kind {
        ForgeKind::Github => ("github.json", "/"),
        ForgeKind::Gitlab => ("gitlab.json", "/api/v4/"),
        ForgeKind::Gitea => ("gitea.json", "/"),
        ForgeKind::Forgejo => ("forgejo.json", "/"),
        ForgeKind::Bitbucket => ("bitbucket-cloud.json", "/"),
        ForgeKind::BitbucketServer => ("bitbucket-9.4-openapi.json", "/"),
    }
}

/// A forge's description; `None` where the conformance data is not there.
pub fn description(kind: ForgeKind) -> Option<&'static Value> {
    static READ: OnceLock<Mutex<BTreeMap<ForgeKind, &'static Value>>> = OnceLock::new();
    let path = folder()?.join("openapi").join(file(kind).0);
    let mut read = READ.get_or_init(Mutex::default).lock().unwrap();
    let read = read.entry(kind).or_insert_with(|| {
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Box::leak(Box::new(serde_json::from_slice(&text).unwrap()))
    });
    Some(read)
}

/// The operation that a request is, in the forge's description; `Ok(None)` where there is no description.
pub fn check(kind: ForgeKind, asked: &Asked) -> Result<Option<&'static Value>, String> {
    let Some(root) = description(kind) else { return Ok(None) };
    let (_, prefix) = file(kind);
    let (item, operation) = find(root, prefix, asked).ok_or("the forge describes no such operation")?;
    let parameters: Vec<&Value> = [item, operation]
        .iter()
        .flat_map(|place| place["parameters"].as_array().into_iter().flatten())
        .map(|parameter| resolve(root, parameter))
        .collect();
    // `permission.N` stands for any number, and what follows it (`.projectKey`) is described in words.
    let described = |one: &str, given: &str| match one.strip_suffix(".N") {
        Some(stem) => given.strip_prefix(stem).is_some_and(|rest| rest.starts_with(".1")),
        None => one == given,
    };
    let named = |name: &str| {
        parameters.iter().find(|one| one["in"] == "query" && described(one["name"].as_str().unwrap(), name))
    };
    for (name, value) in &asked.query {
        // Bitbucket's descriptions leave out, here and there, the parameters that all of its lists have.
        let general = match kind {
            ForgeKind::Bitbucket => matches!(name.as_str(), "page" | "pagelen" | "q" | "sort"),
            ForgeKind::BitbucketServer => matches!(name.as_str(), "start" | "limit"),
            _ => false,
        };
        match named(name) {
            Some(parameter) => query(root, parameter, value).map_err(|wrong| format!("?{name}={value}: {wrong}"))?,
            None if general => {}
            None => return Err(format!("?{name} is not described")),
        }
    }
    for parameter in parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true) {
        let name = parameter["name"].as_str().unwrap();
        if asked.query(name).is_none() {
            return Err(format!("?{name} is required"));
        }
    }
    body(root, operation, &parameters, asked)?;
    Ok(Some(operation))
}

fn find<'a>(root: &'a Value, prefix: &str, asked: &Asked) -> Option<(&'a Value, &'a Value)> {
    let mut best: Option<(usize, &Value, &Value)> = None;
    for (template, item) in root["paths"].as_object().unwrap() {
        let Some(below) = template.strip_prefix(prefix) else { continue };
        let Some(operation) = item.get(asked.method.to_lowercase()) else { continue };
        let parts: Vec<&str> = below.split('/').collect();
        let open = |part: &&str| part.starts_with('{');
        let fits = parts.len() == asked.path.len()
            && parts.iter().zip(&asked.path).all(|(part, given)| open(part) || part == given);
        let opens = parts.iter().filter(|part| open(part)).count();
        if fits && best.is_none_or(|(least, ..)| opens < least) {
            best = Some((opens, item, operation));
        }
    }
    best.map(|(_, item, operation)| (item, operation))
}

fn resolve<'a>(root: &'a Value, mut value: &'a Value) -> &'a Value {
    while let Some(reference) = value["$ref"].as_str() {
        value = root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    value
}

fn query(root: &Value, parameter: &Value, value: &str) -> Result<(), String> {
    let schema = if parameter["schema"].is_null() { parameter } else { resolve(root, &parameter["schema"]) };
    match schema["type"].as_str() {
        Some("integer" | "number") if value.parse::<u64>().is_err() => return Err("a number is described".into()),
        Some("boolean") if !matches!(value, "true" | "false") => return Err("true or false is described".into()),
        _ => {}
    }
    match schema["enum"].as_array() {
        Some(words) if !words.iter().any(|word| word == value) => Err(format!("one of {words:?} is described")),
        _ => Ok(()),
    }
}

fn body<'a>(root: &'a Value, operation: &'a Value, parameters: &[&'a Value], asked: &Asked) -> Result<(), String> {
    let schema = match parameters.iter().find(|one| one["in"] == "body") {
        Some(parameter) => Some(&parameter["schema"]),
        None => {
            let content = resolve(root, &operation["requestBody"])["content"].as_object();
            let json = |kinds: &'a serde_json::Map<String, Value>| kinds.get("application/json").or(kinds.get("*/*"));
            content.and_then(json).map(|kind| &kind["schema"])
        }
    };
    let Some(schema) = schema else { return Ok(()) };
    if asked.body.is_null() {
        let required = resolve(root, &operation["requestBody"])["required"] == true;
        return if required { Err("a body is required".into()) } else { Ok(()) };
    }
    let known = properties(root, schema, 0);
    if let Some(given) = asked.body.as_object()
        && !known.is_empty()
        && let Some(unknown) = given.keys().find(|key| !known.contains(*key))
    {
        return Err(format!("the body's `{unknown}` is not described"));
    }
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft4)
        .build(&with_references(root, schema))
        .map_err(|error| format!("the description is no schema: {error}"))?;
    let wrong: Vec<String> =
        validator.iter_errors(&asked.body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The properties that a body may have.
fn properties(root: &Value, schema: &Value, depth: usize) -> BTreeSet<String> {
    let schema = resolve(root, schema);
    let mut names: BTreeSet<String> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if depth < 4 {
        for word in ["allOf", "oneOf", "anyOf"] {
            for part in schema[word].as_array().into_iter().flatten() {
                names.extend(properties(root, part, depth + 1));
            }
        }
    }
    names
}

/// A schema with what it refers to, and nothing of the megabytes around.
fn with_references(root: &Value, schema: &Value) -> Value {
    let mut document = schema.clone();
    let mut open = references(schema);
    let mut done = BTreeSet::new();
    while let Some(reference) = open.pop() {
        if !done.insert(reference.clone()) {
            continue;
        }
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        open.extend(references(target));
        let parts: Vec<&str> = reference.trim_start_matches("#/").split('/').collect();
        let mut place = &mut document;
        for part in &parts {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[part.replace("~1", "/").replace("~0", "~")];
        }
        *place = target.clone();
    }
    if let (Some(object), Some(reference)) = (document.as_object_mut(), schema["$ref"].as_str()) {
        // Beside a `$ref`, draft 4 reads nothing else.
        object.remove("$ref");
        object.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
    document
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(reference)) => vec![reference.clone()],
                _ => references(value),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
