//! A machine with a supervisor: the real program, on a state folder and ports of its own. What it started ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::Instant;
use trueup::ids::{CommitSha, EnvironmentRef, SecretName, ServiceName, SourceHash};
use trueup::live::field::FieldPath;
use trueup::live::value::{RestartPolicy, SecretValue, Value};
use trueup::live::{LiveReplica, Observed, ReplicaId};
use trueup::provider::local::{Checkout, LocalProvider};
use trueup::provider::{Progress, Provider, ReplicaSpec, StepError};
use trueup::sync::gate::SyncPermit;

/// The program under test.
pub const TRUEUP: &str = env!("CARGO_BIN_EXE_trueup");

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Ports of one test.
const PORTS: u16 = 20;

static RANGES: AtomicU16 = AtomicU16::new(0);

/// A range of ports that no other test at work uses.
pub fn own_ports() -> String {
    let slot = (std::process::id() as u16).wrapping_mul(31).wrapping_add(RANGES.fetch_add(1, Ordering::Relaxed)) % 450;
    let first = 20_000 + slot * PORTS;
    format!("{first}-{}", first + PORTS - 1)
}

/// A supervisor and what belongs to it.
pub struct Machine {
    folder: TempDir,
    arguments: Vec<String>,
    range: String,
    supervisor: Option<Child>,
}

impl Machine {
    /// A machine whose supervisor runs.
    pub async fn new() -> Self {
        Self::with(&["--cgroup", "off"]).await
    }

    /// The same with further arguments for the supervisor.
    pub async fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-local-").tempdir().unwrap();
        // Other users' replicas must be able to pass through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let range = own_ports();
        let mut machine = Machine { folder, arguments, range, supervisor: None };
        machine.start().await;
        machine
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder().join("supervise.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    pub fn range(&self) -> &str {
        &self.range
    }

    /// A replica's folder.
    pub fn replica(&self, id: &ReplicaId) -> PathBuf {
        self.state().join("replicas").join(&id.0)
    }

    /// What the supervisor logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("supervisor.log")).unwrap()
    }

    /// The supervisor's command line.
    pub fn command(&self) -> Command {
        let mut command = self.bare_command();
        command
            .args(["--port-range", &self.range, "--socket"])
            .arg(self.socket())
            .arg("--state")
            .arg(self.state())
            .args(&self.arguments);
        command
    }

    /// The same without a word on where and how.
    pub fn bare_command(&self) -> Command {
        let log =
            std::fs::File::options().append(true).create(true).open(self.folder().join("supervisor.log")).unwrap();
        let mut command = Command::new(TRUEUP);
        command
            .arg("supervise")
            .env_remove("TRUEUP_CONFIG")
            .env("RUST_LOG", "trueup=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// Starts the supervisor and waits until it answers.
    pub async fn start(&mut self) {
        let command = self.command();
        self.start_as(command).await;
    }

    /// Starts it by another command line, which has it answer at the same place.
    pub async fn start_as(&mut self, mut command: Command) {
        assert!(self.supervisor.is_none());
        self.supervisor = Some(command.spawn().unwrap());
        let socket = self.socket();
        until("the supervisor answers", || async { tokio::net::UnixStream::connect(&socket).await.is_ok() }).await;
    }

    /// `kill -9` of the supervisor.
    pub fn kill(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
    }

    /// Asks the supervisor to end, and waits for it.
    pub fn terminate(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        kill_process(Pid::from_child(&supervisor), Signal::TERM).unwrap();
        assert!(supervisor.wait().unwrap().success(), "{}", self.log());
    }

    /// The provider of `shop/production`, running as the test's user.
    pub fn provider(&self, code: &Code) -> LocalProvider {
        let settings = BTreeMap::from([("allow_own_user".to_owned(), "true".to_owned())]);
        self.provider_with(code, &settings, None)
    }

    pub fn provider_with(
        &self,
        code: &Code,
        settings: &BTreeMap<String, String>,
        run_as: Option<&str>,
    ) -> LocalProvider {
        LocalProvider::connect(shop(), settings, run_as, &self.socket(), Arc::new(code.clone())).unwrap()
    }

    /// Every process that a supervisor of this machine started, by the home directory in its environment.
    pub fn processes(&self) -> Vec<i32> {
        let home = format!("HOME={}/", self.folder().display());
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse::<i32>().ok()
        });
        numbers
            .filter(|pid| {
                // One that is gone, or a zombie, has no environment.
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(home.as_bytes()))
            })
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.kill().ok();
            supervisor.wait().ok();
        }
        for pid in self.processes() {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).ok();
        }
        if std::thread::panicking() {
            println!("--- the supervisor's log\n{}", self.log());
        }
    }
}

/// Commits as folders of files: what Git would lay down.
#[derive(Clone, Default)]
pub struct Code {
    commits: Arc<std::sync::Mutex<BTreeMap<CommitSha, BTreeMap<String, String>>>>,
}

impl Code {
    /// A commit with these files; scripts (`*.sh`) are executable.
    pub fn commit(&self, files: &[(&str, &str)]) -> CommitSha {
        let mut commits = self.commits.lock().unwrap();
        let commit: CommitSha = format!("{:040x}", commits.len() + 1).parse().unwrap();
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        commits.insert(commit.clone(), files);
        commit
    }
}

