//! The declared side of a pass: from a ref (or a recorded release) to leaves.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::declared::file::{Context, File, parse};
use crate::declared::source::TreeEntry;
use crate::declared::{Declared, DeclaredLeaf, DeclaredService, Position};
use crate::drift::{BaseLeaf, BaseService};
use crate::git::{GitError, Remote, ResolvedRef};
use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName};
use crate::live::capability::Support;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::pass::{BACKGROUND, PassError, Passes, Reading, Site};
use crate::plan::Plan;
use crate::store::records::{Environment, Project, ReadRef, ReadState, ReadStatus};

/// The ref that is tracked where neither environment nor project names one.
const REMOTE_HEAD: &str = "HEAD";

/// The ref that an environment tracks, by what is registered.
pub(crate) fn tracked_ref(project: &Project, environment: &Environment) -> String {
    environment.tracked.clone().or_else(|| project.tracked.clone()).unwrap_or_else(|| REMOTE_HEAD.to_owned())
}

/// Where a file's content was read, for templates and sources.
pub(super) struct Origin {
    /// The commit; of a merge that is none yet, the one that is merged.
    pub(super) commit: CommitSha,
    /// The branch, where it is one.
    pub(super) branch: Option<String>,
    /// The tag, where it is one.
    pub(super) tag: Option<String>,
    /// The ref's full name; `None` for a merge that is no commit yet, which is not read again.
    pub(super) full_name: Option<String>,
    /// The commit's version tag, `Some(None)` where it has none; `None` where that is not known.
    pub(super) version: Option<Option<String>>,
    /// The files of a merge that is no commit yet; `None` for those of the commit.
    pub(super) tree: Option<Vec<crate::git::TreeEntry>>,
}

impl Passes {
    /// The ref that an environment tracks.
    ///
    /// # Errors
    /// [`PassError`] where the environment is not registered.
    pub async fn tracked(&self, id: &EnvironmentRef) -> Result<String, PassError> {
        let site = self.site(id).await?;
        Ok(tracked_ref(&site.project, &site.environment))
    }

    /// The remote of a project, with its credential resolved.
    ///
    /// # Errors
    /// [`PassError`] where the URL or the credential is not usable.
    pub async fn remote(&self, project: &Project, actor: &str) -> Result<Remote, PassError> {
        let purpose = format!("{} repository", project.name);
        let remote = Remote::open(&project.url, project.auth.as_ref(), &self.parts.secrets, &purpose, actor).await?;
        Ok(remote.as_user(project.user.as_deref()))
    }

    /// Reads and resolves the file at a ref.
    pub(super) async fn read(&self, site: &Site, reference: Option<&str>, actor: &str) -> Result<Reading, PassError> {
        let git = &self.parts.git;
        let reference = reference.map_or_else(|| tracked_ref(&site.project, &site.environment), str::to_owned);
        let remote = self.remote(&site.project, actor).await?;
        let resolved = git
            .resolve_ref(&remote, &reference)
            .await?
            .ok_or_else(|| PassError::NoRef { project: site.project.name.clone(), reference: reference.clone() })?;
        git.fetch(&remote, &resolved).await?;
        self.read_at(site, &remote, reference, &resolved, None).await
    }

