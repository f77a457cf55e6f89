//! Does the quickstart tell its whole story, and leave nothing behind, however it ends?

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::world::docker;
use crate::world::installation::trueup;

/// A quickstart in its own temporary folder, ended with the test.
struct Quickstart {
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        crate::world::installation::end(&mut self.child);
    }
}

impl Quickstart {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("tuq").tempdir().unwrap();
        let child = trueup(&[&["quickstart"], arguments].concat())
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Quickstart { folder, child }
    }

    fn leaves_nothing(&self) {
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        let running = processes_of(self.folder.path());
        assert!(running.is_empty(), "{running:?}");
    }
}

/// The command lines that speak of a folder, other than the quickstart's own.
fn processes_of(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry.unwrap().file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end while it is looked at.
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let environ = String::from_utf8_lossy(&read("environ")).into_owned();
        let needle = folder.to_str().unwrap();
        if words.contains(needle) || (environ.contains(needle) && words.contains("sample-server")) {
            found.push(words);
        }
    }
    found
}

/// The lines that a full story shows, in this order.
const STORY: &[&str] = &[
    "declares what should run",
    "$ trueup project add sample",
    "$ trueup plan sample",
    "web will be created",
    "$ trueup sync sample",
    "Run 1 succeeded",
    "in sync",
    "someone changes what runs",
    "$ trueup plan sample",
    "live: changed outside Trueup",
    "cause     live: what runs was changed",
    "git commit",
    "repo: .trueup.yml",
    "$ trueup sync sample",
    "Run 2 succeeded",
    "Nothing to do",
];

fn tells_the_story(text: &str) {
    let mut rest = text;
    for line in STORY {
        let at = rest.find(line).unwrap_or_else(|| panic!("`{line}` is missing in:\n{text}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn it_tells_the_whole_story_with_nothing_installed() {
    let mut quickstart = Quickstart::start(&[]);
    let (mut out, mut err) = (String::new(), String::new());
    quickstart.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    quickstart.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = quickstart.child.wait().unwrap();
    assert!(status.success(), "{out}\n{err}");
    tells_the_story(&out);
    let replies: Vec<&str> = out.lines().filter(|line| matches!(*line, "hello" | "good morning")).collect();
    assert_eq!(replies, ["hello", "hello", "good morning"], "a commit alone changes nothing");
    quickstart.leaves_nothing();
}

#[test]
fn what_is_kept_can_be_played_with_until_it_is_ended() {
    let mut quickstart = Quickstart::start(&["--keep"]);
    let mut lines = BufReader::new(quickstart.child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while !told.last().is_some_and(|line: &String| line.contains("TRUEUP_SOCKET=")) {
        told.push(lines.next().unwrap_or_else(|| panic!("it ended: {told:#?}")).unwrap());
    }
    let socket =
        told.last().unwrap().split_once("TRUEUP_SOCKET=").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let status = trueup(&["status"]).env("TRUEUP_SOCKET", &socket).output().unwrap();
    let shown = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success() && shown.contains("in sync"), "{shown}");
    let pid = rustix::process::Pid::from_raw(quickstart.child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(lines.all(|line| line.is_ok()));
    assert!(quickstart.child.wait().unwrap().success());
    quickstart.leaves_nothing();
}

#[test]
fn ctrl_c_cleans_up() {
    let mut quickstart = Quickstart::start(&[]);
    let mut lines = BufReader::new(quickstart.child.stdout.take().unwrap()).lines();
    let synced = lines.find(|line| line.as_ref().unwrap().contains("Run 1 succeeded"));
    assert!(synced.is_some());
    let pid = rustix::process::Pid::from_raw(quickstart.child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    // Whatever it still says is read, so that it is never left waiting for a reader.
    assert!(lines.all(|line| line.is_ok()));
    assert!(quickstart.child.wait().unwrap().success());
    quickstart.leaves_nothing();
}

#[test]
fn it_runs_on_the_docker_engine_too() {
    if !docker::available() {
        return;
    }
    let image = format!("{}.localhost/quickstart:1", docker::unique());
    let imported = Image::import(&image);
    let mut quickstart = Quickstart::start(&["--docker", &imported.0]);
    let (mut out, mut err) = (String::new(), String::new());
    quickstart.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    quickstart.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = quickstart.child.wait().unwrap();
    assert!(status.success(), "{out}\n{err}");
    tells_the_story(&out);
    assert!(out.contains("docker update --memory 96m"));
    let project = out.split("trueup project add ").nth(1).unwrap().split(' ').next().unwrap();
    let filter = format!("label=dev.trueup.project={project}");
    assert_eq!(docker::docker(&["ps", "-aq", "--filter", &filter]), "");
    assert_eq!(docker::docker(&["network", "ls", "-q", "--filter", &filter]), "");
    quickstart.leaves_nothing();
}

/// An image with `sleep`, removed with the test.
struct Image(String);

impl Image {
    fn import(tag: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::copy("/bin/busybox", folder.path().join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep"] {
            std::os::unix::fs::symlink("busybox", folder.path().join("bin").join(applet)).unwrap();
        }
        let archive = folder.path().join("root.tar");
        let tar = std::process::Command::new("tar")
            .args(["-C", folder.path().to_str().unwrap(), "-cf", archive.to_str().unwrap(), "bin"])
            .status()
            .unwrap();
        assert!(tar.success());
        docker::docker(&["import", archive.to_str().unwrap(), tag]);
        Image(tag.to_owned())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let (removed, _, error) = docker::try_docker(&["rmi", "-f", &self.0]);
        if !removed && !std::thread::panicking() {
            panic!("the image stays behind: {error}");
        }
    }
}
