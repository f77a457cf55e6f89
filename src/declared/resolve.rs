//! The file for one environment: templates substituted, the operator's rules applied, leaves in normal form.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::declared::document::ShortForm;
use crate::declared::file::{File, entries, uses_source};
use crate::declared::leaves::{self, Naming};
use crate::declared::problem::{Place, Problems, Stretch, Wrong};
use crate::declared::reader::Reader;
use crate::declared::rules::{self, Member};
use crate::declared::service::Service;
use crate::declared::shape::{Leaf, List, Shape};
use crate::declared::source::{self, Code, TreeEntry};
use crate::declared::template::Scope;
use crate::declared::text::{GlobText, WorkingDir};
use crate::declared::tree::{Entry, Node};
use crate::declared::{Declared, InvalidFile};
use crate::ids::{CommitSha, EnvironmentName, ProjectName, ServiceName, SourceHash};

/// What resolving a file for one environment takes: what the commit and the operator supply.
#[derive(Clone, Debug)]
pub struct Context {
    /// `{{ .Project }}`, and the first part of volume names.
    pub project: ProjectName,
    /// The environment to resolve for; `{{ .Environment }}`.
    pub environment: EnvironmentName,
    /// The commit that the file was read at; `None` for a file outside a repository.
    pub commit: Option<CommitSha>,
    /// The branch that is planned, where it is one.
    pub branch: Option<String>,
    /// The tag that is planned, where it is one.
    pub tag: Option<String>,
    /// The commit's SemVer tag; without one, `{{ .Version }}` is the short commit.
    pub version: Option<String>,
    /// The operator's template values, `{{ .Env.X }}`.
    pub values: BTreeMap<String, String>,
    /// The repository's files at the commit; needed where [`File::needs_tree`] says so.
    pub tree: Option<Vec<TreeEntry>>,
    /// Whether the provider runs the repository's code itself (`local`): `source` is then a leaf of every service.
    pub source_is_leaf: bool,
    /// The operator's services, in the shape of `services.NAME`, for the short form.
    pub registered: Vec<(ServiceName, serde_json::Value)>,
    /// Host paths that services may mount: a path allows itself and what is beneath.
    pub allow_host_paths: Vec<String>,
}

impl Context {
    /// A context with nothing but the two names.
    pub fn new(project: ProjectName, environment: EnvironmentName) -> Self {
        Context {
            project,
            environment,
            commit: None,
            branch: None,
            tag: None,
            version: None,
            values: BTreeMap::new(),
            tree: None,
            source_is_leaf: false,
            registered: Vec::new(),
            allow_host_paths: Vec::new(),
        }
    }
}

/// A service that was read, on its way to its leaves.
struct Resolved {
    name: ServiceName,
    at: Place,
    service: Option<Service>,
    source: Option<Code>,
}

/// See [`File::resolve`].
pub(crate) fn resolve(file: &File, context: &Context) -> Result<Declared, InvalidFile> {
    let mut problems = Problems::default();
    let (services, deploy) = if let Some(deploy) = file.deploy() {
        let stretch = match &deploy.place {
            Place::File(stretch) => *stretch,
            Place::Registered(_) => Stretch { line: 1, column: 1, width: 1 },
        };
        (short_form(file, deploy, context, &mut problems), Some(stretch))
    } else {
        let Some(services) = file.services(&context.environment) else {
            return Ok(Declared { services: None });
        };
        let resolved = entries(Some(services)).iter().filter_map(|entry| {
            // Parsing refused every other name.
            let name = entry.key.parse().ok()?;
            let (service, source) = read_service(file, &entry.key, &entry.value, context, &mut problems);
            Some(Resolved { name, at: entry.place.clone(), service, source })
        });
        (resolved.collect(), None)
    };
    for service in services.iter().filter_map(|resolved| resolved.service.as_ref()) {
        rules::check_service(service, &mut problems);
        rules::check_host_paths(service, &context.allow_host_paths, &mut problems);
    }
    let members: Vec<Member<'_>> =
        services.iter().map(|resolved| Member { name: &resolved.name, service: resolved.service.as_ref() }).collect();
    rules::check_environment(&members, &mut problems);
    problems.settle(&file.path, deploy, ())?;

    let naming = Naming { project: &context.project, environment: &context.environment, file: &file.path, deploy };
    let declared = services
        .into_iter()
        .filter_map(|Resolved { name, at, service, source }| Some((name, leaves::of(service?, &at, source, &naming))));
    Ok(Declared { services: Some(declared.collect()) })
}

