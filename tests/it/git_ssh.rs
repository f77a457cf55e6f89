//! Does `ssh://` read like the rest, and refuse unknown hosts, wrong keys and silence?

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use trueup::git::{Credential, Git, GitError, GitSettings, Remote};
use trueup::settings::Settings;

use crate::git::{remote, resolve, settings};
use crate::world::backend;
use crate::world::git_server::Repo;

/// An OpenSSH server of this test alone; ends when it is dropped.
struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn here() -> bool {
    let sshd = Path::new("/usr/sbin/sshd").exists() && backend::runs("ssh", &["-V"]);
    backend::git() && backend::available("ssh", sshd)
}

impl Sshd {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-sshd-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user", "stranger"] {
            let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(key)).status();
            assert!(done.unwrap().success());
        }
        std::fs::copy(at("user.pub"), at("authorized_keys")).unwrap();
        // The server runs as whoever runs the tests; root's needs this folder.
        std::fs::create_dir_all("/run/sshd").ok();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\n",
            at("host").display(),
            at("authorized_keys").display(),
        );
        std::fs::write(at("config"), config).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Sshd { child, port, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let public = std::fs::read_to_string(server.at("host.pub")).unwrap();
        std::fs::write(server.at("known_hosts"), format!("[127.0.0.1]:{port} {public}")).unwrap();
        server
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn remote(&self, path: &Path, key: &str) -> Remote {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let url = format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, path.display());
        let secret = SecretString::from(std::fs::read_to_string(self.at(key)).unwrap());
        Remote { credential: Some(Credential { id: format!("file://{key}"), username: None, secret }), ..remote(&url) }
    }

    fn client(&self, mirrors: &Path) -> Git {
        Git::new(GitSettings { known_hosts: Some(self.at("known_hosts")), ..settings(mirrors) })
    }
}

#[tokio::test]
async fn reading_over_ssh() {
    if !here() {
        return;
    }
    let server = Sshd::start();
    let repo = Repo::with("a", "1");
    let mirrors = tempfile::tempdir().unwrap();
    let git = server.client(mirrors.path());
    let remote = server.remote(&repo.path, "user");
    for content in ["1", "2"] {
        repo.commit("a", content);
        let tip = resolve(&git, &remote, "main").await;
        git.fetch(&remote, &tip).await.unwrap();
        assert_eq!(git.read_file(&remote, &tip.commit, "a").await.unwrap().as_deref(), Some(content.as_bytes()));
    }
    assert_eq!(git.resolve_ref(&remote, "nothing").await.unwrap(), None);
    let grep = Command::new("grep").args(["-r", "OPENSSH PRIVATE KEY"]).arg(mirrors.path()).output().unwrap();
    assert!(grep.stdout.is_empty(), "the key is in a file: {}", String::from_utf8_lossy(&grep.stdout));
}

#[tokio::test]
async fn strangers_and_silence_over_ssh() {
    if !here() {
        return;
    }
    let server = Sshd::start();
    let repo = Repo::with("a", "1");
    let mirrors = tempfile::tempdir().unwrap();
    let git = server.client(mirrors.path());
    let refused = git.resolve_ref(&server.remote(&repo.path, "stranger"), "main").await;
    assert!(matches!(refused, Err(GitError::Authentication { .. })), "{refused:?}");
    let nowhere = git.resolve_ref(&server.remote(Path::new("/nowhere/at/all"), "user"), "main").await;
    assert!(matches!(nowhere, Err(GitError::NoRepository { .. })), "{nowhere:?}");
    let mut password = server.remote(&repo.path, "user");
    password.credential.as_mut().unwrap().secret = SecretString::from("hunter2");
    let unfit = git.resolve_ref(&password, "main").await;
    assert!(matches!(unfit, Err(GitError::Credential { .. })), "{unfit:?}");
    std::fs::write(server.at("known_hosts"), "").unwrap();
    let unknown = git.resolve_ref(&server.remote(&repo.path, "user"), "main").await;
    assert!(matches!(unknown, Err(GitError::NotAllowed { .. })), "{unknown:?}");
    // The setting that it names is one that the daemon's settings know.
    let said = unknown.unwrap_err().to_string();
    assert!(said.contains("set git.accept_new_hosts = true"), "{said}");
    Settings::parse("[git]\naccept_new_hosts = true\n").unwrap();
    // A server that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@127.0.0.1:{}/x", silent.local_addr().unwrap().port());
    let impatient = Git::new(GitSettings { timeout: Duration::from_millis(800), ..settings(mirrors.path()) });
    let begun = Instant::now();
    let hung = impatient.resolve_ref(&remote(&url), "main").await;
    assert!(matches!(hung, Err(GitError::Timeout { .. } | GitError::Unreachable { .. })), "{hung:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
