//! `trueup supervise`: owns the processes of `local` environments, in a process of its own.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Outcome;
use crate::live::quantity::Bytes;
use crate::provider::local::supervisor::cgroup::Choice;
use crate::provider::local::supervisor::{SuperviseOptions, supervise};
use crate::settings::PortRange;

/// Own the processes of `local` environments, apart from the daemon
#[derive(Debug, Args)]
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
        options
    }
}

/// Supervises until SIGTERM or SIGINT; what runs then goes on running.
pub(super) fn run(verb: &Supervise) -> anyhow::Result<Outcome> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let asked_to_end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        supervise(verb.options(), asked_to_end).await?;
        Ok(Outcome::Done)
    })
}
