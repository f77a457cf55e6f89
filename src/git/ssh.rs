//! Git over `ssh`: the system's ssh, never asking anyone anything, killed when its conversation ends or its deadline passes.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use crate::git::advertisement::LIST_LIMIT;
use crate::git::error::{GitError, quoted};
use crate::git::packets::PacketReader;
use crate::git::url::SshPlace;
use crate::git::{GitSettings, Remote};

/// How much of ssh's complaints is kept.
const COMPLAINT: usize = 8 * 1024;

/// A running `ssh HOST git-upload-pack PATH`.
pub(crate) struct SshSession {
    child: Child,
    input: ChildStdin,
    pub(crate) reader: PacketReader,
    complaint: Arc<Mutex<Vec<u8>>>,
    listener: tokio::task::JoinHandle<()>,
    url: String,
    /// The private key's file lives as long as the process that reads it.
    _key: Option<File>,
}

impl SshSession {
    /// Starts ssh; what it says is read from [`SshSession::reader`].
    pub(crate) fn start(settings: &GitSettings, remote: &Remote, place: &SshPlace) -> Result<Self, GitError> {
        let key = private_key(remote)?;
        let mut command = Command::new("ssh");
        command
            .args(options(settings, key.as_ref()))
            .args(place.port.map(|port| format!("-p{port}")))
            .args(place.user.as_ref().map(|user| format!("-l{user}")))
            .args(["--", &place.host, &format!("git-upload-pack {}", shell_quoted(&place.path))])
            .env("GIT_PROTOCOL", "version=2")
            .env("LC_ALL", "C")
            .env_remove("SSH_ASKPASS")
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let url = remote.url.to_string();
        let mut child =
            command.spawn().map_err(GitError::disk("`ssh` cannot be started (is openssh-client installed?)"))?;
        let pipe = || GitError::BrokeOff("ssh has no pipes".into());
        let input = child.stdin.take().ok_or_else(pipe)?;
        let output = child.stdout.take().ok_or_else(pipe)?;
        let mut errors = child.stderr.take().ok_or_else(pipe)?;
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let kept = complaint.clone();
        let listener = tokio::spawn(async move {
            let mut chunk = [0_u8; 1024];
            while let Ok(count @ 1..) = errors.read(&mut chunk).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = COMPLAINT.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&chunk[..room]);
            }
        });
        let reader = PacketReader::new(Box::pin(output), &url, LIST_LIMIT, settings.timeout);
        Ok(SshSession { child, input, reader, complaint, listener, url, _key: key })
    }

    /// Writes a request.
    pub(crate) async fn write(&mut self, request: &[u8]) -> Result<(), GitError> {
        match self.input.write_all(request).await {
            Ok(()) => Ok(()),
            Err(error) => Err(GitError::Unreachable { url: self.url.clone(), reason: error.to_string() }),
        }
    }

    /// What really went wrong when the conversation failed with `error`: what ssh said, if it said something.
    pub(crate) async fn explain(mut self, error: GitError) -> GitError {
        let ended: Option<ExitStatus> = self.child.try_wait().ok().flatten();
        let broke = matches!(error, GitError::Protocol { .. } | GitError::Unreachable { .. });
        if !broke && ended.is_none() {
            return error;
        }
        // A process that has closed its output ends at once; one that has not is not waited for.
        let deadline = std::time::Duration::from_secs(2);
        if tokio::time::timeout(deadline, &mut self.listener).await.is_err() {
            self.listener.abort();
        }
        let said = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        classify(&self.url, &said).unwrap_or(error)
    }
}