#[async_trait]
impl Checkout for Code {
    async fn checkout(&self, commit: &CommitSha, into: &Path) -> Result<(), String> {
        let files = self.commits.lock().unwrap().get(commit).cloned();
        for (path, text) in files.ok_or_else(|| format!("there is no commit {commit}"))? {
            let file = into.join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            let mode = if path.ends_with(".sh") { 0o755 } else { 0o644 };
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Ok(())
    }
}

/// What a replica is to be, owned.
#[derive(Clone)]
pub struct Wanted {
    pub service: ServiceName,
    pub index: u32,
    pub commit: Option<CommitSha>,
    pub leaves: BTreeMap<FieldPath, Value>,
    pub withdrawn: BTreeSet<FieldPath>,
    pub secrets: BTreeMap<SecretName, SecretString>,
    pub from: Option<ReplicaId>,
}

impl Wanted {
    /// A service `web` of a commit that runs these words.
    pub fn new(commit: &CommitSha, command: &[&str]) -> Self {
        let words = command.iter().map(|word| (*word).to_owned()).collect();
        let leaves = BTreeMap::from([
            (FieldPath::Source, Value::Source(source())),
            (FieldPath::Command, Value::Words(words)),
            (FieldPath::Stopped, Value::Flag(false)),
        ]);
        Wanted {
            service: "web".parse().unwrap(),
            index: 1,
            commit: Some(commit.clone()),
            leaves,
            withdrawn: BTreeSet::new(),
            secrets: BTreeMap::new(),
            from: None,
        }
    }

    /// A shell command line.
    pub fn shell(code: &Code, script: &str) -> Self {
        let commit = code.commit(&[("run.sh", &format!("#!/bin/sh\n{script}\n"))]);
        Self::new(&commit, &["./run.sh"])
    }

    /// The sample HTTP server.
    pub fn server(code: &Code) -> Self {
        Self::new(&code.commit(&[("README", "nothing to see")]), &[TRUEUP, "sample-server"])
    }

    pub fn leaf(mut self, field: FieldPath, value: Value) -> Self {
        self.leaves.insert(field, value);
        self
    }

    pub fn env(self, name: &str, value: &str) -> Self {
        self.leaf(FieldPath::Env(name.into()), Value::Text(value.into()))
    }

    pub fn secret(mut self, name: &str, value: &str) -> Self {
        let key: SecretName = name.to_lowercase().replace('_', "-").parse().unwrap();
        self.secrets.insert(key.clone(), value.to_owned().into());
        self.leaf(FieldPath::Env(name.into()), Value::Secret(SecretValue { name: Some(key), fingerprint: None }))
    }

    pub fn restart(self, policy: &str) -> Self {
        self.leaf(FieldPath::Restart, Value::Restart(RestartPolicy::from_word(policy).unwrap()))
    }

    pub async fn prepare(&self, provider: &LocalProvider, permit: &SyncPermit) -> Result<ReplicaId, StepError> {
        let spec = ReplicaSpec {
            service: &self.service,
            index: self.index,
            release: permit.run(),
            commit: self.commit.as_ref(),
            leaves: &self.leaves,
            withdrawn: &self.withdrawn,
            secrets: &self.secrets,
            from: self.from.as_ref(),
        };
        provider.prepare(permit, &spec, &Quiet).await
    }

    /// Prepares and starts it.
    pub async fn run(&self, provider: &LocalProvider, permit: &SyncPermit) -> ReplicaId {
        let replica = self.prepare(provider, permit).await.unwrap();
        provider.start(permit, &replica).await.unwrap();
        replica
    }
}

struct Quiet;

impl Progress for Quiet {
    fn line(&self, _text: &str) {}
}

pub fn shop() -> EnvironmentRef {
    "shop/production".parse().unwrap()
}

/// The source hash of every commit here.
pub fn source() -> SourceHash {
    "5".repeat(64).parse().unwrap()
}

/// The replicas that are seen now.
pub async fn replicas(provider: &LocalProvider) -> Vec<LiveReplica> {
    match provider.observe().await.services {
        Observed::Known(services) => services.into_values().flat_map(|service| service.replicas).collect(),
        Observed::Unknown(why) => panic!("nothing can be seen: {why}"),
    }
}

/// One replica as it is seen now.
pub async fn seen(provider: &LocalProvider, id: &ReplicaId) -> LiveReplica {
    replicas(provider).await.into_iter().find(|replica| replica.id == *id).unwrap()
}

/// One leaf of it; `None` where it is known to be absent.
pub async fn leaf(provider: &LocalProvider, id: &ReplicaId, field: FieldPath) -> Option<Value> {
    match seen(provider, id).await.leaves.remove(&field) {
        Some(Observed::Known(leaf)) => Some(leaf.value),
        Some(Observed::Unknown(why)) => panic!("{field} is unknown: {why}"),
        None => None,
    }
}

/// What `state.json` holds of a replica.
pub fn state_file(machine: &Machine, id: &ReplicaId) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(machine.replica(id).join("state.json")).unwrap()).unwrap()
}

/// The main process of a replica.
pub fn pid(machine: &Machine, id: &ReplicaId) -> i32 {
    state_file(machine, id)["process"]["pid"].as_i64().unwrap().try_into().unwrap()
}

/// Sends a signal to a process of a replica.
pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits until something holds, or fails.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    let mut look = tokio::time::interval(Duration::from_millis(15));
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        look.tick().await;
    }
}
