//! The daemon's own settings (`trueup.toml`), parsed strictly: an unknown key is an error with its place and a suggestion.
//!
//! Pure: reading the file is the command line's matter. Every default stands in [`Settings::default`] and in
//! docs/operations.md, and nowhere else.

mod file;
pub mod supervise;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::secret::AuthRef;
pub use crate::settings::supervise::{InvalidPortRange, PortRange, SuperviseSettings};

/// Where the settings are looked for.
pub const SETTINGS_FILE: &str = "/etc/trueup/trueup.toml";
/// The state directory where none is set.
pub const STATE_DIR: &str = "/var/lib/trueup";
/// Where the sockets are while the state directory is the default one.
pub const RUN_DIR: &str = "/run/trueup";
/// The supervisor's folder while the state directory is the default one: apart from it, since the users that its
/// processes run as must be able to pass through.
pub const SUPERVISE_STATE_DIR: &str = "/var/lib/trueup-local";
/// The daemon's socket within its directory.
pub const SOCKET_NAME: &str = "trueup.sock";
/// The supervisor's socket within its directory.
pub const SUPERVISOR_SOCKET_NAME: &str = "supervise.sock";

/// The daemon's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where everything that is kept is kept.
    pub state_dir: PathBuf,
    /// The daemon's Unix socket; see [`Settings::socket`].
    pub socket: Option<PathBuf>,
    /// The group whose members are operators.
    pub socket_group: String,
    /// The TCP address on which the API is served to bearer tokens; `None`: on none.
    pub listen: Option<SocketAddr>,
    /// Whether `listen` may be an address that other machines reach, although what is spoken there is not encrypted.
    pub listen_unencrypted: bool,
    /// The supervisor's Unix socket; see [`Settings::supervisor_socket`].
    pub supervisor_socket: Option<PathBuf>,
    /// Where people reach the daemon by browser, such as `https://trueup.acme.dev`, without a slash at the end: what
    /// reports link to, and where webhooks are sent to; `None`: reports link nowhere.
    pub public_url: Option<String>,
    /// Time between two looks at a project's repository.
    pub poll_interval: Duration,
    /// Time between two looks at what runs in an environment.
    pub observe_interval: Duration,
    /// Repositories of one host that are asked at once.
    pub max_polls_per_host: usize,
    /// Whether the daemon keeps from asking anyone outside by itself: no polling, no registries.
    pub offline: bool,
    /// How Git is read.
    pub git: GitLimits,
    /// How deliveries of webhooks are taken.
    pub webhooks: WebhookLimits,
    /// How registered outside services are looked at.
    pub integrations: IntegrationLooks,
    /// Who is notified of events.
    pub notify: Vec<NotifyTarget>,
    /// What is logged, and how.
    pub log: Log,
    /// What the supervisor is told.
    pub supervise: SuperviseSettings,
}

/// How deliveries of webhooks are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookLimits {
    /// The largest body, in bytes.
    pub max_body_bytes: u64,
}

/// How registered outside services are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegrationLooks {
    /// Time between two looks at one.
    pub interval: Duration,
    /// The most by which a look is earlier or later.
    pub jitter: Duration,
    /// How long a look may take.
    pub timeout: Duration,
}

/// A webhook that is notified of events.
#[derive(Clone, PartialEq, Eq)]
pub struct NotifyTarget {
    /// Where the notifications go; may be confidential, as some services name the recipient in the path.
    pub url: String,
    /// The reference to the secret that they are signed with; `None`: they are not signed.
    pub secret: Option<AuthRef>,
    /// Which events: their words, or `NOUN.*`.
    pub events: Vec<String>,
}

impl NotifyTarget {
    /// The host of its URL, which may be shown.
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }
}

impl fmt::Debug for NotifyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotifyTarget { url: _, secret, events } = self;
        f.debug_struct("NotifyTarget")
            .field("host", &self.host())
            .field("secret", secret)
            .field("events", events)
            .finish()
    }
}

/// How Git is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitLimits {
    /// Hosts that plain `http://` may go to, besides this machine.
    pub allowed_hosts: Vec<String>,
    /// How long a remote may take to answer, and to stay silent amid an answer.
    pub timeout: Duration,
    /// How long one fetch may take altogether.
    pub fetch_timeout: Duration,
    /// The largest file that is read of a repository, in bytes.
    pub max_file_bytes: u64,
    /// The most that the mirror of one repository takes on disk, in bytes.
    pub max_mirror_bytes: u64,
    /// The known_hosts file for `ssh://`; `None` is ssh's own.
    pub known_hosts: Option<PathBuf>,
    /// Whether `ssh://` takes the key of a host it never met.
    pub accept_new_hosts: bool,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// From which level on.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs someone.
    Error,
    /// What may need someone.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
    /// All of it.
    Trace,
}

impl LogLevel {
    /// The level's word.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            state_dir: PathBuf::from(STATE_DIR),
            socket: None,
            socket_group: "trueup".into(),
            listen: None,
            listen_unencrypted: false,
            supervisor_socket: None,
            public_url: None,
            poll_interval: Duration::from_secs(60),
            observe_interval: Duration::from_secs(60),
            max_polls_per_host: 8,
            offline: false,
            git: GitLimits::default(),
            webhooks: WebhookLimits { max_body_bytes: 5 << 20 },
            integrations: IntegrationLooks::default(),
            notify: Vec::new(),
            log: Log { format: LogFormat::Text, level: LogLevel::Info },
            supervise: SuperviseSettings::default(),
        }
    }
}

impl Default for IntegrationLooks {
    fn default() -> Self {
        IntegrationLooks {
            interval: Duration::from_secs(60),
            jitter: Duration::from_secs(6),
            timeout: Duration::from_secs(10),
        }
    }
}

impl Default for GitLimits {
    fn default() -> Self {
        GitLimits {
            allowed_hosts: Vec::new(),
            timeout: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(15 * 60),
            max_file_bytes: 256 << 10,
            max_mirror_bytes: 4 << 30,
            known_hosts: None,
            accept_new_hosts: false,
        }
    }
}

impl Settings {
    /// Reads the text of a settings file. Keys that it does not hold have their defaults.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidSettings> {
        file::parse(text)
    }

    /// The daemon's socket: the one that is set, else `/run/trueup/trueup.sock`, else, with a state directory of one's
    /// own, `run/trueup.sock` in it.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.run_dir().join(SOCKET_NAME))
    }

    /// The supervisor's socket, beside the daemon's by the same rule.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.supervisor_socket.clone().unwrap_or_else(|| self.run_dir().join(SUPERVISOR_SOCKET_NAME))
    }

    /// The supervisor's folder: the one that is set, else `/var/lib/trueup-local`, else, with a state directory of one's
    /// own, `local` in it.
    pub fn supervise_state_dir(&self) -> PathBuf {
        let beside = || if self.is_usual() { SUPERVISE_STATE_DIR.into() } else { self.state_dir.join("local") };
        self.supervise.state_dir.clone().unwrap_or_else(beside)
    }

    fn run_dir(&self) -> PathBuf {
        if self.is_usual() { PathBuf::from(RUN_DIR) } else { self.state_dir.join("run") }
    }

    fn is_usual(&self) -> bool {
        self.state_dir == Path::new(STATE_DIR)
    }

    /// Every key of the file, tables' keys with their table's name and a dot. The documentation is held to this list.
    pub fn keys() -> Vec<String> {
        file::keys()
    }
}

/// Why a text is no settings file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}{}", .help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default())]
pub struct InvalidSettings {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

#[cfg(test)]
mod tests;
