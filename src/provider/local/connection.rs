//! What `trueup env test` says of a local environment.

use crate::provider::local::client::{CallError, Client, LOOK_WITHIN};
use crate::provider::local::supervisor::protocol::{Hello, Reply, Request};
use crate::provider::local::supervisor::replica::RunAs;
use crate::provider::{ConnectionReport, Finding, FindingLevel};
use crate::settings::PortRange;

/// Free ports below which a warning is given.
const FEW_PORTS: usize = 10;

/// Tries everything that a deploy would need, and changes nothing.
pub(super) async fn test(client: &Client, user: &RunAs, ports: Option<PortRange>) -> ConnectionReport {
    let mut findings = Vec::new();
    match client.hello().await {
        Ok(hello) => {
            findings.push(found(
                FindingLevel::Ok,
                format!("the supervisor answers (release {}, uid {})", hello.release, hello.uid),
            ));
            findings.extend(check(client, user, ports, &hello).await);
            findings.extend(limits(&hello));
            findings.push(staging(&hello));
        }
        Err(error) => findings.push(Finding {
            level: FindingLevel::Error,
            message: error.to_string(),
            help: Some("start it: `systemctl start trueup-supervise`, or `trueup supervise` by hand".into()),
        }),
    }
    let ok = findings.iter().all(|finding| finding.level != FindingLevel::Error);
    ConnectionReport { ok, findings }
}

fn found(level: FindingLevel, message: String) -> Finding {
    Finding { level, message, help: None }
}

async fn check(client: &Client, user: &RunAs, ports: Option<PortRange>, hello: &Hello) -> Vec<Finding> {
    let request = Request::Check { user: user.clone(), ports };
    let (problems, free_ports) = match client.call(request, LOOK_WITHIN).await {
        Ok(Reply::Checked { problems, free_ports }) => (problems, free_ports),
        Ok(_) => return vec![error(&client.unexpected())],
        Err(failed) => return vec![error(&failed)],
    };
    if !problems.is_empty() {
        return problems.into_iter().map(|problem| found(FindingLevel::Error, problem)).collect();
    }
    let who = match user {
        RunAs::Own => "the daemon's own user (allow_own_user)".to_owned(),
        RunAs::User(name) => format!("the user `{name}`"),
    };
    let range = ports.unwrap_or(hello.ports);
    let mut findings = vec![found(FindingLevel::Ok, format!("replicas run as {who}"))];
    findings.push(match free_ports {
        0 => found(FindingLevel::Error, format!("no port of {range} is free")),
        few if few < FEW_PORTS => found(FindingLevel::Warning, format!("only {few} ports of {range} are free")),
        free => found(FindingLevel::Ok, format!("{free} ports of {range} are free")),
    });
    findings
}

fn error(error: &CallError) -> Finding {
    found(FindingLevel::Error, error.to_string())
}

fn limits(hello: &Hello) -> Vec<Finding> {
    let limits = &hello.limits;
    let mut findings = Vec::new();
    if let Some(cgroup) = &limits.cgroup {
        findings.push(found(FindingLevel::Ok, format!("each replica has a cgroup of its own below {cgroup}")));
    }
    findings.push(if limits.memory {
        found(FindingLevel::Ok, "memory is limited by cgroup (memory.max)".into())
    } else {
        Finding {
            level: FindingLevel::Warning,
            message: format!("memory is limited by RLIMIT_AS, per process and by address space: {}", limits.why_not),
            help: Some("run the supervisor from its systemd unit (Delegate=yes) on cgroup v2".into()),
        }
    });
    findings.push(if limits.cpu {
        found(FindingLevel::Ok, "CPU is limited by cgroup (cpu.max)".into())
    } else {
        found(FindingLevel::Warning, "CPU cannot be limited: `resources.cpu_limit` blocks a service here".into())
    });
    findings
}

// Checkouts are laid down by the daemon, in a folder of the supervisor's.
fn staging(hello: &Hello) -> Finding {
    match tempfile::tempdir_in(&hello.staging).and_then(tempfile::TempDir::close) {
        Ok(()) => found(FindingLevel::Ok, format!("checkouts can be laid down in {}", hello.staging)),
        Err(error) => Finding {
            level: FindingLevel::Error,
            message: format!("checkouts cannot be laid down in {}: {error}", hello.staging),
            help: Some("name the daemon's user to the supervisor: `trueup supervise --peer USER`".into()),
        },
    }
}
