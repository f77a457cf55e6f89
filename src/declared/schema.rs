//! The JSON Schema of the file, from the types that read it.

use schemars::generate::SchemaSettings;

use crate::declared::document::Document;

/// The schema of the repo's file (JSON Schema draft 2020-12), every key described.
pub fn json_schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "Trueup's file (.trueup.yml)".into());
    schema.to_value()
}
