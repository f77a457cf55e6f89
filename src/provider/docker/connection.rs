//! What `env test` finds: version, kind of Engine, how probes will reach replicas, and what will run short.

use bollard::models::{SystemInfo, SystemVersion};
use bollard::query_parameters::ListNetworksOptions;
use jiff::Timestamp;

use super::DockerProvider;
use super::engine::{Engine, EngineError};
use super::pools;
use super::settings::Address;
use crate::provider::{ConnectionReport, Finding, FindingLevel};

/// The oldest API that is supported.
pub(super) const OLDEST: (usize, usize) = (1, 41);

/// What to do about an older one.
pub(super) const NEEDED: &str = "Trueup needs API 1.41: Docker Engine 20.10 or later, or Podman 3.0 or later";
/// A clock that is further off than this makes times in reports wrong.
const SKEW_SECONDS: i64 = 30;
/// Fewer free subnets than this are a warning.
const FEW_SUBNETS: usize = 5;

impl DockerProvider {
    pub(super) async fn examine(&self) -> ConnectionReport {
        let mut findings = match look_at(&self.engine).await {
            Ok(findings) => findings,
            Err(unreachable) => return unreachable,
        };
        findings.push(self.probing().await);
        report(findings)
    }

    async fn probing(&self) -> Finding {
        match self.bridge_is_here().await {
            Ok(true) => finding(FindingLevel::Ok, "health checks dial the replicas directly".to_owned()),
            Ok(false) => match self.helper_possible().await {
                Ok(()) => {
                    finding(FindingLevel::Ok, "health checks run in helper containers of `probe_image`".to_owned())
                }
                Err(why) => helped(
                    FindingLevel::Warning,
                    format!("health checks by path or port are not possible: {why}"),
                    "services with such checks are blocked until then; checks by command work",
                ),
            },
            Err(error) => finding(FindingLevel::Error, error.to_string()),
        }
    }
}

/// An Engine on its own, without an environment on it.
pub(super) async fn examine_engine(engine: &Engine) -> ConnectionReport {
    look_at(engine).await.map_or_else(|unreachable| unreachable, report)
}

fn report(findings: Vec<Finding>) -> ConnectionReport {
    ConnectionReport { ok: findings.iter().all(|finding| finding.level != FindingLevel::Error), findings }
}

/// What an Engine says of itself; `Err` is the whole report where it says nothing.
async fn look_at(engine: &Engine) -> Result<Vec<Finding>, ConnectionReport> {
    let (version, info) = match ask_version(engine).await {
        Ok(answers) => answers,
        Err(error) => return Err(report(vec![finding(FindingLevel::Error, error.to_string())])),
    };
    let mut findings = vec![describe(&version, &engine.address)];
    findings.extend(transport(&engine.address));
    findings.extend(runtime(&info));
    findings.extend(clock(&info, Timestamp::now()));
    match engine.read(|docker| async move { docker.list_networks(None::<ListNetworksOptions>).await }).await {
        Ok(networks) => findings.push(address_pools(&info, &networks)),
        Err(error) => findings.push(finding(FindingLevel::Error, format!("the networks cannot be listed: {error}"))),
    }
    Ok(findings)
}

async fn ask_version(engine: &Engine) -> Result<(SystemVersion, SystemInfo), EngineError> {
    let version = engine.read(|docker| async move { docker.version().await }).await?;
    let info = engine.read(|docker| async move { docker.info().await }).await?;
    Ok((version, info))
}

fn describe(version: &SystemVersion, address: &Address) -> Finding {
    let api = version.api_version.as_deref().unwrap_or_default();
    let components = version.components.iter().flatten();
    let podman = components.into_iter().any(|component| component.name.contains("Podman"));
    let name = if podman { "Podman" } else { "Docker Engine" };
    let number = version.version.as_deref().unwrap_or("of unknown version");
    let message = format!("{name} {number}, API {api}, at {address}");
    let parsed = api.split_once('.').and_then(|(a, b)| Some((a.parse::<usize>().ok()?, b.parse::<usize>().ok()?)));
    match parsed {
        Some(found) if found >= OLDEST => finding(FindingLevel::Ok, message),
        Some(_) => helped(FindingLevel::Error, format!("{message}: too old"), NEEDED),
        None => finding(FindingLevel::Error, format!("{message}: no version of the Engine's API")),
    }
}

fn transport(address: &Address) -> Option<Finding> {
    match address {
        Address::Tcp { authority, tls: None } if !super::registry::loopback(authority) => Some(helped(
            FindingLevel::Warning,
            format!("the connection to tcp://{authority} is neither encrypted nor authenticated"),
            "set tls_ca, tls_cert and tls_key, or use ssh://",
        )),
        Address::Tcp { .. } | Address::Unix(_) | Address::Ssh { .. } => None,
    }
}

fn runtime(info: &SystemInfo) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(driver) = &info.driver {
        findings.push(finding(FindingLevel::Ok, format!("storage driver {driver}")));
    }
    if info.security_options.iter().flatten().any(|option| option.contains("name=rootless")) {
        findings.push(helped(
            FindingLevel::Warning,
            "the Engine runs rootless: its bridge cannot be dialled, and limits need delegated cgroups".to_owned(),
            "set `probe_image` for health checks by path or port",
        ));
    }
    for (there, what) in [(info.memory_limit, "memory"), (info.cpu_cfs_quota, "CPU")] {
        if there == Some(false) {
            findings.push(helped(
                FindingLevel::Warning,
                format!("the Engine's kernel does not enforce {what} limits"),
                "enable the cgroup controller, or do not declare that limit",
            ));
        }
    }
    findings
}

fn clock(info: &SystemInfo, now: Timestamp) -> Option<Finding> {
    let theirs: Timestamp = info.system_time.as_deref()?.parse().ok()?;
    let skew = (theirs.as_second() - now.as_second()).abs();
    (skew > SKEW_SECONDS).then(|| {
        helped(
            FindingLevel::Warning,
            format!("the Engine's clock is {skew} s off from Trueup's"),
            "synchronise both clocks (NTP)",
        )
    })
}

fn address_pools(info: &SystemInfo, networks: &[bollard::models::Network]) -> Finding {
    let pools = pools::configured(info);
    let used = pools::used(networks);
    let free = pools::free(&pools, &used);
    let message = format!("{} networks; {free} subnets of the Engine's address pools are free", networks.len());
    if free >= FEW_SUBNETS {
        return finding(FindingLevel::Ok, message);
    }
    let taken: Vec<String> = used.iter().map(ToString::to_string).collect();
    helped(
        FindingLevel::Warning,
        format!("{message} (in use: {})", taken.join(", ")),
        "each new environment takes one: remove unused networks (docker network prune) or add to default-address-pools \
         in the Engine's daemon.json",
    )
}

fn finding(level: FindingLevel, message: String) -> Finding {
    Finding { level, message, help: None }
}

fn helped(level: FindingLevel, message: String, help: &str) -> Finding {
    Finding { level, message, help: Some(help.to_owned()) }
}
