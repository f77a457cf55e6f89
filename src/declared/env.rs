//! One environment variable: text, `{ value: …, plain: true }` or `{ secret: name }`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::declared::problem::{Place, Wrong};
use crate::declared::reader::Reader;
use crate::declared::scalar::Literally;
use crate::declared::shape::{Leaf, Scalar, Shape, keys};
use crate::declared::text::FreeText;
use crate::declared::tree::{Class, Content, Node};
use crate::ids::SecretName;

/// A variable's value.
#[derive(Debug)]
pub(crate) enum EnvValue {
    /// Plain text; `text` is `None` where it waits for its templates. `plain` says that it is no secret whatever it
    /// looks like.
    Plain { text: Option<Leaf<FreeText>>, plain: bool, place: Place },
    /// A secret of the environment, by name.
    Secret(Leaf<SecretName>),
}

keys! {
    /// A variable whose value needs a word more than text: either `value` (with `plain: true`), or `secret`.
    EnvEntry is "a variable" {
        /// The value as plain text.
        value: Leaf<FreeText> = "8",
        /// `true` says that the value is no secret, though its name or looks suggest one. Default: false.
        plain: Leaf<Literally> = true,
        /// The name of a secret that the environment holds. The value is never written in the repository.
        secret: Leaf<SecretName> = "database-url",
    }
    required {}
    later []
    foreign {
        "from_secret" => "write `secret`",
        "secretKeyRef" => "write `secret: name`",
        "valueFrom" => "write `secret: name`",
    }
}

impl Shape for EnvValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.content, Content::Map(_)) {
            if matches!(node.content, Content::List(_)) {
                reader.mismatch(node, "text, or `{ secret: name }`");
                return None;
            }
            let before = reader.problems.len();
            let text = Leaf::read(node, reader);
            // Neither a value nor a problem: it waits for its templates, and is plain text whatever they say.
            let read = text.is_some() || reader.problems.len() == before && !matches!(node.content, Content::Broken);
            return read.then(|| EnvValue::Plain { text, plain: false, place: node.place.clone() });
        }
        let says_plain = node.get("plain").is_some_and(
            |plain| matches!(&plain.content, Content::Scalar(scalar) if scalar.class == Class::Boolean && scalar.text == "true"),
        );
        let before = reader.problems.len();
        let entry = if says_plain {
            reader.plainly(|reader| EnvEntry::read(node, reader))
        } else {
            EnvEntry::read(node, reader)
        }?;
        let EnvEntry { value, plain, secret } = entry;
        let plain = plain.is_some_and(|plain| plain.value.0);
        if reader.problems.len() > before && value.is_none() && secret.is_none() {
            return None;
        }
        let has = |key: &str| node.get(key).is_some();
        let wrong = match (has("value"), has("secret")) {
            (true, true) => {
                Wrong::new("a variable has a `value` or a `secret`, not both").help("remove one of the two")
            }
            (false, false) => Wrong::new("this variable has no value")
                .help("write `{ secret: name }`, or the text itself without braces"),
            (false, true) if has("plain") => {
                Wrong::new("`plain` says that a value is no secret, and this is one").help("remove `plain`")
            }
            (false, true) => return secret.map(EnvValue::Secret),
            (true, false) => {
                return Some(EnvValue::Plain { text: value, plain, place: node.place.clone() });
            }
        };
        reader.problem(&node.place, wrong);
        None
    }
}

impl JsonSchema for EnvValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "EnvValue".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [FreeText::schema(), generator.subschema_for::<EnvEntry>()] })
    }
}
