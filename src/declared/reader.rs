//! Reading typed values from positioned nodes, and collecting what is wrong on the way.
//!
//! One reader serves both stages: without a scope it checks what can be checked before an environment is known and
//! passes over scalars that hold templates; with one it substitutes first. Must not know the file's keys.

use crate::declared::credential;
use crate::declared::problem::{Place, Problems, Wrong, shown};
use crate::declared::suggest;
use crate::declared::template::{Filled, Scope, Template, Variable};
use crate::declared::tree::{Class, Content, Entry, Node, Scalar};

/// What `DeclaredLeaf::written` says of a value that the operator registered.
pub(crate) const OPERATOR: &str = "(operator)";

/// Which unquoted scalars a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text; an unquoted number is taken as it is written.
    Text,
    /// An unquoted number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// Where a value comes from; see `DeclaredLeaf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) written: String,
    pub(crate) uses_commit: bool,
    pub(crate) place: Place,
}

impl Origin {
    /// The origin of a value at `place` that several scalars make up. What the operator registered stays one word.
    pub(crate) fn join<'o>(
        place: &Place,
        parts: impl IntoIterator<Item = &'o Origin>,
        spell: impl FnOnce(&[&str]) -> String,
    ) -> Origin {
        let parts: Vec<&Origin> = parts.into_iter().collect();
        let written: Vec<&str> = parts.iter().map(|part| part.written.as_str()).collect();
        let operator = !written.is_empty() && written.iter().all(|part| *part == OPERATOR);
        Origin {
            written: if operator { OPERATOR.to_owned() } else { spell(&written) },
            uses_commit: parts.iter().any(|part| part.uses_commit),
            place: place.clone(),
        }
    }
}

/// Which templates a value may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Templates {
    Any,
    /// All but `{{ .Source }}`: the source follows from this value.
    NotSource,
    /// None: it is read before anything is known of the environment.
    None,
}

/// A scalar, substituted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// The words of a map's keys: what is known, what must be there, what is to come, what others call it.
pub(crate) struct Vocabulary {
    /// What the map is, with its article.
    pub(crate) what: &'static str,
    pub(crate) known: &'static [&'static str],
    /// Each with what to write.
    pub(crate) required: &'static [(&'static str, &'static str)],
    pub(crate) later: &'static [&'static str],
    /// Keys of neighbouring tools, and what to write here instead.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
}

/// Reads nodes; see the module.
pub(crate) struct Reader<'a> {
    pub(crate) problems: Problems,
    scope: Option<Scope<'a>>,
    keys: Vec<String>,
    /// Inside an entry that says `plain: true`: what looks like a secret is none.
    plain: bool,
}

impl<'a> Reader<'a> {
    /// A reader that checks; with a scope, one that resolves.
    pub(crate) fn new(scope: Option<Scope<'a>>) -> Self {
        Reader { problems: Problems::default(), scope, keys: Vec::new(), plain: false }
    }

    pub(crate) fn problem(&mut self, place: &Place, wrong: Wrong) {
        self.problems.add(place, wrong);
    }

