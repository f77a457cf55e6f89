//! Does systemd hear what `Type=notify` and `WatchdogSec=` promise it?

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::house::scratch;
use crate::world::installation::{TRUEUP, end};

/// What one service tells systemd.
struct Told {
    socket: UnixDatagram,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Told {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn start(arguments: impl Fn(&std::path::Path) -> Vec<String>) -> Told {
    let folder = scratch();
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let child = Command::new(TRUEUP)
        .args(arguments(folder.path()))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000")
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Told { socket, child, folder }
}

impl Told {
    /// Waits until it says this.
    fn hears(&self, word: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{word}: {error}; {heard:?}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line == word) {
                return;
            }
            heard.push(message);
        }
        panic!("{word} was never said: {heard:?}");
    }

    fn ends(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.hears("STOPPING=1");
        self.child.wait().unwrap().code()
    }
}

#[test]
fn the_daemon_says_when_it_is_ready_that_it_lives_and_that_it_ends() {
    let mut told = start(|folder| vec!["serve".into(), "--state".into(), folder.join("state").display().to_string()]);
    told.hears("READY=1");
    assert!(told.folder.path().join("state/run/trueup.sock").exists(), "it answers when it says that it does");
    told.hears("WATCHDOG=1");
    told.hears("WATCHDOG=1");
    assert_eq!(told.ends(), Some(0));
}

#[test]
fn the_supervisor_says_when_it_is_ready() {
    let told = start(|folder| {
        let (state, socket) = (folder.join("local"), folder.join("supervise.sock"));
        let words =
            ["supervise", "--cgroup", "off", "--state", state.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
        words.map(str::to_owned).to_vec()
    });
    told.hears("READY=1");
    assert!(told.folder.path().join("supervise.sock").exists(), "it answers when it says that it does");
}
