//! `trueup doctor`: checks everything between this terminal and what runs, and says what to do about what is not right.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::args::Connection;
use crate::cli::client::{Client, ClientError};
use crate::cli::terminal::Terminal;
use crate::cli::{Outcome, failure, findings};
use crate::http::dto::{EnvironmentView, ProjectView, VersionView};
use crate::provider::{ConnectionReport, Finding, FindingLevel};
use crate::settings::{SETTINGS_FILE, Settings};

/// Check everything between this terminal and what runs
///
/// Looks at the daemon and its version, the settings file, the permissions, the Docker Engine's socket, the supervisor,
/// the systemd units, the clock, and every environment's connection. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing fails, 1 something does (warnings alone are 0).")]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was checked under one heading.
#[derive(Serialize)]
struct Section {
    title: String,
    findings: Vec<Finding>,
}

fn finding(level: FindingLevel, message: impl Into<String>, help: Option<&str>) -> Finding {
    Finding { level, message: message.into(), help: help.map(str::to_owned) }
}

fn ok(message: impl Into<String>) -> Finding {
    finding(FindingLevel::Ok, message, None)
}

fn warning(message: impl Into<String>, help: &str) -> Finding {
    finding(FindingLevel::Warning, message, Some(help))
}

fn error(message: impl Into<String>, help: &str) -> Finding {
    finding(FindingLevel::Error, message, Some(help))
}

/// Checks and shows.
pub(super) async fn run(verb: &Doctor, connection: &Connection, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let client = connection.client();
    let (daemon, reached) = daemon(&client).await;
    let mut sections = vec![
        Section { title: "daemon".into(), findings: daemon },
        Section { title: "this machine".into(), findings: machine() },
    ];
    if let (Ok(client), true) = (&client, reached) {
        sections.extend(environments(client).await);
    }
    let failed = sections.iter().flat_map(|section| &section.findings).any(|found| found.level == FindingLevel::Error);
    if verb.json {
        terminal.json(&sections)?;
    } else {
        for section in &sections {
            terminal.line(&terminal.paint(crate::cli::terminal::Tone::Strong, &section.title))?;
            findings::show(&section.findings, terminal)?;
        }
    }
    Ok(if failed { Outcome::Unclear } else { Outcome::Done })
}

/// Whether a daemon answers, and which.
async fn daemon(client: &Result<Client, ClientError>) -> (Vec<Finding>, bool) {
    let client = match client {
        Ok(client) => client,
        Err(problem) => return (vec![of_error(problem)], false),
    };
    match client.get::<VersionView>("/version").await {
        Err(problem) => (vec![of_error(&problem)], false),
        Ok(version) => {
            let own = env!("CARGO_PKG_VERSION");
            let found = if version.version == own {
                ok(format!("answers, version {} (installation {})", version.version, version.installation))
            } else {
                warning(
                    format!("answers, version {}; this command is version {own}", version.version),
                    "use the same version on both sides: restart the daemon after an upgrade",
                )
            };
            (vec![found], true)
        }
    }
}

fn of_error(problem: &ClientError) -> Finding {
    let help = failure::help_of(problem).unwrap_or("`journalctl -u trueup` shows what the daemon says");
    error(problem.to_string(), help)
}

/// What can be seen from here of the machine that this command runs on.
fn machine() -> Vec<Finding> {
    let mut found = vec![settings(), permissions(), git(), docker_socket(), clock()];
    found.extend(supervisor());
    found.push(systemd());
    found
}

fn settings() -> Finding {
    match std::fs::read_to_string(SETTINGS_FILE) {
        Ok(text) => match Settings::parse(&text) {
            Ok(_) => ok(format!("{SETTINGS_FILE} is valid")),
            Err(invalid) => error(format!("{SETTINGS_FILE}: {invalid}"), "the daemon does not start with it: mend it"),
        },
        Err(problem) if problem.kind() == ErrorKind::NotFound => ok(format!("no {SETTINGS_FILE}: every default holds")),
        Err(problem) => warning(format!("{SETTINGS_FILE} cannot be read: {problem}"), "run this with sudo to check it"),
    }
}

/// Who is asking, and what that means at the daemon's socket.
fn permissions() -> Finding {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return ok("you are root: an admin at the daemon's socket");
    }
    let groups = match std::fs::read_to_string("/etc/group") {
        Ok(groups) => groups,
        Err(problem) => return warning(format!("/etc/group cannot be read: {problem}"), "run this with sudo"),
    };
    let group = Settings::default().socket_group;
    let gid = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group.as_str())).then(|| fields.nth(1)?.parse::<u32>().ok())?
    });
    let own = match rustix::process::getgroups() {
        Ok(own) => own,
        Err(problem) => return warning(format!("your groups cannot be read: {problem}"), "run this with sudo"),
    };
    match gid {
        None => ok(format!("there is no group `{group}` here: only root and the daemon's own user may talk to it")),
        Some(gid) if own.iter().any(|group| group.as_raw() == gid) => {
            ok(format!("you are in the group `{group}`: an operator at the daemon's socket"))
        }
        Some(_) => warning(
            format!("you are not in the group `{group}`, whose members may talk to the daemon"),
            "sudo usermod -aG trueup $USER, then log in again",
        ),
    }
}

