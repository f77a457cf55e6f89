//! YAML text → positioned nodes, within a budget: aliases and merge keys followed, duplicates and tags refused.
//!
//! Built from the parser's events on a stack of our own, so that no input can exhaust the program's. The first error of
//! syntax ends the reading; everything else is collected. Must not know the file's keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use crate::declared::file::MAX_BYTES;
use crate::declared::mapping::{Mapping, unquoted_template};
use crate::declared::problem::{Place, Problems, Stretch, Wrong};
use crate::declared::suggest;
use crate::declared::syntax;
use crate::declared::tree::{Class, Content, MAX_DEPTH, Node, Scalar};

/// The most nodes of a document, each alias counted as all that it stands for.
pub(crate) const MAX_NODES: usize = 50_000;

/// The most text of a document's scalars in bytes, each alias counted as all that it stands for.
const MAX_TEXT: usize = 4 * MAX_BYTES;

/// Reads one document. `None` where its syntax is broken, it is empty or over the budget; `problems` then says so.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Option<Arc<Node>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder =
        Builder { text, problems, open: Vec::new(), anchors: Anchors::default(), root: None, cost: Cost::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                if let Err(fatal) = builder.event(event, span) {
                    let place = builder.place(&span);
                    builder.problems.add(&place, fatal);
                    return None;
                }
            }
            Err(error) => {
                let marker = error.marker();
                let place =
                    Place::File(Stretch { line: count(marker.line()), column: count(marker.col() + 1), width: 1 });
                builder.problems.add(&place, syntax::explain(&error));
                return None;
            }
        }
    }
    builder.root
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What reading a node takes, aliases followed.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text: usize,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.nodes += other.nodes;
        self.text += other.text;
    }
}

/// A finished node with what it costs, and how deep it is.
#[derive(Clone)]
struct Built {
    node: Arc<Node>,
    cost: Cost,
    depth: usize,
}

#[derive(Default)]
struct Anchors {
    finished: BTreeMap<usize, Built>,
    names: BTreeSet<String>,
}

/// A collection that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    broken: bool,
    /// Right behind another `{`.
    doubled: bool,
    cost: Cost,
    depth: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Arc<Node>>),
    Map(Mapping),
}

