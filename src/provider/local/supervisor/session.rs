//! All processes of one replica: its session, or its cgroup where it has one. They are signalled one by one, each
//! through a handle, never by a group's number that might meanwhile be another's.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::provider::local::supervisor::cgroup;
use crate::provider::local::supervisor::process::{self, Identity, Process};

/// The variable that marks every process of a replica with its id.
pub(in crate::provider::local) const MARK: &str = "TRUEUP_REPLICA";

/// How long processes may take to vanish once they were killed.
const VANISH: Duration = Duration::from_secs(10);

/// The processes of one replica.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its main process, which made the session; it may be gone.
    pub(super) leader: Identity,
    /// The replica's id, for recognising what is left once the leader is gone.
    pub(super) replica: String,
    /// Its cgroup.
    pub(super) cgroup: Option<PathBuf>,
}

impl Session {
    /// Everything of it that lives, zombies aside.
    ///
    /// # Errors
    /// `/proc` or the cgroup cannot be read.
    pub(super) fn members(&self) -> io::Result<Vec<Identity>> {
        let mut members = match &self.cgroup {
            Some(directory) => cgroup::processes(directory)?,
            None => Vec::new(),
        }
        .into_iter()
        .filter_map(|pid| Identity::of(pid, &self.leader.boot).transpose())
        .collect::<io::Result<Vec<_>>>()?;
        // While the leader is there (be it as a zombie) the session's number is its own. A number is not given out
        // again while a session of that number lives, so another process of that number means the session is empty.
        let holder = process::stat(self.leader.pid)?;
        let ours = holder.is_some_and(|stat| stat.started == self.leader.started);
        if ours || holder.is_none() {
            for entry in std::fs::read_dir("/proc")? {
                let name = entry?.file_name();
                let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
                let Some(stat) = process::stat(pid)? else { continue };
                if stat.session == self.leader.pid && (ours || self.is_marked(pid)?) {
                    members.push(Identity { pid, started: stat.started, boot: self.leader.boot.clone() });
                }
            }
        }
        members.sort_by_key(|member| member.pid);
        members.dedup();
        let mut living = Vec::with_capacity(members.len());
        for member in members {
            if member.stat()?.is_some_and(|stat| !matches!(stat.state, 'Z' | 'X')) {
                living.push(member);
            }
        }
        Ok(living)
    }

    // Without its leader, a session is known as the replica's by the mark that its processes inherited.
    fn is_marked(&self, pid: i32) -> io::Result<bool> {
        let environment = match std::fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => environment,
            Err(error) if process::is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mark = format!("{MARK}={}", self.replica);
        Ok(environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
    }

    /// Sends a signal to each member.
    ///
    /// # Errors
    /// As [`Session::members`], or a signal was refused.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        for member in self.members()? {
            member.signal(signal)?;
        }
        Ok(())
    }

    /// Ends it: SIGTERM to all, SIGKILL to what is left after the grace period. `main` is awaited first, if it runs.
    /// Says whether it had to be killed.
    ///
    /// # Errors
    /// As [`Session::signal`], or something survives SIGKILL (a process in uninterruptible sleep).
    pub(super) async fn end(&self, main: Option<&Process>, grace: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + grace;
        self.signal(Signal::TERM)?;
        // A paused process takes the signal only once it goes on.
        self.signal(Signal::CONT)?;
        if let Some(main) = main {
            match tokio::time::timeout_at(deadline, main.ended()).await {
                Ok(ended) => ended?,
                Err(_elapsed) => return self.kill().await.map(|()| true),
            }
        }
        if self.empty_by(deadline).await? {
            return Ok(false);
        }
        self.kill().await.map(|()| true)
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// As [`Session::end`].
    pub(super) async fn kill(&self) -> io::Result<()> {
        let deadline = Instant::now() + VANISH;
        loop {
            if let Some(directory) = &self.cgroup {
                cgroup::kill(directory)?;
            }
            self.signal(Signal::KILL)?;
            if self.empty_by(Instant::now() + Duration::from_millis(500)).await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let left: Vec<String> = self.members()?.iter().map(|member| member.pid.to_string()).collect();
                return Err(io::Error::other(format!(
                    "processes survive SIGKILL (stuck in the kernel): {}",
                    left.join(", ")
                )));
            }
        }
    }

    async fn empty_by(&self, deadline: Instant) -> io::Result<bool> {
        let mut pause = Duration::from_millis(2);
        loop {
            if self.members()?.is_empty() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
