//! `trueup supervise`: owns the processes of `local` environments, in a process of its own.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::config::{self, Config, Life};
use crate::live::quantity::Bytes;
use crate::provider::local::supervisor::cgroup::Choice;
use crate::provider::local::supervisor::{AtEnd, SuperviseOptions, supervise};
use crate::settings::supervise::CGROUP_OFF;
use crate::settings::{PortRange, Settings, SuperviseSettings};

/// Own the processes of `local` environments, apart from the daemon
///
/// A restart of the daemon leaves them alone. When the supervisor is ended itself they go on, and its next start finds
/// them again. Reads the daemon's settings file: its table [supervise], its log, where the socket is. What is said here
/// goes before what the file says.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  systemctl enable --now trueup-supervise
  trueup supervise --socket ~/trueup/run/supervise.sock --state ~/trueup/local     as yourself")]
pub(super) struct Supervise {
    #[command(flatten)]
    config: Config,
    /// The socket on which the daemon asks [default: /run/trueup/supervise.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The folder of replicas, their checkouts and logs [default: /var/lib/trueup-local]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The ports that replicas are given, as FIRST-LAST [default: 20000-29999]
    #[arg(long, value_name = "RANGE")]
    port_range: Option<PortRange>,
    /// A user beside root and this one that may ask, the daemon's; those of the settings file may too
    #[arg(long, value_name = "USER")]
    peer: Vec<String>,
    /// The delegated cgroup v2 directory to use, or `off`; found by itself under systemd
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Size from which a log is cut back; as much again is kept aside [default: 10Mi]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::parse)]
    log_limit: Option<Bytes>,
    /// Stop what runs when it is ended
    #[arg(long, hide = true)]
    stop_at_end: bool,
    #[command(flatten)]
    life: Life,
}

impl Supervise {
    /// What the command line says, over what the file says.
    fn options(&self, settings: &Settings) -> SuperviseOptions {
        let SuperviseSettings { state_dir: _, port_range, peers, cgroup, log_limit } = &settings.supervise;
        let socket = self.socket.clone().unwrap_or_else(|| settings.supervisor_socket());
        let state = self.state.clone().unwrap_or_else(|| settings.supervise_state_dir());
        let mut options = SuperviseOptions::new(socket, state);
        options.ports = self.port_range.unwrap_or(*port_range);
        // The unit names the daemon's user here; the file's are further ones.
        options.peers = self.peer.iter().chain(peers).cloned().collect();
        options.cgroup = match self.cgroup.as_ref().or(cgroup.as_ref()) {
            None => Choice::Detect,
            Some(directory) if directory.as_os_str() == CGROUP_OFF => Choice::Off,
            Some(directory) => Choice::At(directory.clone()),
        };
        options.log_limit = self.log_limit.map_or(*log_limit, |limit| limit.0);
        if self.stop_at_end {
            options.at_end = AtEnd::Stop;
        }
        options
    }
}

/// Supervises until SIGTERM or SIGINT; what runs then goes on running.
pub(super) fn run(verb: &Supervise) -> anyhow::Result<Outcome> {
    verb.life.tie_to_parent()?;
    let settings = verb.config.settings()?;
    config::start_log(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let asked_to_end = config::asked_to_end()?;
        supervise(verb.options(&settings), asked_to_end).await?;
        Ok(Outcome::Done)
    })
}