struct Builder<'a> {
    text: &'a str,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: Anchors,
    root: Option<Arc<Node>>,
    cost: Cost,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Wrong> {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Wrong::new("a second document begins here; the file is one document").help("remove the `---`"))
            }
            Event::DocumentStart(..) => Ok(()),
            Event::Anchor(_, name) => {
                self.anchors.names.insert(name.into_owned());
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let broken = tag.is_some() && self.tagged(&span);
                let node = self.scalar(&text, style, &span, broken);
                self.finish(Built { node, cost: Cost { nodes: 1, text: text.len() }, depth: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let broken = tag.is_some() && self.tagged(&span);
                self.begin(&span, anchor, broken, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let broken = tag.is_some() && self.tagged(&span);
                self.begin(&span, anchor, broken, OpenKind::Map(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span),
            Event::Alias(id) => match self.anchors.finished.get(&id).cloned() {
                Some(built) => self.finish(built, 0),
                None => Err(Wrong::new("this alias stands inside what it refers to")
                    .help("an alias can only repeat something that ended before it")),
            },
            Event::UnresolvedAlias(_) if self.problems.is_full() => self.broken(&span),
            Event::UnresolvedAlias(name) => {
                let place = self.place(&span);
                let help = match suggest::nearest(&name, self.anchors.names.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `*{meant}`?"),
                    None => "an anchor is written `&name`, before a value; text that begins with `*` must be quoted"
                        .to_owned(),
                };
                self.problems.add(&place, Wrong::new("no anchor of this name comes before this alias").help(help));
                self.broken(&span)
            }
            _ => Err(Wrong::new("this kind of YAML is not supported").help("write keys, lists and plain values only")),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: &Span, broken: bool) -> Arc<Node> {
        let place = self.place(span);
        let content = if broken {
            Content::Broken
        } else if style == ScalarStyle::Plain {
            // An absent value arrives as `~`; only its empty span tells it from a written one.
            let text = if span.is_empty() { "" } else { text };
            Content::Scalar(Scalar { text: text.to_owned(), class: Class::of_plain(text) })
        } else {
            Content::Scalar(Scalar { text: text.to_owned(), class: Class::Quoted })
        };
        Arc::new(Node { place, content })
    }

    fn broken(&mut self, span: &Span) -> Result<(), Wrong> {
        let node = Arc::new(Node { place: self.place(span), content: Content::Broken });
        self.finish(Built { node, cost: Cost { nodes: 1, text: 0 }, depth: 1 }, 0)
    }

    fn tagged(&mut self, span: &Span) -> bool {
        let place = self.place(&span.tag_span().unwrap_or(*span));
        let help = "remove it; to make text of a number or a boolean, quote it";
        self.problems.add(&place, Wrong::new("YAML tags (`!…`) are not supported").help(help));
        true
    }

    fn begin(&mut self, span: &Span, anchor: usize, broken: bool, kind: OpenKind) -> Result<(), Wrong> {
        let place = self.place(span);
        let before = span.start.byte_offset().and_then(|start| self.text.get(..start));
        let doubled = before.is_some_and(|before| before.ends_with('{'));
        let cost = Cost { nodes: 1, text: 0 };
        self.open.push(Open { place, anchor, broken, doubled, cost, depth: 1, kind });
        self.spend(cost)
    }

    fn spend(&mut self, cost: Cost) -> Result<(), Wrong> {
        self.cost.add(cost);
        let wrong = if self.cost.nodes > MAX_NODES {
            format!("the file holds more than {MAX_NODES} values, its aliases followed")
        } else if self.cost.text > MAX_TEXT {
            format!("the file holds more than {MAX_TEXT} bytes of text, its aliases followed")
        } else {
            return Ok(());
        };
        Err(Wrong::new(wrong).help("write less with aliases"))
    }

    fn end(&mut self, span: &Span) -> Result<(), Wrong> {
        let Some(open) = self.open.pop() else {
            return Err(Wrong::new("a collection ends that never began"));
        };
        let content = match open.kind {
            _ if open.broken => Content::Broken,
            OpenKind::List(items) => Content::List(items),
            OpenKind::Map(map) => map.close(),
        };
        let place = match open.place {
            // Brackets on one line: the whole of it.
            Place::File(Stretch { line, column, .. }) if line == count(span.end.line()) => {
                let width = count(span.end.col() + 1).saturating_sub(column).max(1);
                Place::File(Stretch { line, column, width })
            }
            place => place,
        };
        let mut node = Node { place, content };
        if let Some(Open { kind: OpenKind::Map(parent), .. }) = self.open.last_mut()
            && open.doubled
            && parent.expects_key()
        {
            self.problems.add(&node.place, unquoted_template());
            parent.misread();
            node.content = Content::Broken;
        }
        // What is inside was counted as it came.
        self.place_into_parent(Built { node: Arc::new(node), cost: open.cost, depth: open.depth }, open.anchor)
    }

    /// A node or an alias is complete: counts it against the budget and puts it where it belongs.
    fn finish(&mut self, built: Built, anchor: usize) -> Result<(), Wrong> {
        self.spend(built.cost)?;
        self.place_into_parent(built, anchor)
    }

    fn place_into_parent(&mut self, built: Built, anchor: usize) -> Result<(), Wrong> {
        if anchor != 0 {
            self.anchors.finished.insert(anchor, built.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        parent.cost.add(built.cost);
        parent.depth = parent.depth.max(built.depth + 1);
        if parent.depth > MAX_DEPTH {
            return Err(Wrong::new(format!("values nest more than {MAX_DEPTH} deep here, aliases followed"))
                .help("write it flatter"));
        }
        match &mut parent.kind {
            OpenKind::List(items) => items.push(built.node),
            OpenKind::Map(map) => map.push(built.node, self.problems),
        }
        Ok(())
    }

    /// The part of a span that lies on its first line.
    fn place(&self, span: &Span) -> Place {
        let width = match span.byte_range().and_then(|range| self.text.get(range)) {
            Some(covered) => covered.lines().next().unwrap_or_default().trim_end().chars().count(),
            None => 1,
        };
        let (line, column) = (count(span.start.line()), count(span.start.col() + 1));
        Place::File(Stretch { line, column, width: count(width.max(1)) })
    }
}