/// The one registered service with the `deploy` block laid over it.
fn short_form(file: &File, deploy: &Entry, context: &Context, problems: &mut Problems) -> Vec<Resolved> {
    let place = format!("{}/{}", context.project, context.environment);
    let [(name, spec)] = context.registered.as_slice() else {
        let names: Vec<&str> = context.registered.iter().map(|(name, _)| name.as_str()).collect();
        let wrong = if names.is_empty() {
            Wrong::new(format!(
                "`deploy` is laid over the one service that an operator registered, and {place} has none"
            ))
            .help(format!(
                "an operator registers it with `trueup service set {place}/NAME --image …`; or write `environments`"
            ))
        } else {
            let names = names.join(", ");
            Wrong::new(format!(
                "`deploy` is laid over the one service that an operator registered, and {place} has several: {names}"
            ))
            .help("write `environments` and name each service, or let an operator remove all but one")
        };
        problems.add(&deploy.place, wrong);
        return Vec::new();
    };
    let Some(node) = Node::from_json(spec, "", 0) else {
        problems.add(
            &deploy.place,
            Wrong::new("the registered service nests too deep")
                .help("an operator registers it anew: `trueup service set`"),
        );
        return Vec::new();
    };
    let (registered, source) = read_service(file, name.as_str(), &node, context, problems);
    let mut reader = Reader::new(Some(Scope { context, source: hash_of(source.as_ref()) }));
    let block = reader.within("deploy", |reader| ShortForm::read(&deploy.value, reader));
    problems.append(reader.problems);
    let service = match (registered, block) {
        (Some(registered), Some(block)) => Some(block.over(registered)),
        (None, _) | (_, None) => None,
    };
    vec![Resolved { name: name.clone(), at: deploy.place.clone(), service, source }]
}

/// One service with its templates substituted, and its source where that is a leaf.
fn read_service(
    file: &File,
    name: &str,
    node: &Arc<Node>,
    context: &Context,
    problems: &mut Problems,
) -> (Option<Service>, Option<Code>) {
    let source = match source_of(file, node, context) {
        Ok(source) => source,
        Err((place, wrong)) => {
            problems.add(&place, wrong);
            None
        }
    };
    let mut reader = Reader::new(Some(Scope { context, source: hash_of(source.as_ref()) }));
    let service = reader.within(name, |reader| Service::read(node, reader));
    problems.append(reader.problems);
    (service, source.filter(|_| is_leaf(node, context)))
}

fn hash_of(code: Option<&Code>) -> Option<SourceHash> {
    code.map(|code| code.hash.clone())
}

/// Whether a service's source is one of its leaves.
fn is_leaf(service: &Node, context: &Context) -> bool {
    context.source_is_leaf || service.get("source").is_some()
}

/// A service's source, where anything asks for it. What is wrong with its globs is left to the reader.
fn source_of(file: &File, service: &Node, context: &Context) -> Result<Option<Code>, (Place, Wrong)> {
    if !uses_source(service) && !context.source_is_leaf {
        return Ok(None);
    }
    let globs_node = service.get("source");
    let place = globs_node.map_or(&service.place, |node| &node.place);
    let Some(tree) = &context.tree else {
        if !is_leaf(service, context) {
            // A template names it, and says so at its own place.
            return Ok(None);
        }
        let wrong = Wrong::new("a source needs the repository's files, and this file was not read at a commit of one");
        return Err((place.clone(), wrong.help("plan from the repository")));
    };
    let mut reader = Reader::new(Some(Scope { context, source: None }));
    if let Some(node) = globs_node {
        let Some(globs) = List::<Leaf<GlobText>>::read(node, &mut reader).filter(|_| reader.problems.len() == 0) else {
            return Ok(None);
        };
        if globs.items.is_empty() {
            let wrong = Wrong::new("a source without globs matches nothing");
            return Err((place.clone(), wrong.help("name what the service is made of, or remove the key")));
        }
        let globs: Vec<String> = globs.items.into_iter().map(|glob| glob.value.0).collect();
        let nothing = || Wrong::new("no file of the repository matches").help("globs begin at the repository's root");
        let code = Code::of(tree, globs).map_err(|wrong| (place.clone(), wrong))?;
        return code.map(Some).ok_or_else(|| (place.clone(), nothing()));
    }
    let directory = service.get("working_dir").and_then(|node| Leaf::<WorkingDir>::read(node, &mut reader));
    let glob = match directory {
        Some(Leaf { value: WorkingDir(path), .. }) if !path.starts_with('/') && path != "." => globset::escape(&path),
        _ => "**".to_owned(),
    };
    // The file itself is no code: changing what it declares does not change what runs.
    let globs = vec![glob, format!("!{}", globset::escape(&file.path))];
    let code = Code::of(tree, globs.clone()).map_err(|wrong| (place.clone(), wrong))?;
    Ok(Some(code.unwrap_or_else(|| Code { hash: source::empty(), globs })))
}
