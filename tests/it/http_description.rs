//! Is what is written of the API what it is?

use std::path::Path;

use crate::world::door::description;

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_description_in_the_repository_is_current() {
    let path = repository("schema/openapi.json");
    let text = trueup::http::openapi::text();
    if std::env::var_os("TRUEUP_UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "schema/openapi.json is not what the routes say; TRUEUP_UPDATE=1 cargo test writes it");
}

#[test]
fn the_description_is_valid_in_itself() {
    let description = description();
    let text = description.to_string();
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "`{name}` is referred to and not described");
    }
    let mut ids = std::collections::BTreeSet::new();
    for item in description["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "the operation id `{id}` is given twice");
        }
    }
}

#[test]
fn every_route_is_documented() {
    let docs = std::fs::read_to_string(repository("docs/api.md")).unwrap();
    for (path, item) in description()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let row = format!("| `{} {path}` |", method.to_uppercase());
            assert!(docs.contains(&row), "docs/api.md has no row `{row}`");
        }
    }
    let rows = docs.lines().filter(|line| line.starts_with("| `") && line.contains(" /")).count();
    let routes: usize =
        description()["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(rows, routes, "docs/api.md has a row for a route that is not there");
}
