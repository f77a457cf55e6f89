//! The sample's process, and what someone does to it by hand behind Trueup's back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The replica's process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replica {
    pid: i32,
    port: u16,
}

impl Replica {
    /// The one that a supervisor has started.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn of(supervisor: u32) -> anyhow::Result<Self> {
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if parent_of(pid) != Some(supervisor) {
                continue;
            }
            if let Some(port) = port_of(pid) {
                return Ok(Replica { pid, port });
            }
        }
        anyhow::bail!("the sample's process was not found below the supervisor ({supervisor})")
    }

    /// Its process number.
    pub(super) fn pid(self) -> i32 {
        self.pid
    }

    /// The port it listens on.
    pub(super) fn port(self) -> u16 {
        self.port
    }

    /// Sets its memory limit, as `prlimit --pid PID --as=BYTES:` does.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn limit_memory(self, bytes: u64) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid).context("a process number of 0")?;
        let unchanged = prlimit(Some(pid), Resource::As, Rlimit { current: Some(bytes), maximum: None });
        // Only root may lift the hard limit; anyone may set the soft one below it.
        let hard = match unchanged {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::PERM) => hard_limit(self.pid)?,
            Err(error) => return Err(error.into()),
        };
        prlimit(Some(pid), Resource::As, Rlimit { current: Some(bytes), maximum: hard })?;
        Ok(())
    }

    /// What it answers.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn answer(self) -> anyhow::Result<String> {
        let timeout = Duration::from_secs(5);
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.take(64 << 10).read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no HTTP reply")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "it answered {head}");
        Ok(body.trim_end().to_owned())
    }
}

/// The fourth field of /proc/PID/stat (proc_pid_stat(5)); the second, in parentheses, may itself hold anything.
fn parent_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn port_of(pid: i32) -> Option<u16> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entries = environ.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    entries.into_iter().find_map(|entry| entry.strip_prefix("PORT=")?.parse().ok())
}

fn hard_limit(pid: i32) -> anyhow::Result<Option<u64>> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    let hard = line.and_then(|line| line.split_ascii_whitespace().nth(1)).context("its limits cannot be read")?;
    if hard == "unlimited" { Ok(None) } else { Ok(Some(hard.parse()?)) }
}
