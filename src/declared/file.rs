//! The file as a whole: parsing it, and resolving it for one environment.

use std::collections::BTreeMap;

use crate::declared::source::TreeEntry;
use crate::declared::{Declared, Diagnostic, InvalidFile};
use crate::ids::{CommitSha, EnvironmentName, ProjectName, ServiceName};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Where the file is, unless the operator says otherwise.
pub const DEFAULT_PATH: &str = ".trueup.yml";

/// A parsed and structurally validated file; templates are not substituted yet.
#[derive(Clone, Debug)]
pub struct File {
    path: String,
}

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

fn not_yet(file: &str) -> InvalidFile {
    let message = format!("{file}: this build does not read files yet");
    InvalidFile { diagnostics: vec![Diagnostic { message, at: None, width: 1, help: None }] }
}

/// Parses and checks a file as far as that goes without knowing the environment.
///
/// # Errors
/// Everything that is wrong with it, with positions.
pub fn parse(path: &str, _text: &[u8]) -> Result<File, InvalidFile> {
    Err(not_yet(path))
}

impl File {
    /// The environments that the file writes, sorted; none for the short form.
    pub fn environments(&self) -> Vec<EnvironmentName> {
        Vec::new()
    }

    /// Whether this is the one-service `deploy:` form.
    pub fn is_short_form(&self) -> bool {
        false
    }

    /// Whether resolving for this environment needs [`Context::tree`]. Always true of the short form, whose service may
    /// use it unseen by the file.
    pub fn needs_tree(&self, _environment: &EnvironmentName, source_is_leaf: bool) -> bool {
        source_is_leaf
    }

    /// What the file declares for `context.environment`: templates substituted, normal forms, the operator's rules.
    ///
    /// # Errors
    /// Everything that is wrong with it, with positions.
    pub fn resolve(&self, _context: &Context) -> Result<Declared, InvalidFile> {
        Err(not_yet(&self.path))
    }
}

/// Checks what an operator registers with `trueup service set`: the same rules as `services.NAME` in the file.
///
/// # Errors
/// Everything that is wrong with it; positions are absent, messages begin with the key.
pub fn check_service(_spec: &serde_json::Value) -> Result<(), InvalidFile> {
    Err(not_yet("service"))
}
