//! The file as a whole: parsing it, and what can be asked of it before it is resolved.

use std::sync::Arc;

use crate::declared::document::Document;
use crate::declared::problem::{Place, Problems, Stretch, Wrong};
use crate::declared::reader::Reader;
use crate::declared::resolve;
use crate::declared::rules::{self, Member};
use crate::declared::service::Service;
use crate::declared::shape::Shape;
use crate::declared::template::{Template, Variable};
use crate::declared::tree::{Class, Content, Entry, Node, Scalar};
use crate::declared::{Declared, InvalidFile, yaml};
use crate::ids::EnvironmentName;

pub use crate::declared::resolve::Context;

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Where the file is, unless the operator says otherwise.
pub const DEFAULT_PATH: &str = ".trueup.yml";

/// A parsed and structurally validated file; templates are not substituted yet.
#[derive(Clone, Debug)]
pub struct File {
    pub(crate) path: String,
    root: Arc<Node>,
}

/// Parses and checks a file as far as that goes without knowing the environment: everything but what templates stand for
/// and what the operator allows.
///
/// # Errors
/// Everything that is wrong with it, with positions.
pub fn parse(path: &str, text: &[u8]) -> Result<File, InvalidFile> {
    let mut problems = Problems::default();
    let root = match decode(text) {
        Ok(text) => yaml::read(text, &mut problems),
        Err((place, wrong)) => {
            problems.add(&place, wrong);
            None
        }
    };
    let nothing = |root: &Arc<Node>| matches!(root.content, Content::Scalar(Scalar { class: Class::Empty, .. }));
    let root = root.filter(|root| !nothing(root));
    match &root {
        Some(root) => check(root, &mut problems),
        None if problems.len() == 0 => {
            let help = "begin with `version: 1`; a repository without the file declares nothing";
            problems.add(&start(), Wrong::new("the file is empty").help(help));
        }
        None => {}
    }
    let broken = || Arc::new(Node { place: start(), content: Content::Broken });
    let file = File { path: path.to_owned(), root: root.unwrap_or_else(broken) };
    problems.settle(path, None, file)
}

/// Checks what an operator registers with `trueup service set`: the same rules as `services.NAME` in the file.
///
/// # Errors
/// Everything that is wrong with it; positions are absent, messages begin with the key.
pub fn check_service(spec: &serde_json::Value) -> Result<(), InvalidFile> {
    let mut reader = Reader::new(None);
    let Some(node) = Node::from_json(spec, "", 0) else {
        let place = Place::Registered("service".into());
        reader.problem(&place, Wrong::new("values nest too deep").help("write it flatter"));
        return reader.problems.settle("", None, ());
    };
    if let Some(service) = Service::read(&node, &mut reader) {
        rules::check_service(&service, &mut reader.problems);
        if let Some(dependencies) = service.depends_on.filter(|list| !list.items.is_empty()) {
            let wrong = Wrong::new("a registered service is the only one of its environment, and has none to wait for");
            reader.problem(&dependencies.place, wrong.help("remove `depends_on`"));
        }
    }
    reader.problems.settle("", None, ())
}

impl File {
    /// The environments that the file writes, sorted; none for the short form.
    pub fn environments(&self) -> Vec<EnvironmentName> {
        let mut names: Vec<EnvironmentName> =
            entries(self.root.get("environments")).iter().filter_map(|entry| entry.key.parse().ok()).collect();
        names.sort();
        names
    }

    /// Whether this is the one-service `deploy:` form.
    pub fn is_short_form(&self) -> bool {
        self.root.get("deploy").is_some()
    }

    /// Whether resolving for this environment needs [`Context::tree`]. Always true of the short form, whose registered
    /// service may use it unseen by the file.
    pub fn needs_tree(&self, environment: &EnvironmentName, source_is_leaf: bool) -> bool {
        let services = entries(self.services(environment));
        self.is_short_form() || services.iter().any(|entry| source_is_leaf || uses_source(&entry.value))
    }

