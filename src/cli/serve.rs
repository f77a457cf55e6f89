//! `trueup serve`: the daemon.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Outcome;
use crate::cli::config::{self, Config, Life};
use crate::daemon;

/// The daemon: watches, compares, and syncs when asked
///
/// Reads /etc/trueup/trueup.toml where there is one. Serves the API on its Unix socket: root and its own user are admin,
/// members of the group `trueup` are operators, everyone else is refused. SIGTERM and Ctrl-C end it gracefully: a run
/// that is being carried out is finished or parked, and the next start settles it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  systemctl enable --now trueup               as a service
  trueup serve --state ~/.local/state/trueup  in a terminal, as yourself
  TRUEUP_LOG=info,trueup::git=debug trueup serve")]
pub(super) struct Serve {
    #[command(flatten)]
    config: Config,
    /// The state directory, instead of the settings file's; sockets are then in its `run` folder
    #[arg(long, value_name = "DIR", env = "TRUEUP_STATE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    life: Life,
}

/// Threads for reads of files, repositories and the database. What more there is to do waits its turn: every thread that
/// ever allocated keeps memory of its own.
const BLOCKING_THREADS: usize = 24;

/// Serves until it is asked to end.
pub(super) fn run(verb: &Serve, socket: Option<&Path>) -> anyhow::Result<Outcome> {
    verb.life.tie_to_parent()?;
    let mut settings = verb.config.settings()?;
    if let Some(state) = &verb.state {
        settings.state_dir = std::path::absolute(state)?;
    }
    if let Some(socket) = socket {
        settings.socket = Some(std::path::absolute(socket)?);
    }
    config::start_log(&settings.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    runtime.block_on(async {
        let asked_to_end = config::asked_to_end()?;
        daemon::run(settings, asked_to_end).await
    })?;
    Ok(Outcome::Done)
}
