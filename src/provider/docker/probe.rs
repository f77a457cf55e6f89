//! Probing a replica: dialled from here where the Engine's bridge is reachable, else from a helper container in the
//! replica's own network namespace; commands by exec.
//!
//! A probe that cannot be carried out says so; it never passes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, EndpointSettings, HealthStatusEnum, Ipam,
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::DockerProvider;
use super::engine::{EngineError, bounded};
use super::health;
use super::settings::Address;
use crate::live::ReplicaId;
use crate::provider::{Check, Probe, ProbeOutcome};

/// Why a check without a port is impossible.
const NO_PORT: &str = "it is not known which port to probe; declare `port` or `healthcheck.port`";

/// How a network probe reaches a replica.
pub(super) enum Route {
    /// From here.
    Direct(IpAddr),
    /// From a container in the same network namespace.
    Helper,
}

impl DockerProvider {
    pub(super) async fn probe_possible(&self, check: &Check) -> Result<(), String> {
        match &check.probe {
            Probe::Running | Probe::Command { .. } => Ok(()),
            Probe::Http { port: None, .. } | Probe::Tcp { port: None } => Err(NO_PORT.to_owned()),
            Probe::Http { port: Some(_), .. } | Probe::Tcp { port: Some(_) } => {
                if self.bridge_is_here().await.map_err(|error| error.to_string())? {
                    return Ok(());
                }
                self.helper_possible().await
            }
        }
    }

    pub(super) async fn probe_once(&self, replica: &ReplicaId, check: &Check) -> ProbeOutcome {
        let limit = check.timeout.duration().max(Duration::from_millis(1));
        let inspect = match self.inspect(&replica.0).await {
            Ok(Some(inspect)) => inspect,
            Ok(None) => return ProbeOutcome::Failed("the container is gone".to_owned()),
            Err(error) => return ProbeOutcome::Impossible(error.to_string()),
        };
        let state = inspect.state.clone().unwrap_or_default();
        if state.status != Some(Status::RUNNING) {
            return ProbeOutcome::Failed(match state.status {
                Some(Status::PAUSED) => "it is paused".to_owned(),
                Some(Status::CREATED) => "it was never started".to_owned(),
                _ => format!("it does not run: {}", health::ended(&state)),
            });
        }
        match &check.probe {
            Probe::Running => image_check(&inspect),
            Probe::Command { argv } => self.probe_command(replica, argv, limit).await,
            Probe::Http { port: None, .. } | Probe::Tcp { port: None } => ProbeOutcome::Impossible(NO_PORT.to_owned()),
            Probe::Http { path, port: Some(port) } => match self.route(&inspect).await {
                Ok(Route::Direct(ip)) => http(SocketAddr::new(ip, *port), path, limit).await,
                Ok(Route::Helper) => self.helper_http(replica, path, *port, limit).await,
                Err(error) => ProbeOutcome::Impossible(error.to_string()),
            },
            Probe::Tcp { port: Some(port) } => match self.route(&inspect).await {
                Ok(Route::Direct(ip)) => tcp(SocketAddr::new(ip, *port), limit).await,
                Ok(Route::Helper) => self.helper_tcp(replica, *port, limit).await,
                Err(error) => ProbeOutcome::Impossible(error.to_string()),
            },
        }
    }

    async fn route(&self, inspect: &Arc<ContainerInspectResponse>) -> Result<Route, EngineError> {
        let mode = inspect.host_config.as_ref().and_then(|host| host.network_mode.as_deref()).unwrap_or_default();
        if mode == "host" && self.engine_is_here().await? {
            return Ok(Route::Direct(IpAddr::from([127, 0, 0, 1])));
        }
        let networks = inspect.network_settings.as_ref().and_then(|net| net.networks.as_ref());
        let endpoint = networks.and_then(|networks| networks.get(&self.network()));
        if let Some((ip, gateway)) = endpoint.and_then(addresses)
            && is_ours(gateway)
            && self.engine_is_here().await?
        {
            return Ok(Route::Direct(ip));
        }
        Ok(Route::Helper)
    }

