//! Starting a process so that none can exist unknown: it waits on a socket until its identity was written down, and
//! ends by itself if nobody lives to tell it to go on.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::provider::local::supervisor::exec::{Order, VERB};
use crate::provider::local::supervisor::process::{Identity, Process};

/// How long the step from process to program may take.
const EXEC_WITHIN: Duration = Duration::from_secs(20);

/// The longest complaint that is read.
const COMPLAINT_MAX: u64 = 4096;

/// Where a program's output goes.
pub(super) struct Output {
    /// Its standard output.
    pub(super) stdout: Stdio,
    /// Its standard error.
    pub(super) stderr: Stdio,
}

/// Starts a program. `write_down` is called with the process's identity before the program may run.
///
/// # Errors
/// Why it did not start, for people; nothing of it is left.
pub(super) async fn launch(
    binary: &Path,
    boot: &str,
    order: &Order,
    output: Output,
    write_down: impl FnOnce(&Identity) -> io::Result<()>,
) -> Result<Process, String> {
    let (process, ours) = begin(binary, boot, output).map_err(|error| format!("starting {VERB}: {error}"))?;
    let said = match write_down(process.identity()) {
        Ok(()) => tokio::time::timeout(EXEC_WITHIN, tell(ours, order)).await,
        // Dropping our end ends the process.
        Err(error) => {
            drop(ours);
            return Err(given_up(process, format!("writing its identity down: {error}")).await);
        }
    };
    match said {
        Ok(Ok(complaint)) if complaint.is_empty() => Ok(process),
        Ok(Ok(complaint)) => Err(given_up(process, complaint).await),
        Ok(Err(error)) => Err(given_up(process, format!("handing over its order: {error}")).await),
        Err(_elapsed) => Err(given_up(process, "it did not become the program in time".into()).await),
    }
}

fn begin(binary: &Path, boot: &str, output: Output) -> io::Result<(Process, UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut child = Command::new(binary)
        .arg(VERB)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(output.stdout)
        .stderr(output.stderr)
        .spawn()?;
    let watched = (|| {
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let identity = Identity::of(pid, boot)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok((identity, ours))
    })();
    match watched {
        Ok((identity, ours)) => match Process::child(identity, child) {
            Ok(process) => Ok((process, ours)),
            Err((error, child)) => Err(end_child(child, error)),
        },
        Err(error) => {
            child.kill()?;
            Err(end_child(child, error))
        }
    }
}

fn end_child(mut child: Child, error: io::Error) -> io::Error {
    match child.kill().and_then(|()| child.wait()) {
        Ok(_status) => error,
        Err(second) => io::Error::new(error.kind(), format!("{error}; and ending it: {second}")),
    }
}

async fn tell(mut socket: UnixStream, order: &Order) -> io::Result<String> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(order).map_err(io::Error::other)?);
    line.push(b'\n');
    socket.write_all(&line).await?;
    let mut complaint = Vec::new();
    socket.take(COMPLAINT_MAX).read_to_end(&mut complaint).await?;
    Ok(String::from_utf8_lossy(&complaint).into_owned())
}

// A process that never became its program has no children and heeds no signal handler: it is killed and reaped.
async fn given_up(process: Process, why: String) -> String {
    let ended = async {
        process.identity().signal(rustix::process::Signal::KILL)?;
        process.ended().await?;
        process.reap()
    };
    match ended.await {
        Ok(_ending) => why,
        Err(error) => format!("{why}; and ending it: {error}"),
    }
}
