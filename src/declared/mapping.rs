//! One YAML map as it is read: keys that are text, each once, and what `<<` merges into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::declared::problem::{Place, Problems, Wrong, shown};
use crate::declared::tree::{Class, Content, Entry, Node};

/// A map that is not closed yet.
#[derive(Default)]
pub(crate) struct Mapping {
    entries: Vec<Entry>,
    written: BTreeMap<String, Place>,
    merged: Vec<Entry>,
    merge_at: Option<Place>,
    key: Option<Key>,
    /// Not meant as a map at all; that was reported.
    misread: bool,
}

/// A key whose value is yet to come.
enum Key {
    Name(String, Place),
    Merge,
    /// Its problem was reported; the value that follows is dropped.
    Broken,
}

impl Mapping {
    /// Whether the next node is a key.
    pub(crate) fn expects_key(&self) -> bool {
        self.key.is_none()
    }

    /// This was not meant as a map.
    pub(crate) fn misread(&mut self) {
        self.misread = true;
    }

    /// Takes the next node: a key, or the value of the key before it.
    pub(crate) fn push(&mut self, node: Arc<Node>, problems: &mut Problems) {
        match self.key.take() {
            None => self.key = Some(self.read_key(&node, problems)),
            Some(Key::Name(key, place)) => self.entries.push(Entry { key, place, value: node }),
            Some(Key::Merge) => self.merge(&node, problems),
            Some(Key::Broken) => {}
        }
    }

    /// The map's own entries, then those merged into it that it does not write itself; of several, the first counts.
    pub(crate) fn close(self) -> Content {
        if self.misread {
            return Content::Broken;
        }
        let mut entries = self.entries;
        let mut keys: BTreeSet<String> = self.written.into_keys().collect();
        for entry in self.merged {
            if keys.insert(entry.key.clone()) {
                entries.push(entry);
            }
        }
        Content::Map(entries)
    }

    fn read_key(&mut self, node: &Node, problems: &mut Problems) -> Key {
        let Content::Scalar(scalar) = &node.content else {
            if !matches!(node.content, Content::Broken) {
                problems.add(&node.place, not_text(node));
            }
            return Key::Broken;
        };
        match scalar.class {
            Class::Text if scalar.text == "<<" => match self.merge_at.replace(node.place.clone()) {
                None => Key::Merge,
                Some(earlier) => {
                    let wrong = twice("<<", &earlier).help("merge several with one list: `<<: [*first, *second]`");
                    problems.add(&node.place, wrong);
                    Key::Broken
                }
            },
            Class::Text | Class::Quoted => match self.written.get(&scalar.text) {
                None => {
                    self.written.insert(scalar.text.clone(), node.place.clone());
                    Key::Name(scalar.text.clone(), node.place.clone())
                }
                Some(earlier) => {
                    problems.add(
                        &node.place,
                        twice(&scalar.text, earlier).help("remove one of the two, or join what they hold"),
                    );
                    Key::Broken
                }
            },
            Class::Empty | Class::Null | Class::Boolean | Class::LooseBoolean | Class::Number => {
                problems.add(&node.place, not_text(node));
                Key::Broken
            }
        }
    }

    fn merge(&mut self, node: &Node, problems: &mut Problems) {
        let mut take = |node: &Node| match &node.content {
            Content::Map(entries) => self.merged.extend(entries.iter().cloned()),
            Content::Broken => {}
            Content::List(_) | Content::Scalar(_) => {
                let wrong = Wrong::new(format!("`<<` merges a map, or a list of maps; this is {}", node.what()));
                problems.add(&node.place, wrong.help("write `<<: *name`, where `&name` stands before a map"));
            }
        };
        match &node.content {
            Content::List(items) => items.iter().for_each(|item| take(item)),
            Content::Map(_) | Content::Scalar(_) | Content::Broken => take(node),
        }
    }
}

fn twice(key: &str, earlier: &Place) -> Wrong {
    Wrong::new(format!("{} is here twice; it was written {} already", shown(key), earlier.phrase()))
}

fn not_text(node: &Node) -> Wrong {
    Wrong::new(format!("a key must be text, and this is {}", node.what())).help(match node.content {
        Content::Scalar(_) => "quote it",
        Content::List(_) | Content::Map(_) | Content::Broken => {
            "write `key: value`; quote a key that begins with a bracket or a brace"
        }
    })
}

/// A map that stands for a key because of `{{ … }}` without quotes.
pub(crate) fn unquoted_template() -> Wrong {
    Wrong::new("a value that begins with `{{` must be quoted, or YAML takes it for a map")
        .help("write \"{{ .Source }}\"")
}
