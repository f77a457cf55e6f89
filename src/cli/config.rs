//! What `serve`, `supervise` and `doctor` share: the settings file; and the first two: the log, and when to end.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Log, LogFormat, SETTINGS_FILE, Settings};

/// Where the settings come from.
#[derive(Clone, Debug, Args)]
pub(super) struct Config {
    /// The settings file, instead of /etc/trueup/trueup.toml; without one, the defaults hold
    #[arg(long, value_name = "FILE", env = "TRUEUP_CONFIG")]
    config: Option<PathBuf>,
}

/// Whether a process outlives the one that started it.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Life {
    /// End when the process that started this one ends
    #[arg(long, hide = true)]
    with_parent: bool,
}

impl Config {
    /// The file.
    pub(super) fn path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(SETTINGS_FILE))
    }

    /// Whether it was named: only one that was not may be missing.
    pub(super) fn is_named(&self) -> bool {
        self.config.is_some()
    }

    /// The settings that it holds.
    ///
    /// # Errors
    /// A file that was named and cannot be read, or one that is not valid, with the place.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let path = self.path();
        match std::fs::read_to_string(path) {
            Ok(text) => Settings::parse(&text).with_context(|| format!("{} is not valid", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.is_named() => Ok(Settings::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

impl Life {
    /// Ties this process's life to its parent's, where that was asked for. To be called before any thread is started.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn tie_to_parent(&self) -> anyhow::Result<()> {
        if self.with_parent {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
                .context("this process could not be tied to its parent")?;
        }
        Ok(())
    }
}

/// Starts the log, on standard error or, under systemd, in the journal. `TRUEUP_LOG` (or
/// `RUST_LOG`) refines what is logged (`info,trueup::git=debug`).
///
/// # Errors
/// The variable is not valid, or the journal cannot be written.
pub(super) fn start_log(log: &Log) -> anyhow::Result<()> {
    let level = log.level.word();
    // What libraries say below a warning is of use only to someone who asks for it.
    let default = format!("warn,trueup={level}");
    let wanted = std::env::var("TRUEUP_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let directives = wanted.as_deref().unwrap_or(&default);
    let filter = EnvFilter::try_new(directives).context("TRUEUP_LOG (or RUST_LOG) is not valid")?;
    let registry = tracing_subscriber::registry().with(filter);
    // systemd sets this where standard error goes to the journal.
    if std::env::var_os("JOURNAL_STREAM").is_some() && log.format == LogFormat::Text {
        let journal = tracing_journald::layer().context("the journal cannot be written")?;
        registry.with(journal).try_init()?;
        return Ok(());
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
            registry.with(lines.with_ansi(colour)).try_init()?;
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

/// Completes when the process is asked to end: SIGTERM, or Ctrl-C.
///
/// # Errors
/// The signals cannot be listened to.
pub(super) fn asked_to_end() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
