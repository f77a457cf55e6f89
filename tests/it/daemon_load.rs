//! What do a thousand projects cost while nothing moves? Measured in a process of its own; run by hand:
//! `cargo test --release --test it -- --ignored --nocapture a_thousand_projects`.

use std::process::Command;
use std::time::Duration;

use crate::world::git_server::{GitServer, Repo};
use crate::world::house::file;

const PROJECTS: usize = 1_000;

/// A line of /proc/self/status in KiB.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of this process so far, user and system.
fn processor() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = usage.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The measured process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of another test, which starts it in a process of its own"]
async fn load_in_a_process() {
    let Ok(url) = std::env::var("TRUEUP_TEST_LOAD_URL") else { return };
    let mut desk = crate::daemon::Desk::new();
    let mut ids = Vec::new();
    for number in 0..PROJECTS {
        ids.push(desk.add(&format!("shop-{number}/production"), &format!("{url}/shop-{number}/.git")).await);
    }
    println!("before: RSS {} KiB, of it anonymous {} KiB", status("VmRSS"), status("RssAnon"));
    // Six times as often as by default.
    let often = Duration::from_secs(10);
    desk.start(often, often);
    for id in &ids {
        desk.plan_within(id, Duration::from_secs(600)).await;
    }
    println!("all read: RSS {} KiB, of it anonymous {} KiB", status("VmRSS"), status("RssAnon"));
    tokio::time::sleep(often).await;
    let (begun, seconds) = (processor(), 30);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = processor() - begun;
    let share = used.as_secs_f64() / seconds as f64 / 6.0 * 100.0;
    println!("idle: RSS {} KiB, of it anonymous {} KiB", status("VmRSS"), status("RssAnon"));
    println!("idle: {share:.2} % of a core at one poll and one look a minute each");
    desk.stop().await;
}

#[test]
#[ignore = "minutes long: a measurement"]
fn a_thousand_projects_idle() {
    let repo = Repo::with(".trueup.yml", &file("api: {image: acme/api:1}\nweb: {image: acme/web:1}\n"));
    for number in 0..PROJECTS {
        std::os::unix::fs::symlink(&repo.path, repo.folder.path().join(format!("shop-{number}"))).unwrap();
    }
    let server = GitServer::start(repo.folder.path());
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["daemon_load::load_in_a_process", "--exact", "--ignored", "--nocapture"])
        .env("TRUEUP_TEST_LOAD_URL", format!("http://{}", server.address))
        .status()
        .unwrap();
    assert!(done.success());
}