    /// The file of the commit that was read last, out of the mirror and without asking anyone. `None` where that is not
    /// what is tracked now, or not in the mirror any more.
    pub(super) async fn read_remembered(&self, site: &Site) -> Result<Option<Reading>, PassError> {
        let Some(read) = self.parts.store.read_ref(&site.environment.id).await? else { return Ok(None) };
        if read.reference != tracked_ref(&site.project, &site.environment) {
            return Ok(None);
        }
        let ReadRef { reference, full_name, commit, version } = read;
        let remote = self.remote(&site.project, BACKGROUND).await?;
        let resolved = ResolvedRef { full_name, object: commit.clone(), commit };
        match self.read_at(site, &remote, reference, &resolved, version).await {
            Ok(reading) => Ok(Some(reading)),
            Err(PassError::Git(GitError::NotFetched { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads and resolves the file at a commit that was fetched. `version` is the commit's version tag where that is known;
    /// else the remote is asked, if a service uses it.
    pub(super) async fn read_at(
        &self,
        site: &Site,
        remote: &Remote,
        reference: String,
        resolved: &ResolvedRef,
        version: Option<Option<String>>,
    ) -> Result<Reading, PassError> {
        let bytes = self.parts.git.read_file(remote, &resolved.commit, &site.project.config_path).await?;
        let name = |prefix: &str| resolved.full_name.strip_prefix(prefix).map(str::to_owned);
        let from = Origin {
            commit: resolved.commit.clone(),
            branch: name("refs/heads/"),
            tag: name("refs/tags/"),
            full_name: Some(resolved.full_name.clone()),
            version,
            tree: None,
        };
        self.resolve(site, remote, reference, from, bytes).await
    }

    /// Resolves a file's content for an environment.
    pub(super) async fn resolve(
        &self,
        site: &Site,
        remote: &Remote,
        reference: String,
        mut from: Origin,
        bytes: Option<Vec<u8>>,
    ) -> Result<Reading, PassError> {
        let path = &site.project.config_path;
        let commit = from.commit.clone();
        let short = commit.short().to_owned();
        let full_name = from.full_name.take();
        let of = |version| {
            let (reference, commit) = (reference.clone(), commit.clone());
            full_name.map(|full_name| ReadRef { reference, full_name, commit, version })
        };
        let Some(bytes) = bytes else {
            let note = format!("{path} does not exist at {short}: nothing is declared, and nothing is withdrawn");
            let (declared, commits, of) = (Declared::default(), BTreeMap::new(), of(from.version));
            return Ok(Reading {
                declared,
                reference,
                commit: Some(commit),
                commits,
                notes: vec![note],
                no_file: true,
                of,
            });
        };
        let invalid = |invalid| PassError::Invalid(invalid, commit.clone());
        let file = parse(path, &bytes).map_err(invalid)?;
        // Asking for tags costs a round trip; a service that never says Version needs none, and a merge that is no commit
        // yet has no tag.
        if from.version.is_none() && from.tree.is_none() && file.uses_version(&site.environment.id.environment) {
            from.version = Some(self.parts.git.version_tag(remote, &commit).await?);
        }
        let version = from.version.clone();
        let context = self.context(site, remote, from, &file).await?;
        let declared = file.resolve(&context).map_err(invalid)?;
        let notes = match declared.services {
            Some(_) => Vec::new(),
            None => vec![format!(
                "{path} at {short} declares no services for {}: nothing is withdrawn",
                site.environment.id.environment
            )],
        };
        let (of, commits) = (of(version), BTreeMap::new());
        Ok(Reading { declared, reference, commit: Some(commit), commits, notes, no_file: false, of })
    }

    async fn context(&self, site: &Site, remote: &Remote, from: Origin, file: &File) -> Result<Context, PassError> {
        let Origin { commit, branch, tag, full_name: _, version, tree: merged } = from;
        let git = &self.parts.git;
        let id = &site.environment.id;
        let registered = self.parts.store.services(id).await?;
        let source_is_leaf = (site.can.support)(&FieldPath::Source) == Support::Observed;
        let tree = match file.needs_tree(&id.environment, source_is_leaf) {
            false => None,
            true => Some(tree_entries(match merged.clone() {
                Some(entries) => entries,
                None => git.tree(remote, &commit).await?,
            })),
        };
        Ok(Context {
            commit: Some(commit),
            branch,
            tag,
            version: version.flatten(),
            values: site.environment.values.clone(),
            tree,
            source_is_leaf,
            registered: registered.into_iter().map(|service| (service.name, service.spec)).collect(),
            allow_host_paths: site.environment.allow_host_paths.clone(),
            ..Context::new(id.project.clone(), id.environment.clone())
        })
    }

    /// Records how a read of the tracked ref went.
    pub(super) async fn note_read(
        &self,
        id: &EnvironmentRef,
        reading: &Result<Reading, PassError>,
    ) -> Result<(), PassError> {
        let store = &self.parts.store;
        let now = Timestamp::now();
        let earlier = store.read(id).await?;
        let (state, reason, commit) = match reading {
            Ok(reading) if reading.no_file => {
                (ReadState::NoFile, reading.notes.first().cloned(), reading.commit.clone())
            }
            Ok(reading) => (ReadState::Ok, reading.notes.first().cloned(), reading.commit.clone()),
            Err(PassError::Invalid(invalid, commit)) => {
                (ReadState::Invalid, Some(invalid.to_string()), Some(commit.clone()))
            }
            Err(PassError::Disabled(_)) => (ReadState::Disabled, None, None),
            Err(error) => (ReadState::FetchFailed, Some(error.to_string()), None),
        };
        let failed = !matches!(state, ReadState::Ok | ReadState::NoFile);
        let earlier_since = earlier.as_ref().and_then(|earlier| earlier.stale_since);
        let status = ReadStatus {
            state,
            reason,
            commit: commit.or_else(|| earlier.and_then(|earlier| earlier.commit)),
            checked_at: now,
            stale_since: failed.then(|| earlier_since.unwrap_or(now)),
        };
        if self.seen.checked(id, &status) {
            store.put_read(id, &status).await?;
            self.tell_moved(id);
        }
        if let Ok(Reading { of: Some(read), .. }) = reading {
            store.put_read_ref(id, read.clone()).await?;
        }
        Ok(())
    }

    /// Whether a commit may be synced: reachable from the tracked ref, or the operator allowed others.
    ///
    /// # Errors
    /// [`PassError`] where that cannot be told.
    pub async fn may_sync(&self, id: &EnvironmentRef, commit: &CommitSha, actor: &str) -> Result<bool, PassError> {
        let site = self.enabled(id).await?;
        if site.environment.allow_untracked {
            return Ok(true);
        }
        let git = &self.parts.git;
        let reference = tracked_ref(&site.project, &site.environment);
        let remote = self.remote(&site.project, actor).await?;
        let Some(tip) = git.resolve_ref(&remote, &reference).await? else {
            return Err(PassError::NoRef { project: site.project.name, reference });
        };
        git.fetch(&remote, &tip).await?;
        Ok(tip.commit == *commit || git.is_reachable(&remote, commit, &tip.commit).await?)
    }

    /// The release to go back to: the one named, or the one before the present.
    pub(super) async fn release_to(&self, id: &EnvironmentRef, to: Option<RunId>) -> Result<RunId, PassError> {
        let releases = self.parts.store.releases(id, 20).await?;
        match to {
            Some(run) if releases.iter().any(|release| release.run.id == run) => Ok(run),
            Some(run) => Err(PassError::NoRelease(format!(
                "run {run} recorded no release of {id}; `trueup history {id}` lists those that did"
            ))),
            None => releases.get(1).map(|release| release.run.id).ok_or_else(|| {
                PassError::NoRelease(format!("{id} has no release before the present one to go back to"))
            }),
        }
    }

    /// A recorded release as what is declared.
    pub(super) async fn release(&self, id: &EnvironmentRef, run: RunId) -> Result<Reading, PassError> {
        let services = self.parts.store.release(id, run).await?;
        // Each service was released from a commit of its own: whatever a later run left alone is still of an earlier one.
        let mut kinds: Vec<&Option<CommitSha>> = services.values().map(|service| &service.commit).collect();
        kinds.dedup();
        let (commit, commits) = match kinds[..] {
            [Some(one)] => (Some(one.clone()), BTreeMap::new()),
            _ => {
                let own = services.iter().filter_map(|(name, service)| Some((name.clone(), service.commit.clone()?)));
                (None, own.collect())
            }
        };
        let place = Position { file: format!("release of run {run}").into(), line: 0, column: 0 };
        let declared = |service: BaseService| declared_service(&service.leaves, &place);
        let services = services.into_iter().map(|(name, service)| (name, declared(service))).collect();
        Ok(Reading {
            declared: Declared { services: Some(services) },
            reference: format!("release of run {run}"),
            commit,
            commits,
            notes: Vec::new(),
            no_file: false,
            of: None,
        })
    }

    /// What a plan was to apply, as declared.
    pub(super) fn declared_of(&self, plan: &Plan) -> Declared {
        let place = Position { file: format!("plan {}", plan.digest.short()).into(), line: 0, column: 0 };
        let services = plan.desired.iter().map(|(name, leaves)| {
            let mut service = declared_service(leaves, &place);
            keep_fingerprints(&mut service, leaves);
            (name.clone(), service)
        });
        let services: BTreeMap<ServiceName, DeclaredService> = services.collect();
        Declared { services: Some(services) }
    }
}

/// A commit's files as a source is hashed over them.
pub(super) fn tree_entries(entries: Vec<crate::git::TreeEntry>) -> Vec<TreeEntry> {
    let entry = |entry: crate::git::TreeEntry| TreeEntry { path: entry.path, mode: entry.mode, blob: entry.blob };
    entries.into_iter().map(entry).collect()
}

fn declared_service(leaves: &BTreeMap<FieldPath, BaseLeaf>, at: &Position) -> DeclaredService {
    let leaf = |leaf: &BaseLeaf| {
        let value = match leaf.value.clone() {
            // The fingerprint is that of then; the pass puts in that of now.
            Value::Secret(mut secret) => {
                secret.fingerprint = None;
                Value::Secret(secret)
            }
            other => other,
        };
        DeclaredLeaf { value, written: leaf.written.clone(), uses_commit: false, at: at.clone() }
    };
    DeclaredService { leaves: leaves.iter().map(|(field, base)| (field.clone(), leaf(base))).collect(), at: at.clone() }
}

/// A plan's own secrets are those of now already.
fn keep_fingerprints(service: &mut DeclaredService, leaves: &BTreeMap<FieldPath, BaseLeaf>) {
    for (field, leaf) in &mut service.leaves {
        if let (Value::Secret(_), Some(planned)) = (&leaf.value, leaves.get(field)) {
            leaf.value = planned.value.clone();
        }
    }
}
