//! The `local` provider: services as processes of this machine, each from its own checkout of the repository. They
//! belong to `trueup supervise` ([`supervisor`]); this half asks it over its socket and knows no process itself.
//!
//! Must not know Git (a [`Checkout`] is handed in), plans or the store.

mod blueprint;
mod capability;
mod client;
mod connection;
mod observe;
mod probe;
pub mod settings;
mod steps;
pub mod supervisor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt};

use crate::ids::{CommitSha, EnvironmentRef};
pub use crate::provider::local::capability::PROVIDER;
use crate::provider::local::client::{CallError, Client};
use crate::provider::local::settings::{InvalidLocalSettings, LocalSettings};
use crate::provider::local::supervisor::protocol::{Hello, Reply, Request};
use crate::provider::local::supervisor::replica::RunAs;

/// Lays the files of a commit down.
#[async_trait]
pub trait Checkout: Send + Sync {
    /// Lays the files of a commit down in a folder that exists and is empty.
    ///
    /// # Errors
    /// Why not, for people; holds no secret.
    async fn checkout(&self, commit: &CommitSha, into: &Path) -> Result<(), String>;
}

/// One environment on this machine.
pub struct LocalProvider {
    environment: EnvironmentRef,
    settings: LocalSettings,
    user: RunAs,
    client: Client,
    checkout: Arc<dyn Checkout>,
    // What the supervisor said last. Until it was asked, the file is given the benefit of the doubt: a limit that
    // cannot be kept is refused before anything is changed.
    cpu_limits: AtomicBool,
}

/// Why an environment cannot be local as the operator set it up.
#[derive(Debug, thiserror::Error)]
pub enum LocalSetupError {
    /// A setting is not valid.
    #[error(transparent)]
    Settings(#[from] InvalidLocalSettings),
    /// Nobody to run as.
    #[error(
        "the environment does not say which user its replicas run as: set `run_as` to a user of this machine, or the \
         setting `allow_own_user` to true to run them as Trueup's own user"
    )]
    NoUser,
    /// The daemon's own user without leave.
    #[error(
        "`run_as` names `{0}`, Trueup's own user, which could read its database and secrets: name another user, or set \
         `allow_own_user` to true if that is meant"
    )]
    OwnUser(String),
    /// The users of this machine cannot be read.
    #[error("the users of this machine cannot be read")]
    Users(#[source] std::io::Error),
}

impl std::fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalProvider")
            .field("environment", &self.environment)
            .field("settings", &self.settings)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl LocalProvider {
    /// The provider of one environment. Calls the supervisor on first use: one that does not answer shows as unknown,
    /// not as an error here.
    ///
    /// # Errors
    /// [`LocalSetupError`], which says what the operator can do.
    pub fn connect(
        environment: EnvironmentRef,
        settings: &BTreeMap<String, String>,
        run_as: Option<&str>,
        supervisor: &Path,
        checkout: Arc<dyn Checkout>,
    ) -> Result<Self, LocalSetupError> {
        let settings = LocalSettings::parse(settings)?;
        let user = user(run_as, settings.allow_own_user)?;
        let client = Client::new(supervisor);
        Ok(LocalProvider { environment, settings, user, client, checkout, cpu_limits: AtomicBool::new(true) })
    }

    /// Yields `Ok(())` whenever a replica of this environment changed (prepared, started, ended, updated, removed …), and
    /// once at the beginning; ends after an `Err` that says why. Whoever listens subscribes again and looks at once.
    /// What is changed behind the supervisor's back is seen by the next look only.
    pub fn changes(&self) -> BoxStream<'static, Result<(), String>> {
        let (client, environment) = (self.client.clone(), self.environment.clone());
        let begun = async move { client.begin(Request::Watch { environment }).await };
        let streams = futures_util::stream::once(begun).flat_map(|begun| match begun {
            Ok(conversation) => futures_util::stream::unfold(Some(conversation), |conversation| async move {
                let mut conversation = conversation?;
                match conversation.next().await {
                    Ok(Some(Reply::Changed)) => Some((Ok(()), Some(conversation))),
                    Ok(_) => Some((Err("the supervisor ended".to_owned()), None)),
                    Err(error) => Some((Err(error.to_string()), None)),
                }
            })
            .boxed(),
            Err(error) => futures_util::stream::once(async move { Err(error.to_string()) }).boxed(),
        });
        streams.boxed()
    }

    async fn hello(&self) -> Result<Hello, CallError> {
        let hello = self.client.hello().await?;
        self.cpu_limits.store(hello.limits.cpu, Ordering::Relaxed);
        Ok(hello)
    }
}

fn user(run_as: Option<&str>, allow_own_user: bool) -> Result<RunAs, LocalSetupError> {
    let Some(name) = run_as else {
        return if allow_own_user { Ok(RunAs::Own) } else { Err(LocalSetupError::NoUser) };
    };
    // A user that is not there is found by the supervisor, which says so where it can be read: in plan and test.
    let user = supervisor::user_by_name(name).map_err(LocalSetupError::Users)?;
    let is_own = user.is_some_and(|uid| uid == rustix::process::geteuid().as_raw());
    match (is_own, allow_own_user) {
        (true, true) => Ok(RunAs::Own),
        (true, false) => Err(LocalSetupError::OwnUser(name.to_owned())),
        (false, _) => Ok(RunAs::User(name.to_owned())),
    }
}
