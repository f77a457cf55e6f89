//! Why a pass came to no plan.

use crate::declared::InvalidFile;
use crate::git::GitError;
use crate::ids::{CommitSha, EnvironmentRef, ProjectName};
use crate::secret::SecretError;
use crate::store::StoreError;

/// Why a pass came to no plan.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The project is not registered.
    #[error("there is no project {0}; `trueup project list` shows those there are")]
    NoProject(ProjectName),
    /// The environment is not registered.
    #[error("there is no environment {0}; `trueup env list` shows those there are")]
    NoEnvironment(EnvironmentRef),
    /// The operator switched the project off.
    #[error("the project {0} is disabled; `trueup project set {0} --enable` switches it on")]
    Disabled(ProjectName),
    /// Git could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The registered repository cannot be asked.
    #[error(transparent)]
    Remote(#[from] crate::git::RemoteError),
    /// The ref does not exist.
    #[error("{reference} does not exist in {project}'s repository")]
    NoRef {
        /// The project.
        project: ProjectName,
        /// The ref, as asked for.
        reference: String,
    },
    /// The file is not valid at this commit.
    #[error("the file is not valid:\n{0}")]
    Invalid(InvalidFile, CommitSha),
    /// The environment's provider settings are not usable.
    #[error("the provider of {environment} cannot be used: {why}")]
    Provider {
        /// The environment.
        environment: EnvironmentRef,
        /// What is wrong.
        why: String,
    },
    /// There is no such release to go back to.
    #[error("{0}")]
    NoRelease(String),
    /// The commit that is to be laid down does not hold the code that is to run.
    #[error("{0}")]
    OtherCode(String),
    /// The service or the leaf is neither declared nor applied nor running.
    #[error("{0}")]
    NoLeaf(String),
    /// A secret could not be resolved.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
