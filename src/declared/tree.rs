//! A document as nodes that know where they stand, whether it came from YAML or from a registered service's JSON.
//!
//! Must not know the file's keys.

use std::sync::Arc;

use crate::declared::problem::Place;

/// The deepest that nodes nest, aliases followed.
pub(crate) const MAX_DEPTH: usize = 32;

/// One value of a document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
    /// Something whose problem was reported already; readers pass over it in silence.
    Broken,
}

/// A scalar as written.
#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// What it is by itself: only a plain (unquoted) scalar can be anything but text.
    pub(crate) class: Class,
}

/// What a scalar is by YAML's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing was written.
    Empty,
    /// `null` or `~`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// What some YAML readers take for a boolean: `yes`, `no`, `on`, `off`, `True` …
    LooseBoolean,
    /// A number.
    Number,
    /// Plain text.
    Text,
    /// Quoted or block text.
    Quoted,
}

/// One entry of a map, in the order written.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Arc<Node>,
}

impl Class {
    /// Classifies a plain scalar: YAML 1.2's core schema (section 10.3.2), and YAML 1.1's booleans told apart.
    pub(crate) fn of_plain(text: &str) -> Class {
        match text {
            "" => Class::Empty,
            "~" | "null" | "Null" | "NULL" => Class::Null,
            "true" | "false" => Class::Boolean,
            _ if ["true", "false", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                Class::LooseBoolean
            }
            _ if is_number(text) => Class::Number,
            _ => Class::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefix: &str, base: u32| {
        unsigned.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(base)))
    };
    let decimal = || unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok();
    matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || radix("0x", 16)
        || radix("0o", 8)
        || decimal()
}

impl Node {
    /// The value of a key, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Node>> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Content::Scalar(_) | Content::List(_) | Content::Broken => None,
        }
    }

    /// Whether any scalar in here satisfies `predicate`.
    pub(crate) fn any_scalar(&self, predicate: &dyn Fn(&str) -> bool) -> bool {
        match &self.content {
            Content::Scalar(scalar) => predicate(&scalar.text),
            Content::List(items) => items.iter().any(|item| item.any_scalar(predicate)),
            Content::Map(entries) => entries.iter().any(|entry| entry.value.any_scalar(predicate)),
            Content::Broken => false,
        }
    }

    /// What it is, for "expected …, found …".
    pub(crate) fn what(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) => match scalar.class {
                Class::Empty => "nothing",
                Class::Null => "null",
                Class::Boolean | Class::LooseBoolean => "a boolean",
                Class::Number => "a number",
                Class::Text | Class::Quoted => "text",
            },
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
            Content::Broken => "an error",
        }
    }

    /// A registered service's JSON as nodes; `path` is the path of its keys so far. What nests deeper than
    /// [`MAX_DEPTH`] is an error of the caller's to report: `None`.
    pub(crate) fn from_json(value: &serde_json::Value, path: &str, depth: usize) -> Option<Arc<Node>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let content = match value {
            serde_json::Value::Null => Content::Scalar(Scalar { text: "null".to_owned(), class: Class::Null }),
            serde_json::Value::Bool(flag) => Content::Scalar(Scalar { text: flag.to_string(), class: Class::Boolean }),
            serde_json::Value::Number(number) => {
                Content::Scalar(Scalar { text: number.to_string(), class: Class::Number })
            }
            serde_json::Value::String(text) => Content::Scalar(Scalar { text: text.clone(), class: Class::Quoted }),
            serde_json::Value::Array(items) => Content::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| Node::from_json(item, &format!("{path}[{i}]"), depth + 1))
                    .collect::<Option<_>>()?,
            ),
            serde_json::Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, item)| {
                        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        let value = Node::from_json(item, &path, depth + 1)?;
                        Some(Entry { key: key.clone(), place: Place::Registered(path.into()), value })
                    })
                    .collect::<Option<_>>()?,
            ),
        };
        let path = if path.is_empty() { "service" } else { path };
        Some(Arc::new(Node { place: Place::Registered(path.into()), content }))
    }
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn plain_scalars_are_what_yaml_says() {
        for (text, class) in [
            ("", Class::Empty),
            ("~", Class::Null),
            ("true", Class::Boolean),
            ("True", Class::LooseBoolean),
            ("no", Class::LooseBoolean),
            ("ON", Class::LooseBoolean),
            ("8080", Class::Number),
            ("1.10", Class::Number),
            ("-0.5e3", Class::Number),
            ("0x1F", Class::Number),
            (".inf", Class::Number),
            ("infinity", Class::Text),
            ("nan", Class::Text),
            ("1.2.3", Class::Text),
            ("10s", Class::Text),
            ("8080:80", Class::Text),
            ("-", Class::Text),
        ] {
            assert_eq!(Class::of_plain(text), class, "{text}");
        }
    }
}