    /// Whether addresses on the environment's network (or, before that exists, the default bridge) can be dialled.
    pub(super) async fn bridge_is_here(&self) -> Result<bool, EngineError> {
        if !self.engine_is_here().await? {
            return Ok(false);
        }
        for name in [self.network(), "bridge".to_owned()] {
            let inspected = self.engine.read(|docker| async move { docker.inspect_network(&name, None).await });
            match inspected.await {
                Ok(network) => return Ok(gateway(network.ipam.as_ref()).is_some_and(is_ours)),
                Err(EngineError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether the Engine runs on this machine and in this network namespace's host: its socket is local, and it goes by
    /// this host's name. Another machine's bridge may well have the address of a local one.
    pub(super) async fn engine_is_here(&self) -> Result<bool, EngineError> {
        let local = match &self.engine.address {
            Address::Unix(_) => true,
            Address::Tcp { authority, .. } => super::registry::loopback(authority),
            Address::Ssh { .. } => false,
        };
        if !local {
            return Ok(false);
        }
        let name = self.engine.host_name().await?;
        Ok(rustix::system::uname().nodename().to_str().is_ok_and(|here| here == name))
    }
}

fn addresses(endpoint: &EndpointSettings) -> Option<(IpAddr, IpAddr)> {
    let ip = endpoint.ip_address.as_deref()?.parse().ok()?;
    Some((ip, endpoint.gateway.as_deref()?.parse().ok()?))
}

fn gateway(ipam: Option<&Ipam>) -> Option<IpAddr> {
    ipam?.config.iter().flatten().find_map(|config| match config.gateway.as_deref() {
        Some(gateway) if !gateway.is_empty() => gateway.split('/').next()?.parse().ok(),
        // The Engine names no gateway for a default bridge that it found in place: it has the subnet's first address.
        Some(_) | None => first_address(config.subnet.as_deref()?),
    })
}

fn first_address(subnet: &str) -> Option<IpAddr> {
    let network: Ipv4Addr = subnet.split('/').next()?.parse().ok()?;
    u32::from(network).checked_add(1).map(|first| Ipv4Addr::from(first).into())
}

/// Whether an address is one of this network namespace's own: only those can be bound.
fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// Without a declared check the image's own counts, where it has one.
fn image_check(inspect: &ContainerInspectResponse) -> ProbeOutcome {
    let check = inspect.state.as_ref().and_then(|state| state.health.as_ref());
    match check.and_then(|check| check.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE | HealthStatusEnum::HEALTHY) => {
            ProbeOutcome::Passed
        }
        Some(HealthStatusEnum::STARTING) => ProbeOutcome::Pending,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = check.and_then(|check| check.log.as_ref()?.last()?.output.clone()).unwrap_or_default();
            ProbeOutcome::Failed(format!("the image's health check fails: {}", bounded(&last)))
        }
    }
}

async fn tcp(address: SocketAddr, limit: Duration) -> ProbeOutcome {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => ProbeOutcome::Passed,
        Ok(Err(error)) => ProbeOutcome::Failed(format!("port {}: {error}", address.port())),
        Err(_) => ProbeOutcome::Failed(late(&format!("port {}", address.port()), limit)),
    }
}

async fn http(address: SocketAddr, path: &str, limit: Duration) -> ProbeOutcome {
    let what = format!("GET :{}{path}", address.port());
    match tokio::time::timeout(limit, get(address, path)).await {
        Ok(Ok(status)) => verdict(&what, status),
        Ok(Err(why)) => ProbeOutcome::Failed(format!("{what}: {}", bounded(&why))),
        Err(_) => ProbeOutcome::Failed(late(&what, limit)),
    }
}

/// One request; redirects are an answer, not an order.
async fn get(address: SocketAddr, path: &str) -> Result<u16, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = hyper::Request::get(path)
        .header("host", format!("localhost:{}", address.port()))
        .header("user-agent", "trueup-probe")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request);
    tokio::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    // The answer's body is nobody's concern: the connection goes with this function.
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(|error| error.to_string())?;
            answer.await
        }
    };
    answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

/// 200 to 399 pass.
pub(super) fn verdict(what: &str, status: u16) -> ProbeOutcome {
    if (200..400).contains(&status) {
        ProbeOutcome::Passed
    } else {
        ProbeOutcome::Failed(format!("{what} answered {status}"))
    }
}

pub(super) fn late(what: &str, limit: Duration) -> String {
    format!("{what}: no answer within {}", crate::live::quantity::Millis(limit.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bollard::models::{Ipam, IpamConfig};

    use super::gateway;

    fn of(gateway_text: Option<&str>, subnet: &str) -> Option<IpAddr> {
        let config = IpamConfig {
            subnet: Some(subnet.to_owned()),
            gateway: gateway_text.map(str::to_owned),
            ..IpamConfig::default()
        };
        gateway(Some(&Ipam { config: Some(vec![config]), ..Ipam::default() }))
    }

    #[test]
    fn a_bridge_without_a_named_gateway_has_its_subnets_first_address() {
        assert_eq!(of(Some("10.1.2.3/16"), "10.1.0.0/16"), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(of(None, "172.17.0.0/16"), Some(IpAddr::from([172, 17, 0, 1])));
        assert_eq!(of(Some(""), "fd00::/64"), None);
    }
}
