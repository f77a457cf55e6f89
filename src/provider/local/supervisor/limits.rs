//! How much a replica may use: by its cgroup where one was delegated, else by `RLIMIT_AS`, which holds for each of its
//! processes by itself and counts address space, not memory in use. There is no such makeshift for CPU.

use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, getrlimit, prlimit};

use crate::live::Observed;
use crate::live::quantity::{Bytes, NanoCpus};
use crate::provider::local::supervisor::cgroup::{self, Delegated};
use crate::provider::local::supervisor::exec::address_space_limit;
use crate::provider::local::supervisor::process::Identity;
use crate::provider::local::supervisor::protocol::LimitsBackend;
use crate::provider::local::supervisor::session::Session;

/// How limits are kept on this machine.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    delegated: Result<Delegated, String>,
}

impl Limits {
    /// Finds out.
    pub(super) fn find(choice: &cgroup::Choice) -> Self {
        Limits { delegated: cgroup::delegated(choice) }
    }

    /// The same for people and for the daemon.
    pub(super) fn backend(&self) -> LimitsBackend {
        match &self.delegated {
            Ok(Delegated { directory, memory, cpu }) => LimitsBackend {
                cgroup: Some(directory.display().to_string()),
                memory: *memory,
                cpu: *cpu,
                why_not: match (memory, cpu) {
                    (true, true) => String::new(),
                    _ => format!("{} lacks the memory or cpu controller", directory.display()),
                },
            },
            Err(why) => LimitsBackend { cgroup: None, memory: false, cpu: false, why_not: why.clone() },
        }
    }

    /// A replica's cgroup.
    pub(super) fn cgroup(&self, id: &str) -> Option<PathBuf> {
        self.delegated.as_ref().ok().map(|delegated| delegated.directory.join(id))
    }

    fn cgroup_with(&self, id: &str, controller: fn(&Delegated) -> bool) -> Option<PathBuf> {
        self.delegated.as_ref().ok().filter(|delegated| controller(delegated)).and_then(|_| self.cgroup(id))
    }

    fn memory_cgroup(&self, id: &str) -> Option<PathBuf> {
        self.cgroup_with(id, |delegated| delegated.memory)
    }

    fn cpu_cgroup(&self, id: &str) -> Option<PathBuf> {
        self.cgroup_with(id, |delegated| delegated.cpu)
    }

    /// Why a limit cannot be kept here; `None` where it can.
    pub(super) fn objection(&self, cpu: Option<NanoCpus>) -> Option<String> {
        let backend = self.backend();
        (cpu.is_some() && !backend.cpu)
            .then(|| format!("a CPU limit takes a delegated cgroup v2 with the cpu controller: {}", backend.why_not))
    }

    /// Makes the replica's cgroup with its limits. Gives the address space that its process must limit itself to.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn enter(&self, id: &str, memory: Option<Bytes>, cpu: Option<NanoCpus>) -> io::Result<Option<u64>> {
        if let Some(directory) = self.cgroup(id) {
            cgroup::make(&directory)?;
        }
        if let Some(directory) = self.cpu_cgroup(id) {
            cgroup::set_cpu(&directory, cpu)?;
        }
        match self.memory_cgroup(id) {
            Some(directory) => cgroup::set_memory(&directory, memory).map(|()| None),
            None => Ok(memory.map(|memory| memory.0)),
        }
    }

    /// Changes the limits of a replica that runs.
    ///
    /// # Errors
    /// The kernel refused; a limit may hold for some of its processes by then.
    pub(super) fn change(&self, session: &Session, memory: Option<Bytes>, cpu: Option<NanoCpus>) -> io::Result<()> {
        if let (Some(_), Some(directory)) = (cpu, self.cpu_cgroup(&session.replica)) {
            cgroup::set_cpu(&directory, cpu)?;
        }
        let Some(memory) = memory else { return Ok(()) };
        if let Some(directory) = self.memory_cgroup(&session.replica) {
            return cgroup::set_memory(&directory, Some(memory));
        }
        for member in session.members()? {
            limit_process(&member, memory)?;
        }
        Ok(())
    }

    /// The memory limit in force on a running replica.
    pub(super) fn memory(&self, id: &str, main: &Identity, wanted: Option<Bytes>) -> Observed<Option<Bytes>> {
        let seen = match self.memory_cgroup(id) {
            Some(directory) => cgroup::memory(&directory, wanted),
            None => address_space(main.pid),
        };
        seen.map_or_else(|error| Observed::Unknown(format!("its memory limit: {error}")), Observed::Known)
    }

    /// The CPU limit in force on a running replica.
    pub(super) fn cpu(&self, id: &str, wanted: Option<NanoCpus>) -> Observed<Option<NanoCpus>> {
        let seen = match self.cpu_cgroup(id) {
            Some(directory) => cgroup::cpu(&directory, wanted),
            None => Ok(None),
        };
        seen.map_or_else(|error| Observed::Unknown(format!("its CPU limit: {error}")), Observed::Known)
    }

    /// How often the kernel killed something of it for want of memory; zero where only a cgroup would count.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn out_of_memory(&self, id: &str) -> io::Result<u64> {
        self.memory_cgroup(id).map_or(Ok(0), |directory| cgroup::out_of_memory(&directory))
    }

    /// Removes the replica's cgroup.
    ///
    /// # Errors
    /// Something still runs in it.
    pub(super) fn leave(&self, id: &str) -> io::Result<()> {
        self.cgroup(id).map_or(Ok(()), |directory| cgroup::remove(&directory))
    }
}

fn limit_process(process: &Identity, memory: Bytes) -> io::Result<()> {
    let (Some(pid), Some(_)) = (Pid::from_raw(process.pid), process.stat()?) else { return Ok(()) };
    let old = rustix::process::Rlimit { current: None, maximum: hard_limit(process.pid)? };
    match prlimit(Some(pid), Resource::As, address_space_limit(memory.0, old)) {
        Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(io::Error::other(format!(
            "RLIMIT_AS of process {}: {error} (only root may raise a hard limit)",
            process.pid
        ))),
    }
}

fn address_space(pid: i32) -> io::Result<Option<Bytes>> {
    let inherited = getrlimit(Resource::As).current;
    let (soft, _) = limits_of(pid)?;
    // What the supervisor itself was limited to is nobody's setting.
    Ok(soft.filter(|soft| Some(*soft) != inherited).map(Bytes))
}

fn hard_limit(pid: i32) -> io::Result<Option<u64>> {
    limits_of(pid).map(|(_, hard)| hard)
}

fn limits_of(pid: i32) -> io::Result<(Option<u64>, Option<u64>)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    parse_limits(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/limits is not as expected")))
}

fn parse_limits(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let mut fields = line.split_ascii_whitespace();
    let mut number = || match fields.next()? {
        "unlimited" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::parse_limits;

    #[test]
    fn proc_limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max address space         268435456            unlimited            bytes     \n";
        assert_eq!(parse_limits(text), Some((Some(268_435_456), None)));
        assert_eq!(parse_limits("Max address space  nonsense"), None);
        assert_eq!(parse_limits(""), None);
    }
}
