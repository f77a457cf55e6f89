//! `trueup supervise`: owns the processes of `local` environments, in a process of its own.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::config::{self, Life};
use crate::live::quantity::Bytes;
use crate::provider::local::supervisor::cgroup::Choice;
use crate::provider::local::supervisor::{AtEnd, SuperviseOptions, supervise};
use crate::settings::{PortRange, Settings};

/// Own the processes of `local` environments, apart from the daemon
///
/// A restart of the daemon leaves them alone. When the supervisor is ended itself they go on, and its next start finds
/// them again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  systemctl enable --now trueup-supervise
  trueup supervise --socket ~/trueup/run/supervise.sock --state ~/trueup/local     as yourself")]
pub(super) struct Supervise {
    /// The socket on which the daemon asks
    #[arg(long, value_name = "PATH", default_value = "/run/trueup/supervise.sock")]
    socket: PathBuf,
    /// The folder of replicas, their checkouts and logs
    #[arg(long, value_name = "DIR", default_value = "/var/lib/trueup/local")]
    state: PathBuf,
    /// The ports that replicas are given, as FIRST-LAST
    #[arg(long, value_name = "RANGE", default_value = "20000-29999")]
    port_range: PortRange,
    /// A user beside root and this one that may ask: the daemon's
    #[arg(long, value_name = "USER")]
    peer: Vec<String>,
    /// The delegated cgroup v2 directory to use, or `off`; found by itself under systemd
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Size from which a log is cut back; as much again is kept aside
    #[arg(long, value_name = "SIZE", default_value = "10Mi", value_parser = Bytes::parse)]
    log_limit: Bytes,
    /// Stop what runs when it is ended
    #[arg(long, hide = true)]
    stop_at_end: bool,
    #[command(flatten)]
    life: Life,
}

impl Supervise {
    fn options(&self) -> SuperviseOptions {
        let cgroup = match &self.cgroup {
            None => Choice::Detect,
            Some(directory) if directory.as_os_str() == "off" => Choice::Off,
            Some(directory) => Choice::At(directory.clone()),
        };
        let mut options = SuperviseOptions::new(&self.socket, &self.state);
        options.ports = self.port_range;
        options.peers.clone_from(&self.peer);
        options.cgroup = cgroup;
        options.log_limit = self.log_limit.0;
        if self.stop_at_end {
            options.at_end = AtEnd::Stop;
        }
        options
    }
}

/// Supervises until SIGTERM or SIGINT; what runs then goes on running.
pub(super) fn run(verb: &Supervise) -> anyhow::Result<Outcome> {
    verb.life.tie_to_parent()?;
    config::start_log(&Settings::default().log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let asked_to_end = config::asked_to_end()?;
        supervise(verb.options(), asked_to_end).await?;
        Ok(Outcome::Done)
    })
}
