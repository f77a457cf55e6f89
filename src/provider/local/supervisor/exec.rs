//! The last step before a replica's program: a process of this same binary (`trueup supervise-exec`) that reads what
//! it is to become from its standard input, gives up what it must, and becomes it.
//!
//! It exists because a session, limits and another user can only be taken on safely between fork and exec by a process
//! with a single thread, and because what is written to a socket stands in no command line.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::provider::local::supervisor::replica::EnvValues;
use crate::provider::local::supervisor::user::User;

/// The hidden verb that `main` must answer with [`supervise_exec`] before it does anything else.
pub const VERB: &str = "supervise-exec";

/// The longest order, in bytes.
const ORDER_MAX: u64 = 4 << 20;

/// What the process is to become.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The words; the first is looked up in the `PATH` of `env` unless it holds a slash.
    pub(super) argv: Vec<String>,
    /// The whole environment.
    pub(super) env: EnvValues,
    /// Where it starts.
    pub(super) directory: PathBuf,
    /// The user it gives itself up for; `None` to stay who it is.
    pub(super) user: Option<User>,
    /// The cgroup it joins.
    pub(super) cgroup: Option<PathBuf>,
    /// `RLIMIT_AS` in bytes.
    pub(super) address_space: Option<u64>,
    /// Whether it is killed when the supervisor ends: a probe, which nobody would otherwise end.
    pub(super) dies_with_supervisor: bool,
}

/// Why the program could not be started. There is no other way to return from [`supervise_exec`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(String);

/// Reads an order from standard input, carries it out and becomes the program. Returns only on failure, after having
/// told the supervisor over the same socket. Must be called before any thread is started.
pub fn supervise_exec() -> ExecError {
    let failure = |what: &str, error: io::Error| ExecError(format!("{what}: {error}"));
    let order = match read_order() {
        Ok(order) => order,
        Err(error) => return failure("reading the order", error),
    };
    // The socket closes by itself when the program is there: that is how the supervisor learns of success.
    let report = match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) {
        Ok(report) => report,
        Err(error) => return failure("keeping the socket", error.into()),
    };
    let error = carry_out(order);
    let mut report = std::os::unix::net::UnixStream::from(report);
    match report.write_all(error.0.as_bytes()) {
        Ok(()) => error,
        Err(unsent) => ExecError(format!("{error} (and the supervisor could not be told: {unsent})")),
    }
}

fn read_order() -> io::Result<Order> {
    let mut line = zeroize::Zeroizing::new(Vec::new());
    let count = io::stdin().lock().take(ORDER_MAX).read_until(b'\n', &mut line)?;
    if count == 0 || line.last() != Some(&b'\n') {
        // The supervisor ended before it had written down that this process exists: nothing must come of it.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn carry_out(order: Order) -> ExecError {
    let Order { argv, env, directory, user, cgroup, address_space, dies_with_supervisor } = order;
    let Some((program, arguments)) = argv.split_first() else { return ExecError("the command is empty".into()) };
    if let Err(error) = take_on(user.as_ref(), cgroup, address_space) {
        return error;
    }
    if dies_with_supervisor
        && let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        return ExecError(format!("tying it to the supervisor: {error}"));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(&directory);
    for (name, value) in &env.0 {
        command.env(name, value.expose_secret());
    }
    if let Err(error) = std::fs::read_dir(&directory).map(drop)
        && !matches!(error.kind(), io::ErrorKind::PermissionDenied)
    {
        return ExecError(format!("its working directory {}: {error}", directory.display()));
    }
    let error = command.exec();
    ExecError(match error.kind() {
        io::ErrorKind::NotFound => format!(
            "`{program}`: no such program (in {}, or the interpreter it names is missing)",
            if program.contains('/') { directory.display().to_string() } else { "PATH".to_owned() }
        ),
        io::ErrorKind::PermissionDenied => format!(
            "`{program}`: permission denied: is it executable, and may {} read {}?",
            user.as_ref().map_or("this user", |user| user.name.as_str()),
            directory.display()
        ),
        _ => format!("`{program}`: {error}"),
    })
}

fn take_on(user: Option<&User>, cgroup: Option<PathBuf>, address_space: Option<u64>) -> Result<(), ExecError> {
    let failed = |what: &'static str| move |error: rustix::io::Errno| ExecError(format!("{what}: {error}"));
    rustix::process::setsid().map_err(failed("starting a session"))?;
    let null = std::fs::File::open("/dev/null").map_err(|error| ExecError(format!("/dev/null: {error}")))?;
    rustix::stdio::dup2_stdin(&null).map_err(failed("giving up standard input"))?;
    if let Some(cgroup) = cgroup {
        let file = cgroup.join("cgroup.procs");
        std::fs::write(&file, "0").map_err(|error| ExecError(format!("joining {}: {error}", file.display())))?;
    }
    if let Some(bytes) = address_space {
        let old = getrlimit(Resource::As);
        setrlimit(Resource::As, address_space_limit(bytes, old)).map_err(failed("limiting memory (RLIMIT_AS)"))?;
    }
    if let Some(user) = user {
        let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (gid, uid) = (Gid::from_raw(user.gid), Uid::from_raw(user.uid));
        rustix::thread::set_thread_groups(&groups).map_err(failed("taking on the user's groups"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("taking on the user's group"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("taking on the user"))?;
    }
    Ok(())
}

/// The limit to set: hard as well as soft where root sets it, which may raise it again; else soft alone, or it could
/// never be raised in place.
pub(super) fn address_space_limit(bytes: u64, old: Rlimit) -> Rlimit {
    let maximum = if rustix::process::geteuid().is_root() { Some(bytes) } else { old.maximum };
    Rlimit { current: Some(bytes), maximum }
}
