//! What a value of the file may look like: how it is read, and its JSON Schema, side by side on one type.
//!
//! [`keys!`] writes a map of the file once: the struct, its reader and its schema come from the same list, so none of
//! them can know a key that the others do not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::declared::problem::{Place, Wrong};
use crate::declared::reader::{Form, Origin, Reader, Templates};
use crate::declared::tree::{Content, Node};

/// A type that is read from a node. `None` where the reader reported a problem, or the value waits for its templates.
pub(crate) trait Shape: JsonSchema + Sized {
    /// Reads it.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A type that one scalar's text says in full.
pub(crate) trait Scalar: Sized {
    /// Which unquoted scalars it may be.
    const FORM: Form = Form::Text;

    /// What is expected, with its article and an example.
    const EXPECTED: &'static str;

    /// Which templates it may hold.
    const TEMPLATES: Templates = Templates::Any;

    /// Reads the text.
    fn from_text(text: &str) -> Result<Self, Wrong>;

    /// The schema of what is written without templates.
    fn schema() -> Schema;
}

/// A scalar with where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T: Scalar> Shape for Leaf<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let template = reader.template(node, T::FORM, T::EXPECTED)?;
        let template = reader.allowed(template, T::TEMPLATES, node)?;
        let text = reader.fill(&template, node)?;
        match T::from_text(&text.value) {
            Ok(value) => Some(Leaf { value, origin: text.origin }),
            Err(wrong) => {
                reader.problem(&node.place, wrong);
                None
            }
        }
    }
}

impl<T: Scalar> JsonSchema for Leaf<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match T::TEMPLATES {
            Templates::None => T::schema(),
            Templates::Any | Templates::NotSource => templated(T::schema()),
        }
    }
}

/// Either what `schema` says, or text that holds a template. Free text needs no such exception.
pub(crate) fn templated(schema: Schema) -> Schema {
    let plain = schema.as_object().is_some_and(|object| {
        let text = object.get("type").is_some_and(|kind| kind == "string" || kind.is_array());
        text && !object.contains_key("pattern") && !object.contains_key("enum")
    });
    if plain { schema } else { json_schema!({ "anyOf": [schema, { "type": "string", "pattern": "\\{\\{.*\\}\\}" }] }) }
}

/// The most items of a list.
pub(crate) const MAX_ITEMS: usize = 256;

/// A list; an item that is wrong or waits for its templates is left out.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) place: Place,
}

impl<T: Shape> Shape for List<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::List(items) = &node.content else {
            reader.mismatch(node, "a list (`[one, two]`, or a line beginning with `- ` for each)");
            return None;
        };
        if items.len() > MAX_ITEMS {
            reader.problem(
                &node.place,
                Wrong::new(format!("this list has {} items, and {MAX_ITEMS} is the most", items.len()))
                    .help("declare fewer; a pattern may stand for several"),
            );
            return None;
        }
        let items = items.iter().filter_map(|item| T::read(item, reader)).collect();
        Some(List { items, place: node.place.clone() })
    }
}

impl<T: Shape> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": item, "maxItems": MAX_ITEMS })
    }
}

/// A name that is a key of the file.
pub(crate) trait Key: Sized {
    /// Reads it.
    fn from_key(text: &str) -> Result<Self, Wrong>;

    /// The regular expression that the schema gives for it.
    const PATTERN: &'static str;

    /// What a map of such keys is, with its article and an example.
    const MAP: &'static str;
}

/// A map whose keys are the reader's own names.
#[derive(Debug)]
pub(crate) struct Named<K, V> {
    pub(crate) entries: Vec<NamedEntry<K, V>>,
}

/// One entry; `value` is `None` where it is wrong or waits for its templates.
#[derive(Debug)]
pub(crate) struct NamedEntry<K, V> {
    pub(crate) key: K,
    pub(crate) value: Option<V>,
}

impl<K: Key, V: Shape> Shape for Named<K, V> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Map(written) = &node.content else {
            reader.mismatch(node, K::MAP);
            return None;
        };
        let mut entries = Vec::new();
        for entry in written {
            let key = if entry.key.contains("{{") {
                Err(Wrong::new("templates are substituted in values only, never in keys").help("write the key itself"))
            } else {
                K::from_key(&entry.key)
            };
            let value = reader.within(&entry.key, |reader| V::read(&entry.value, reader));
            match key {
                Ok(key) => entries.push(NamedEntry { key, value }),
                Err(wrong) => reader.problem(&entry.place, wrong),
            }
        }
        Some(Named { entries })
    }
}

impl<K: Key, V: Shape> JsonSchema for Named<K, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": K::PATTERN },
            "additionalProperties": value,
        })
    }
}

/// One key as the schema shows it.
pub(crate) struct Described {
    pub(crate) key: &'static str,
    pub(crate) about: &'static str,
    pub(crate) example: serde_json::Value,
    pub(crate) schema: Schema,
}

/// The schema of a map written with [`keys!`].
pub(crate) fn object(about: &str, keys: Vec<Described>, required: &[(&str, &str)]) -> Schema {
    let mut properties = serde_json::Map::new();
    for Described { key, about, example, mut schema } in keys {
        schema.insert("description".to_owned(), unwrapped(about).into());
        schema.insert("examples".to_owned(), vec![example].into());
        properties.insert(key.to_owned(), schema.into());
    }
    let mut schema = json_schema!({
        "type": "object",
        "description": unwrapped(about),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        let keys: Vec<&str> = required.iter().map(|(key, _)| *key).collect();
        schema.insert("required".to_owned(), keys.into());
    }
    schema
}

/// A doc comment's lines as one paragraph.
fn unwrapped(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes a map of the file: its keys, what they mean, their types and an example of each.
macro_rules! keys {
    (
        $(#[doc = $about:literal])+
        $name:ident is $what:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $example:tt, )+
        }
        required { $($required:literal => $write:literal,)* }
        later [$($later:literal),*]
        foreign { $($foreign:literal => $instead:literal,)* }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $field: Option<$type>, )+
        }

        impl $name {
            const WORDS: $crate::declared::reader::Vocabulary = $crate::declared::reader::Vocabulary {
                what: $what,
                known: &[$(stringify!($field)),+],
                required: &[$(($required, $write)),*],
                later: &[$($later),*],
                foreign: &[$(($foreign, $instead)),*],
            };
        }

        impl $crate::declared::shape::Shape for $name {
            fn read(
                node: &$crate::declared::tree::Node,
                reader: &mut $crate::declared::reader::Reader<'_>,
            ) -> Option<Self> {
                let entries = reader.entries(node, &Self::WORDS)?;
                let mut read = $name { $($field: None,)+ };
                for entry in entries {
                    match entry.key.as_str() {
                        $(stringify!($field) => {
                            read.$field = reader.within(&entry.key, |reader| {
                                <$type as $crate::declared::shape::Shape>::read(&entry.value, reader)
                            });
                        })+
                        _ => reader.unknown_key(entry, &Self::WORDS),
                    }
                }
                Some(read)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let keys = vec![$($crate::declared::shape::Described {
                    key: stringify!($field),
                    about: concat!($($doc, "\n"),+),
                    example: serde_json::json!($example),
                    schema: generator.subschema_for::<$type>(),
                },)+];
                $crate::declared::shape::object(concat!($($about, "\n"),+), keys, Self::WORDS.required)
            }
        }
    };
}
pub(crate) use keys;