    /// Whether resolving for this environment needs [`Context::version`]. Always true of the short form, whose registered
    /// service may use it unseen by the file.
    pub fn uses_version(&self, environment: &EnvironmentName) -> bool {
        let services = entries(self.services(environment));
        self.is_short_form() || services.iter().any(|entry| mentions(&entry.value, &Variable::Version))
    }

    /// What the file declares for `context.environment`: templates substituted, normal forms, the operator's rules.
    ///
    /// # Errors
    /// Everything that is wrong with it, with positions.
    pub fn resolve(&self, context: &Context) -> Result<Declared, InvalidFile> {
        resolve::resolve(self, context)
    }

    /// The `services` of an environment, where the file writes them.
    pub(crate) fn services(&self, environment: &EnvironmentName) -> Option<&Arc<Node>> {
        self.root.get("environments")?.get(environment.as_str())?.get("services")
    }

    /// The `deploy` block and its key's place, where the file is of the short form.
    pub(crate) fn deploy(&self) -> Option<&Entry> {
        entries(Some(&self.root)).iter().find(|entry| entry.key == "deploy")
    }
}

/// Whether a service's source has to be known: it is written, or a template names it.
pub(crate) fn uses_source(service: &Node) -> bool {
    service.get("source").is_some() || mentions(service, &Variable::Source)
}

/// Whether a template anywhere in a node names the variable.
fn mentions(node: &Node, variable: &Variable) -> bool {
    node.any_scalar(&|text| {
        text.contains("{{") && Template::parse(text).is_ok_and(|template| template.mentions(variable))
    })
}

pub(crate) fn entries(node: Option<&Arc<Node>>) -> &[Entry] {
    match node.map(|node| &node.content) {
        Some(Content::Map(entries)) => entries,
        Some(Content::Scalar(_) | Content::List(_) | Content::Broken) | None => &[],
    }
}

fn start() -> Place {
    Place::File(Stretch { line: 1, column: 1, width: 1 })
}

/// The file's text; or why it is none, and where.
fn decode(bytes: &[u8]) -> Result<&str, (Place, Wrong)> {
    if bytes.len() > MAX_BYTES {
        let wrong = Wrong::new(format!("the file is larger than {MAX_BYTES} bytes (256 KiB)"));
        return Err((start(), wrong.help("take out what is no declaration; large values belong into images")));
    }
    match std::str::from_utf8(bytes) {
        // A byte-order mark is no character of the text.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = valid.matches('\n').count() + 1;
            let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let place = Place::File(Stretch { line: count(line), column: count(column), width: 1 });
            Err((place, Wrong::new("the file is not UTF-8 from here on").help("save it as UTF-8")))
        }
    }
}

/// Everything that can be checked without knowing the environment.
fn check(root: &Node, problems: &mut Problems) {
    let mut reader = Reader::new(None);
    let document = Document::read(root, &mut reader);
    problems.append(reader.problems);
    let Some(Document { version: _, environments, deploy: _ }) = document else { return };
    if let Content::Map(entries) = &root.content
        && let Some(deploy) = entries.iter().find(|entry| entry.key == "deploy")
        && let Some(other) = entries.iter().find(|entry| entry.key == "environments")
    {
        let wrong = Wrong::new(format!(
            "`deploy` is the short form for one service, and `environments` stands {}",
            other.place.phrase()
        ));
        problems.add(&deploy.place, wrong.help("write one of the two"));
    }
    for environment in environments.into_iter().flat_map(|environments| environments.entries) {
        let Some(services) = environment.value.and_then(|environment| environment.services) else { continue };
        for service in services.entries.iter().filter_map(|entry| entry.value.as_ref()) {
            rules::check_service(service, problems);
        }
        let members: Vec<Member<'_>> =
            services.entries.iter().map(|entry| Member { name: &entry.key, service: entry.value.as_ref() }).collect();
        rules::check_environment(&members, problems);
    }
}
