//! Where the story takes place: a temporary folder, the sample repository, the daemon and the supervisor, and the way
//! to run a command against them. Clears away all of it.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::cli::client::{Client, Endpoint};
use crate::cli::quickstart::docker::Engine;
use crate::git::sample::SampleRepository;
use crate::http::dto::VersionView;

/// What the sample repository holds.
const README: &str = include_str!("../../../testdata/sample/README.md");
const LOCAL_FILE: &str = include_str!("../../../testdata/sample/local.trueup.yml");
const DOCKER_FILE: &str = include_str!("../../../testdata/sample/docker.trueup.yml");

/// How long the daemon may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest path of a Unix socket (sun_path of unix(7), less its terminating zero).
const SOCKET_PATH_MAX: usize = 107;

/// Where the sample's service runs.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// As a process of this machine.
    Local,
    /// As a container.
    Docker {
        /// Its image.
        image: String,
    },
}

/// The set and its stage hands.
pub(super) struct Stage {
    folder: tempfile::TempDir,
    target: Target,
    project: String,
    children: Vec<(&'static str, Child)>,
}

impl Stage {
    /// An empty stage.
    ///
    /// # Errors
    /// No temporary folder can be made, or its path is too long for sockets.
    pub(super) fn new(target: Target) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trueup-quickstart-").tempdir()?;
        // Containers are known by their project's name, which must then be nobody else's.
        let project = match &target {
            Target::Local => "sample".to_owned(),
            Target::Docker { .. } => format!("sample-{}", std::process::id()),
        };
        let stage = Stage { folder, target, project, children: Vec::new() };
        let socket = stage.supervisor_socket();
        ensure!(
            socket.as_os_str().len() <= SOCKET_PATH_MAX,
            "{} is too long for a socket's path; set TMPDIR to a shorter one",
            socket.display()
        );
        Ok(stage)
    }

    /// Where the service runs.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The project's name.
    pub(super) fn project(&self) -> &str {
        &self.project
    }

    /// The environment, as the commands name it.
    pub(super) fn environment(&self) -> String {
        format!("{}/demo", self.project)
    }

    /// The repository's folder.
    pub(super) fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// The daemon's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.state().join("run/trueup.sock")
    }

    fn supervisor_socket(&self) -> PathBuf {
        self.state().join("run/supervise.sock")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The supervisor's process, where there is one.
    pub(super) fn supervisor(&self) -> Option<u32> {
        self.children.iter().find(|(name, _)| *name == "supervisor").and_then(|(_, child)| child.id())
    }

    /// The declaring file as it is committed first.
    pub(super) fn file(&self) -> &'static str {
        match &self.target {
            Target::Local => LOCAL_FILE,
            Target::Docker { .. } => DOCKER_FILE,
        }
    }

    /// Makes the repository with its first commit.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn make_repository(&self) -> anyhow::Result<SampleRepository> {
        let repository = SampleRepository::create(&self.repository())?;
        let files = [(".trueup.yml", self.file()), ("README.md", README)];
        repository.commit(&files, "Declare what should run", Timestamp::now())?;
        Ok(repository)
    }

    /// Commits another declaring file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn commit(&self, repository: &SampleRepository, file: &str, message: &str) -> anyhow::Result<()> {
        repository.commit(&[(".trueup.yml", file), ("README.md", README)], message, Timestamp::now())?;
        Ok(())
    }

    /// Starts the daemon (and the supervisor) and waits until it answers.
    ///
    /// # Errors
    /// One of them ended, or no answer came in time.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        for folder in [self.state(), self.state().join("run"), self.state().join("local")] {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let state = self.state().display().to_string();
        // Settings of its own: those of a daemon that is installed here are none of its business.
        let config = self.folder.path().join("trueup.toml");
        std::fs::write(&config, "").with_context(|| format!("{} cannot be written", config.display()))?;
        let config = config.display().to_string();
        if matches!(self.target, Target::Local) {
            let (socket, local) = (self.supervisor_socket().display().to_string(), format!("{state}/local"));
            let supervise =
                ["supervise", "--config", &config, "--socket", &socket, "--state", &local, "--cgroup", "off"];
            self.launch("supervisor", &[&supervise[..], &["--stop-at-end", "--with-parent"]].concat())?;
        }
        self.launch("daemon", &["serve", "--config", &config, "--state", &state, "--with-parent"])?;
        let client = Client::new(Endpoint::Socket(self.socket()))?;
        let deadline = Instant::now() + START_TIMEOUT;
        while client.get::<VersionView>("/version").await.is_err() {
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("the {name} ended ({status})");
                }
            }
            ensure!(Instant::now() < deadline, "the daemon did not answer within {} s", START_TIMEOUT.as_secs());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn launch(&mut self, name: &'static str, arguments: &[&str]) -> anyhow::Result<()> {
        let log = File::create(self.log(name))?;
        let child = Command::new(own_binary()?)
            .args(arguments)
            .env_remove("TRUEUP_SOCKET")
            .env_remove("TRUEUP_URL")
            .env_remove("TRUEUP_STATE")
            .env_remove("TRUEUP_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is meant for the story; its hands are told to end when it is over.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the {name} could not be started"))?;
        self.children.push((name, child));
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Runs a command against the stage's daemon, its output where this process's goes, and gives its exit code.
    ///
    /// # Errors
    /// It could not be started, or was killed.
    pub(super) async fn run(&self, arguments: &[&str]) -> anyhow::Result<i32> {
        let status = Command::new(own_binary()?)
            .args(arguments)
            .env("TRUEUP_SOCKET", self.socket())
            .env_remove("TRUEUP_URL")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await?;
        status.code().with_context(|| format!("`trueup {}` was killed", arguments.join(" ")))
    }

    /// The last lines of every log.
    ///
    /// # Errors
    /// A log cannot be read.
    pub(super) fn last_words(&self) -> anyhow::Result<Vec<(&'static str, Vec<String>)>> {
        let mut words = Vec::new();
        for (name, _) in &self.children {
            let text = std::fs::read_to_string(self.log(name))?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            words.push((*name, lines[lines.len().saturating_sub(20)..].to_vec()));
        }
        Ok(words)
    }

    /// Ends what was started, the daemon first, and removes everything.
    ///
    /// # Errors
    /// Something could not be ended or removed; the rest was tried all the same.
    pub(super) async fn clear(mut self) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        while let Some((name, child)) = self.children.pop() {
            if let Err(error) = end(child).await {
                problems.push(format!("the {name}: {error}"));
            }
        }
        if matches!(self.target, Target::Docker { .. })
            && let Err(error) = Engine::new()?.sweep(&self.project).await
        {
            problems.push(format!("its containers: {error:#}"));
        }
        let path = self.folder.path().to_owned();
        if let Err(error) = self.folder.close() {
            problems.push(format!("{}: {error}", path.display()));
        }
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        Ok(())
    }
}

/// Asks a process to end, and makes it where it does not.
async fn end(mut child: Child) -> anyhow::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        match kill_process(pid, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match tokio::time::timeout(END_TIMEOUT, child.wait()).await {
        Ok(ended) => {
            ended?;
        }
        Err(_) => child.kill().await?,
    }
    Ok(())
}

/// The program that this process is: the very one whose story is told.
pub(super) fn own_binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("this program's own file cannot be found")?;
    ensure!(Path::new(&path).exists(), "{} was replaced while it ran; start the quickstart again", path.display());
    Ok(path)
}
