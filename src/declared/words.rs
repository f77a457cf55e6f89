//! A command line: a list of words, or one text split as a shell splits it, without a shell's other powers.
//!
//! The text is split before its templates are substituted, so that a branch's name is never more than part of a word.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::declared::problem::Wrong;
use crate::declared::reader::{Form, Origin, Reader, Text};
use crate::declared::shape::Shape;
use crate::declared::template::{Part, Template};
use crate::declared::tree::{Content, Node};

const EXPECTED: &str = "a command line: a list of words, or one text that is split at its spaces";

/// Words that only a shell would understand.
const OPERATORS: [&str; 11] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1", "2>", "<<"];

/// The words of a command line.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) words: Vec<String>,
    pub(crate) origin: Origin,
}

impl Shape for Words {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let texts: Vec<Text> = match &node.content {
            Content::List(items) => {
                let read: Vec<_> =
                    items.iter().map(|item| reader.text(item, Form::Text, "a word, which is text")).collect();
                read.into_iter().collect::<Option<_>>()?
            }
            Content::Scalar(_) | Content::Map(_) | Content::Broken => {
                let template = reader.template(node, Form::Text, EXPECTED)?;
                let words = match split(&template) {
                    Ok(words) => words,
                    Err(wrong) => {
                        reader.problem(&node.place, wrong);
                        return None;
                    }
                };
                let read: Vec<_> = words.iter().map(|word| reader.fill(word, node)).collect();
                read.into_iter().collect::<Option<_>>()?
            }
        };
        if texts.first().is_none_or(|first| first.value.is_empty()) {
            let wrong = Wrong::new("a command line begins with a word that is not empty")
                .help("to keep what the image supplies, remove the key");
            reader.problem(&node.place, wrong);
            return None;
        }
        // One spelling of what was written, for both forms.
        let origin = Origin::join(&node.place, texts.iter().map(|text| &text.origin), |words| format!("{words:?}"));
        Some(Words { words: texts.into_iter().map(|text| text.value).collect(), origin })
    }
}

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": ["string", "number"] }, "minItems": 1 },
                { "type": "string", "minLength": 1 },
            ]
        })
    }
}

/// One character or one template of a text.
enum Unit<'a> {
    Char(char),
    Template(&'a Part),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// A word that is being put together.
#[derive(Default)]
struct Word {
    parts: Vec<Part>,
    begun: bool,
    quoted: bool,
}

impl Word {
    fn push(&mut self, c: char) {
        self.begun = true;
        if let Some(Part::Text(text)) = self.parts.last_mut() {
            text.push(c);
        } else {
            self.parts.push(Part::Text(c.to_string()));
        }
    }

    fn finish(&mut self, words: &mut Vec<Template>) -> Result<(), Wrong> {
        let Word { mut parts, begun, quoted } = std::mem::take(self);
        if !begun {
            return Ok(());
        }
        if parts.is_empty() {
            parts.push(Part::Text(String::new()));
        }
        if let (false, [Part::Text(text)]) = (quoted, parts.as_slice())
            && (OPERATORS.contains(&text.as_str()) || text.ends_with(';'))
        {
            return Err(Wrong::new(format!("`{text}` means something to a shell only, and no shell runs this"))
                .help("call one: [\"sh\", \"-c\", \"first && second\"]; or quote the word to pass it as it is"));
        }
        words.push(Template { parts });
        Ok(())
    }
}

/// Splits as POSIX quoting does (Shell Command Language, section 2.2): spaces separate, single quotes keep everything,
/// double quotes keep all but `\` before `"`, `\`, `$` and `` ` ``; elsewhere `\` keeps the next character. Nothing is
/// expanded.
fn split(template: &Template) -> Result<Vec<Template>, Wrong> {
    let units = template.parts.iter().flat_map(|part| {
        let (text, name) = match part {
            Part::Text(text) => (text.as_str(), None),
            Part::Name(_) => ("", Some(Unit::Template(part))),
        };
        text.chars().map(Unit::Char).chain(name)
    });
    let mut words = Vec::new();
    let mut word = Word::default();
    let mut quote = Quote::None;
    let mut units = units.peekable();
    while let Some(unit) = units.next() {
        let c = match unit {
            Unit::Template(part) => {
                word.begun = true;
                word.parts.push(part.clone());
                continue;
            }
            Unit::Char(c) => c,
        };
        match (quote, c) {
            (Quote::None, ' ' | '\t' | '\n' | '\r') => word.finish(&mut words)?,
            (Quote::None, '\'' | '"') => {
                quote = if c == '"' { Quote::Double } else { Quote::Single };
                word.begun = true;
                word.quoted = true;
            }
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None | Quote::Double, '\\') => {
                let kept = |next: char| quote == Quote::None || matches!(next, '"' | '\\' | '$' | '`');
                match units.peek() {
                    Some(Unit::Char(next)) if kept(*next) => {
                        word.push(*next);
                        word.quoted = true;
                        units.next();
                    }
                    Some(_) if quote == Quote::Double => word.push('\\'),
                    Some(_) | None => {
                        return Err(Wrong::new("a `\\` keeps the character after it, and here is none")
                            .help("write `\\\\` for a backslash"));
                    }
                }
            }
            (Quote::None | Quote::Single | Quote::Double, c) => word.push(c),
        }
    }
    if quote != Quote::None {
        return Err(
            Wrong::new("a quotation mark inside this command line is never closed").help("write it as a list of words")
        );
    }
    word.finish(&mut words)?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::declared::template::{Part, Template};

    fn words(text: &str) -> Result<Vec<String>, String> {
        let template = Template::parse(text).expect("a template");
        let text = |parts: Vec<Part>| {
            parts
                .into_iter()
                .map(|part| match part {
                    Part::Text(text) => text,
                    Part::Name(name) => name.written(),
                })
                .collect::<String>()
        };
        split(&template)
            .map(|words| words.into_iter().map(|word| text(word.parts)).collect())
            .map_err(|wrong| wrong.message)
    }

    #[test]
    fn splits_as_a_shell_does() {
        for (text, expected) in [
            ("serve --port 8080", vec!["serve", "--port", "8080"]),
            ("  a \t b\nc ", vec!["a", "b", "c"]),
            ("'a b' \"c d\" e\\ f", vec!["a b", "c d", "e f"]),
            ("a'b'\"c\"", vec!["abc"]),
            ("'' \"\"", vec!["", ""]),
            (r#""a\"b\\c\n""#, vec![r#"a"b\c\n"#]),
            ("$HOME *.rs", vec!["$HOME", "*.rs"]),
            ("echo '&&' \\|", vec!["echo", "&&", "|"]),
            ("run {{ .Branch }} x{{ .Tag }}", vec!["run", "{{ .Branch }}", "x{{ .Tag }}"]),
        ] {
            assert_eq!(words(text), Ok(expected.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn what_takes_a_shell_or_is_not_closed_is_refused() {
        for text in ["a && b", "a | b", "a; b", "a > b", "'a", "\"a", "a\\"] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