/// Trueup reads Git itself; only `ssh://` takes a program of the machine.
fn git() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("ssh").is_file()) {
        ok("Git needs nothing here; for ssh:// repositories there is ssh")
    } else {
        warning(
            "there is no ssh here, which repositories over ssh:// need",
            "fine for https:// and local ones; else apt install openssh-client",
        )
    }
}

fn docker_socket() -> Finding {
    let path = Path::new("/var/run/docker.sock");
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => ok("the Docker Engine's socket answers"),
        Err(problem) if problem.kind() == ErrorKind::NotFound => warning(
            "there is no Docker Engine here (/var/run/docker.sock)",
            "fine where no environment uses it; else install docker.io, or name another with `trueup env set … --set host=…`",
        ),
        Err(problem) if problem.kind() == ErrorKind::PermissionDenied => warning(
            "the Docker Engine's socket is not open to you",
            "fine for you: the daemon must be in the group `docker` (its unit sees to that)",
        ),
        Err(problem) => {
            warning(format!("the Docker Engine's socket does not answer: {problem}"), "systemctl start docker")
        }
    }
}

/// Whether the clock may be trusted: durations, "since when" and TLS certificates all hang on it.
fn clock() -> Finding {
    let built: Option<Timestamp> = "2025-01-01T00:00:00Z".parse().ok();
    let now = Timestamp::now();
    if built.is_some_and(|built| now < built) {
        return error(format!("the clock says {now}, which cannot be"), "timedatectl set-ntp true");
    }
    if Path::new("/run/systemd/timesync").exists() && !Path::new("/run/systemd/timesync/synchronized").exists() {
        return warning("the clock is not synchronised yet", "timedatectl status shows why");
    }
    ok(format!("the clock says {now}"))
}

fn supervisor() -> Vec<Finding> {
    let path = Settings::default().supervisor_socket();
    match std::os::unix::net::UnixStream::connect(&path) {
        Ok(_) => vec![ok("the supervisor of the `local` provider answers")],
        Err(problem) if problem.kind() == ErrorKind::NotFound => vec![ok(
            "no supervisor runs here; only environments of the provider `local` need one (systemctl enable --now trueup-supervise)",
        )],
        Err(problem) if problem.kind() == ErrorKind::PermissionDenied => {
            vec![ok("a supervisor runs here; it speaks to the daemon only")]
        }
        Err(problem) => {
            vec![warning(format!("the supervisor does not answer: {problem}"), "systemctl restart trueup-supervise")]
        }
    }
}

fn systemd() -> Finding {
    if !Path::new("/run/systemd/system").exists() {
        return ok("systemd does not run this machine; something else has to start the daemon");
    }
    let places =
        ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    match places.iter().find(|place| Path::new(place).join("trueup.service").exists()) {
        Some(place) => ok(format!("the unit is {place}/trueup.service")),
        None => warning(
            "trueup.service is not installed",
            "docs/install.md shows how; until then the daemon ends with its terminal",
        ),
    }
}

/// Every environment's own connection test, as `trueup env test` makes it.
async fn environments(client: &Client) -> Vec<Section> {
    let projects: Vec<ProjectView> = match client.get("/projects").await {
        Ok(projects) => projects,
        Err(problem) => return vec![Section { title: "environments".into(), findings: vec![of_error(&problem)] }],
    };
    let mut sections = Vec::new();
    for project in &projects {
        let path = format!("/projects/{}/environments", project.name);
        let environments: Vec<EnvironmentView> = match client.get(&path).await {
            Ok(environments) => environments,
            Err(problem) => {
                sections.push(Section { title: project.name.to_string(), findings: vec![of_error(&problem)] });
                continue;
            }
        };
        for view in &environments {
            sections.push(Section { title: view.id().to_string(), findings: test(client, view).await });
        }
    }
    sections
}

/// How long one environment may take to be tested.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

async fn test(client: &Client, view: &EnvironmentView) -> Vec<Finding> {
    let path = format!("/projects/{}/environments/{}/test", view.project, view.name);
    let asked = client.ask::<ConnectionReport>(reqwest::Method::POST, &path);
    match tokio::time::timeout(TEST_TIMEOUT, asked).await {
        Ok(Ok(report)) => report.findings,
        Ok(Err(problem)) => vec![of_error(&problem)],
        Err(_) => vec![error("no answer within 30 s", "`trueup env show` says where it should be")],
    }
}
