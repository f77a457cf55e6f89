//! A whole installation: the real binary as daemon and supervisor on temporary state, a repository, and the command line
//! as a user types it. Everything ends and goes when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trueup::git::sample::SampleRepository;

/// The binary under test.
pub const TRUEUP: &str = env!("CARGO_BIN_EXE_trueup");

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command line without anything of this process's environment that it would listen to.
pub fn trueup(arguments: &[&str]) -> Command {
    let mut command = Command::new(TRUEUP);
    command.args(arguments).stdin(Stdio::null());
    for variable in ["TRUEUP_SOCKET", "TRUEUP_URL", "TRUEUP_TOKEN", "TRUEUP_STATE", "TRUEUP_CONFIG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.env("TZ", "UTC");
    command
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a command line and takes down what it said.
pub fn say(arguments: &[&str]) -> Said {
    trueup(arguments).output().unwrap().into()
}

/// Waits until something is so; panics with `what` where it does not come to be.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Daemon, supervisor, repository.
pub struct Installation {
    folder: TempDir,
    children: Vec<Child>,
    pub repository: SampleRepository,
}

impl Drop for Installation {
    fn drop(&mut self) {
        // The daemon first; the supervisor then stops what it runs.
        while let Some(mut child) = self.children.pop() {
            end(&mut child);
        }
    }
}

/// SIGTERM, and after a while SIGKILL.
pub fn end(child: &mut Child) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    if child.try_wait().unwrap().is_some() {
        return;
    }
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

impl Installation {
    /// A daemon and a supervisor that answer, and an empty repository.
    pub fn new() -> Self {
        Installation::with_settings("")
    }

    /// The same, where the daemon's `trueup.toml` holds these settings.
    pub fn with_settings(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-cli-").tempdir().unwrap();
        let repository = SampleRepository::create(&folder.path().join("repository")).unwrap();
        let mut installation = Installation { folder, children: Vec::new(), repository };
        let state = installation.state();
        let mut private = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700).recursive(true);
        private.create(state.join("run")).unwrap();
        let supervise = state.join("run/supervise.sock");
        installation.launch(
            "supervisor",
            &[
                "supervise",
                "--cgroup",
                "off",
                "--stop-at-end",
                "--with-parent",
                "--port-range",
                &super::local::own_ports(),
                "--socket",
                supervise.to_str().unwrap(),
            ],
        );
        let config = installation.config();
        std::fs::write(config, settings).unwrap();
        installation.start_daemon();
        until("the supervisor answers", || std::os::unix::net::UnixStream::connect(&supervise).is_ok());
        installation
    }

    /// Starts the daemon, again where it was ended, and waits until it answers.
    pub fn start_daemon(&mut self) {
        let config = self.config();
        self.launch("daemon", &["serve", "--with-parent", "--config", config.to_str().unwrap()]);
        until("the daemon answers", || self.say(&["project", "list"]).code == 0);
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("trueup.toml")
    }

    /// Kills the daemon (SIGKILL), as a crash would end it.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.children.pop().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Asks the daemon to end (SIGTERM) and hands it out: it may have work to finish.
    pub fn ask_daemon_to_end(&mut self) -> Child {
        let daemon = self.children.pop().unwrap();
        let pid = rustix::process::Pid::from_raw(daemon.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        daemon
    }

    fn launch(&mut self, name: &str, arguments: &[&str]) {
        let log = self.folder.path().join(format!("{name}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let state = if name == "daemon" { self.state() } else { self.state().join("local") };
        let child = trueup(arguments).arg("--state").arg(state).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.children.push(child);
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap()
    }

    /// A command line against this daemon.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = trueup(arguments);
        command.env("TRUEUP_SOCKET", self.state().join("run/trueup.sock"));
        command
    }

    /// Runs it.
    pub fn say(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs it and expects an exit code.
    pub fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.say(arguments);
        assert_eq!(said.code, code, "trueup {}\n{}\n{}\n{}", arguments.join(" "), said.out, said.err, self.log());
        said.out
    }

    /// What it printed, with everything that is different every time replaced by a word: digests, commits, times, this
    /// installation's paths and ports.
    pub fn settled(&self, text: &str) -> String {
        let text = text.replace(TRUEUP, "/usr/bin/trueup").replace(self.folder.path().to_str().unwrap(), "/FOLDER");
        settled(&text)
    }
}

/// As [`Installation::settled`], for what knows no installation.
pub fn settled(text: &str) -> String {
    let rules = [
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
        (r"\b\d+ (s|min) ago\b", "JUST NOW"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\b[0-9a-f]{8}\b", "COMMIT"),
        (r"port \d+", "port PORT"),
        (r"[\w.-]+ \(uid \d+\)", "SOMEONE (uid UID)"),
        (r"after \d+ s", "after A MOMENT"),
        (r"within \d+m?s(\d+ms)?", "within A MOMENT"),
        (r"(succeeded|failed)  COMMIT  JUST NOW \(TIME\)  \d+ s ", "$1  COMMIT  JUST NOW (TIME)  MOMENT "),
        (r"(\S)  +", "$1  "),
    ];
    let mut text = text.to_owned();
    for (pattern, word) in rules {
        text = regex_lite::Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text
}