impl Drop for SshSession {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn options(settings: &GitSettings, key: Option<&File>) -> Vec<String> {
    let seconds = settings.timeout.as_secs().max(1);
    let new_hosts = if settings.accept_new_hosts { "accept-new" } else { "yes" };
    let mut options = vec![
        "-xT".to_owned(),
        "-oBatchMode=yes".to_owned(),
        format!("-oStrictHostKeyChecking={new_hosts}"),
        format!("-oConnectTimeout={seconds}"),
        "-oServerAliveInterval=10".to_owned(),
        "-oServerAliveCountMax=3".to_owned(),
        "-oForwardAgent=no".to_owned(),
        "-oClearAllForwardings=yes".to_owned(),
        "-oPermitLocalCommand=no".to_owned(),
        "-oSendEnv=GIT_PROTOCOL".to_owned(),
    ];
    if let Some(known_hosts) = &settings.known_hosts {
        options.push(format!("-oUserKnownHostsFile={}", known_hosts.display()));
    }
    if let Some(key) = key {
        options.push("-oIdentitiesOnly=yes".to_owned());
        options.push(format!("-i/proc/{}/fd/{}", std::process::id(), key.as_raw_fd()));
    }
    options
}

/// The private key as a file of memory: it never touches a disk, and its path says nothing.
fn private_key(remote: &Remote) -> Result<Option<File>, GitError> {
    let Some(credential) = &remote.credential else { return Ok(None) };
    let text = credential.secret.expose_secret();
    if !text.trim_start().starts_with("-----BEGIN ") {
        return Err(GitError::Credential {
            url: remote.url.to_string(),
            rule: "ssh takes a private key (its text begins with -----BEGIN): let the auth reference name one, or none for the daemon's own keys",
        });
    }
    let failed = |error: rustix::io::Errno| GitError::Disk {
        what: "keeping the private key in memory".into(),
        source: error.into(),
    };
    let memory = memfd_create("key", MemfdFlags::CLOEXEC).map_err(failed)?;
    fchmod(&memory, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let mut file = File::from(memory);
    let ended = if text.ends_with('\n') { "" } else { "\n" };
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(ended.as_bytes()))
        .map_err(GitError::disk("keeping the private key in memory"))?;
    Ok(Some(file))
}

/// Quoted for the remote's shell.
fn shell_quoted(path: &str) -> String {
    match path.strip_prefix("~") {
        // The remote's shell expands `~user`, which it does not within quotes.
        Some(rest)
            if rest.chars().take_while(|c| *c != '/').all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) =>
        {
            let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("~{user}/'{}'", path.replace('\'', r"'\''"))
        }
        _ => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// What ssh's and Git's words on standard error mean.
fn classify(url: &str, said: &[u8]) -> Option<GitError> {
    let text = String::from_utf8_lossy(said).to_lowercase();
    let url = url.to_owned();
    let last = said.split(|b| *b == b'\n').rev().find(|line| !line.trim_ascii().is_empty())?;
    let reason = quoted(last);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    Some(if has(&["host key verification failed", "host key is known", "remote host identification has changed"]) {
        GitError::NotAllowed {
            url,
            rule: "the host's key is not the known one: add it to the daemon's known_hosts (ssh-keyscan), or set git.accept_new_hosts = true in trueup.toml".into(),
        }
    } else if has(&["permission denied", "too many authentication failures", "invalid format", "no such identity"]) {
        GitError::Authentication { url, reason }
    } else if has(&[
        "does not appear to be a git repository",
        "repository not found",
        "not a git repository",
        "could not be found",
    ]) {
        GitError::NoRepository { url }
    } else {
        GitError::Unreachable { url, reason }
    })
}

#[cfg(test)]
mod tests {
    use super::{classify, options, shell_quoted};
    use crate::git::{GitError, GitSettings};

    #[test]
    fn paths_cannot_escape_the_remote_command() {
        assert_eq!(shell_quoted("/srv/a b'; rm -rf /"), r"'/srv/a b'\''; rm -rf /'");
        assert_eq!(shell_quoted("~git/a"), "~git/'a'");
        assert_eq!(shell_quoted("~$(id)/a"), "'~$(id)/a'");
    }

    #[test]
    fn ssh_never_asks_and_unknown_hosts_are_refused() {
        let mut settings = GitSettings::new("/nowhere".into());
        assert!(options(&settings, None).contains(&"-oStrictHostKeyChecking=yes".to_owned()));
        assert!(options(&settings, None).contains(&"-oBatchMode=yes".to_owned()));
        settings.accept_new_hosts = true;
        assert!(options(&settings, None).contains(&"-oStrictHostKeyChecking=accept-new".to_owned()));
    }

    #[test]
    fn complaints_are_understood() {
        let of = |said: &str| classify("u", said.as_bytes()).unwrap();
        assert!(matches!(of("git@h: Permission denied (publickey).\n"), GitError::Authentication { .. }));
        assert!(matches!(of("Host key verification failed.\r\n"), GitError::NotAllowed { .. }));
        assert!(matches!(of("fatal: '/x' does not appear to be a git repository"), GitError::NoRepository { .. }));
        assert!(matches!(of("ssh: connect to host h port 22: Connection refused"), GitError::Unreachable { .. }));
        assert!(classify("u", b"\n").is_none());
    }
}
