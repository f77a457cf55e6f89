//! One process, identified so that it is never mistaken for another: its number, its start time and the boot it
//! belongs to. Numbers are used again; the three together are not.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::provider::local::supervisor::policy::Ending;

/// Which process, beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// Its start, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub started: u64,
    /// The boot: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `D`, `Z`, `T` …
    pub state: char,
    /// Field 6: its session.
    pub session: i32,
    /// Field 22: its start.
    pub started: u64,
}

/// The id of this boot.
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What `/proc` says of a process; `None` where there is none of that number.
///
/// # Errors
/// `/proc` cannot be read or says something unexpected.
pub fn stat(pid: i32) -> io::Result<Option<Stat>> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => match parse_stat(&text) {
            Some(stat) => Ok(Some(stat)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not as expected"))),
        },
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error of reading below `/proc/PID` means that the process is gone.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

// The command's name, in brackets, may itself hold brackets and blanks: what follows the last bracket counts.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

impl Identity {
    /// The process that has this number now.
    ///
    /// # Errors
    /// As [`stat`].
    pub fn of(pid: i32, boot: &str) -> io::Result<Option<Self>> {
        Ok(stat(pid)?.map(|stat| Identity { pid, started: stat.started, boot: boot.to_owned() }))
    }

    /// What `/proc` says of exactly this process; `None` where it is gone, even if its number is in use again.
    ///
    /// # Errors
    /// As [`stat`].
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        Ok(stat(self.pid)?.filter(|stat| stat.started == self.started))
    }

    /// A handle on exactly this process, which stays right when the number is used again.
    ///
    /// # Errors
    /// The kernel refused, or `/proc` cannot be read.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the handle was opened: if it is still the process that was meant, so is the handle.
        Ok(self.stat()?.map(|_| handle))
    }

    /// Sends a signal to exactly this process; false where it is gone.
    ///
    /// # Errors
    /// Not allowed, or as [`Identity::open`].
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match self.open()? {
            Some(handle) => match pidfd_send_signal(&handle, signal) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::SRCH) => Ok(false),
                Err(error) => Err(error.into()),
            },
            None => Ok(false),
        }
    }
}

#[expect(
    deprecated,
    reason = "deprecated for types whose AsRawFd may change its answer, which OwnedFd's does not; its successor is unsafe"
)]
fn watch(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(handle, Interest::READABLE)
}

/// A running process that is watched: a child, or one that an earlier supervisor left.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    handle: AsyncFd<OwnedFd>,
    child: Option<Child>,
}

impl Process {
    /// Watches a child.
    ///
    /// # Errors
    /// As [`Identity::open`]. The child is given back so that it can be reaped.
    pub fn child(identity: Identity, child: Child) -> Result<Self, (io::Error, Child)> {
        let handle = match identity.open().and_then(|handle| {
            let handle = handle.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            watch(handle)
        }) {
            Ok(handle) => handle,
            Err(error) => return Err((error, child)),
        };
        Ok(Process { identity, handle, child: Some(child) })
    }

    /// Watches a process that an earlier supervisor started; `None` where it is gone.
    ///
    /// # Errors
    /// As [`Identity::open`].
    pub fn adopt(identity: Identity) -> io::Result<Option<Self>> {
        if !identity.stat()?.is_some_and(|stat| !matches!(stat.state, 'Z' | 'X')) {
            return Ok(None);
        }
        let Some(handle) = identity.open()? else { return Ok(None) };
        let handle = watch(handle)?;
        Ok(Some(Process { identity, handle, child: None }))
    }

    /// Which process.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until it has ended (pidfd_open(2): a pidfd is readable from then on).
    ///
    /// # Errors
    /// The event loop is gone.
    pub async fn ended(&self) -> io::Result<()> {
        self.handle.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Reaps it after its end and says how it ended.
    ///
    /// # Errors
    /// The kernel has no answer.
    pub fn reap(mut self) -> io::Result<Ending> {
        let Some(child) = &mut self.child else { return Ok(Ending::Unseen) };
        let status = child.wait()?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Signalled(signal),
            (None, None) => Ending::Unseen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Stat, boot_id, parse_stat};

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let line = "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 0 0 18446744073709551615\n";
        assert_eq!(parse_stat(line), Some(Stat { state: 'S', session: 42, started: 987_654 }));
        assert_eq!(parse_stat("42 (sh) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let boot = boot_id().expect("linux");
        let own = i32::try_from(std::process::id()).expect("fits");
        let me = Identity::of(own, &boot).expect("readable").expect("runs");
        assert!(me.stat().expect("readable").is_some());
        let earlier = Identity { started: me.started - 1, ..me };
        assert!(earlier.stat().expect("readable").is_none());
        assert!(earlier.open().expect("readable").is_none());
    }
}