    /// Reads what stands under a key, which messages then name.
    pub(crate) fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.keys.push(key.to_owned());
        let result = read(self);
        self.keys.pop();
        result
    }

    /// Reads an entry that says `plain: true`.
    pub(crate) fn plainly<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.plain, true);
        let result = read(self);
        self.plain = before;
        result
    }

    /// The key that is being read, as messages name it.
    fn key(&self) -> String {
        match self.keys.last() {
            Some(key) => shown(key),
            None => "the file".to_owned(),
        }
    }

    /// Reports a value of the wrong kind.
    pub(crate) fn mismatch(&mut self, node: &Node, expected: &str) {
        let key = self.key();
        let wrong = match &node.content {
            Content::Broken => return,
            Content::Scalar(Scalar { class: Class::Empty, .. }) => {
                Wrong::new(format!("{key} has no value; expected {expected}"))
                    .help("write one, or remove the key: what is not written is left alone")
            }
            Content::Scalar(Scalar { class: Class::Null, .. }) => {
                Wrong::new(format!("{key} is null; expected {expected}"))
                    .help("remove the key: what is not written is left alone")
            }
            Content::Scalar(_) | Content::List(_) | Content::Map(_) => {
                Wrong::new(format!("{key} must be {expected}, and this is {}", node.what()))
                    .help(suggest::instead(node, expected))
            }
        };
        self.problem(&node.place, wrong);
    }

    /// The entries of a map, its required keys checked.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, words: &Vocabulary) -> Option<&'n [Entry]> {
        let Content::Map(entries) = &node.content else {
            let top = self.keys.is_empty() && !matches!(node.content, Content::Broken);
            if top {
                let wrong = Wrong::new(format!("{} must be a map of keys, and this is {}", words.what, node.what()));
                self.problem(&node.place, wrong.help(format!("known here: {}", words.known.join(", "))));
            } else {
                self.mismatch(node, words.what);
            }
            return None;
        };
        for (required, help) in words.required {
            if !entries.iter().any(|entry| entry.key == *required) {
                let wrong = Wrong::new(format!("`{required}` is missing: it is required in {}", words.what));
                self.problem(&node.place, wrong.help(*help));
            }
        }
        Some(entries)
    }

    /// Reports a key that does not belong.
    pub(crate) fn unknown_key(&mut self, entry: &Entry, words: &Vocabulary) {
        if self.problems.is_full() {
            return;
        }
        let key = shown(&entry.key);
        let wrong = if words.later.contains(&entry.key.as_str()) {
            Wrong::new(format!("{key} is not supported yet")).help("remove it for now")
        } else if let Some((_, instead)) = words.foreign.iter().find(|(foreign, _)| *foreign == entry.key) {
            Wrong::new(format!("{key} is not a key of {}", words.what)).help(*instead)
        } else {
            Wrong::new(format!("{key} is not a key of {}", words.what))
                .help(suggest::did_you_mean(&entry.key, words.known))
        };
        self.problem(&entry.place, wrong);
    }

    /// A scalar's text, substituted. `None` where it is reported to be wrong, or holds templates and there is no scope yet.
    pub(crate) fn text(&mut self, node: &Node, form: Form, expected: &str) -> Option<Text> {
        let template = self.template(node, form, expected)?;
        self.fill(&template, node)
    }

    /// A scalar's text with its templates found, its kind checked.
    pub(crate) fn template(&mut self, node: &Node, form: Form, expected: &str) -> Option<Template> {
        let Content::Scalar(scalar) = &node.content else {
            self.mismatch(node, expected);
            return None;
        };
        let template = match Template::parse(&scalar.text) {
            Ok(template) => template,
            Err(wrong) => {
                self.problem(&node.place, wrong);
                return None;
            }
        };
        if template.is_literal() && !self.fits(scalar, form, node, expected) {
            return None;
        }
        Some(template)
    }

    /// The template, where the value may hold it.
    pub(crate) fn allowed(&mut self, template: Template, templates: Templates, node: &Node) -> Option<Template> {
        let wrong = match templates {
            Templates::NotSource if template.mentions(&Variable::Source) => {
                format!("{} cannot use `{{{{ .Source }}}}`: it decides what the source is", self.key())
            }
            Templates::None if !template.is_literal() => {
                format!("{} holds no templates: it is the same everywhere", self.key())
            }
            Templates::Any | Templates::NotSource | Templates::None => return Some(template),
        };
        self.problem(&node.place, Wrong::new(wrong).help("write the value itself"));
        None
    }

    fn fits(&mut self, scalar: &Scalar, form: Form, node: &Node, expected: &str) -> bool {
        let key = self.key();
        let text = shown(&scalar.text);
        let wrong = match (form, scalar.class) {
            (Form::Text, Class::Text | Class::Quoted | Class::Number)
            | (Form::Number, Class::Number)
            | (Form::Boolean, Class::Boolean) => return true,
            (_, Class::Empty | Class::Null) => {
                self.mismatch(node, expected);
                return false;
            }
            (Form::Text, Class::Boolean | Class::LooseBoolean) => {
                Wrong::new(format!("{key} must be {expected}, and {text} without quotes is a boolean to YAML"))
                    .help(format!("quote it: \"{}\"", scalar.text))
            }
            (Form::Boolean, Class::LooseBoolean) => {
                Wrong::new(format!("{key} must be `true` or `false`, and this is {text}"))
                    .help("write `true` or `false`")
            }
            (Form::Boolean, Class::Quoted) if matches!(scalar.text.as_str(), "true" | "false") => {
                Wrong::new(format!("{key} must be `true` or `false`, and this is text")).help("remove the quotes")
            }
            (Form::Number, Class::Quoted) if Class::of_plain(&scalar.text) == Class::Number => {
                Wrong::new(format!("{key} must be {expected}, and this is text")).help("remove the quotes")
            }
            (Form::Number, _) => Wrong::new(format!("{key} must be {expected}, and this is {text}"))
                .help("write a number, in digits and without quotes"),
            (Form::Boolean, _) => {
                Wrong::new(format!("{key} must be {expected}, and this is {text}")).help("write `true` or `false`")
            }
        };
        self.problem(&node.place, wrong);
        false
    }

    /// Substitutes, and refuses what is a secret in plain text.
    pub(crate) fn fill(&mut self, template: &Template, node: &Node) -> Option<Text> {
        let filled = match (&self.scope, template.parts.as_slice()) {
            (Some(scope), _) => template.fill(scope),
            (None, _) if !template.is_literal() => return None,
            (None, parts) => Ok(literal(parts)),
        };
        let filled = match filled {
            Ok(filled) => filled,
            Err(wrong) => {
                self.problem(&node.place, wrong);
                return None;
            }
        };
        if let (Some(what), false) = (credential::is_secret(&filled.value), self.plain) {
            let wrong = Wrong::new(format!("{} holds {what} in plain text", self.key())).help(
                "take it out of the file and its history, let an operator add it to the environment's secrets, and name it: \
                 `env: { NAME: { secret: its-name } }`",
            );
            self.problem(&node.place, wrong);
            return None;
        }
        if filled.value.contains('\0') {
            self.problem(
                &node.place,
                Wrong::new(format!("{} holds a NUL character", self.key()))
                    .help("remove it: no program could be given it"),
            );
            return None;
        }
        let written = written(&node.place, filled.written, &filled.inputs);
        let origin = Origin { written, uses_commit: filled.uses_commit, place: node.place.clone() };
        Some(Text { value: filled.value, origin })
    }
}

fn literal(parts: &[crate::declared::template::Part]) -> Filled {
    let mut filled = Filled::default();
    for part in parts {
        if let crate::declared::template::Part::Text(text) = part {
            filled.value.push_str(text);
            filled.written.push_str(text);
        }
    }
    filled
}

/// What the repo wrote of a value. Of one that the operator registered, only the repo's inputs to it are the repo's.
fn written(place: &Place, written: String, inputs: &[String]) -> String {
    match place {
        Place::File(_) => written,
        Place::Registered(_) if inputs.is_empty() => OPERATOR.to_owned(),
        Place::Registered(_) => format!("{OPERATOR} {}", inputs.join(" ")),
    }
}
