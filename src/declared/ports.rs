//! Published ports: `[ip:][host]:container[/protocol]`, as in Compose's short form.

use std::net::IpAddr;

use schemars::{Schema, json_schema};

use crate::declared::problem::{Wrong, shown};
use crate::declared::shape::Scalar;
use crate::live::value::PortBinding;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    pub(crate) container: u16,
    pub(crate) protocol: &'static str,
    pub(crate) binding: PortBinding,
}

impl PublishedPort {
    /// `PORT/PROTOCOL`, the key of its leaf.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.container, self.protocol)
    }
}

impl Scalar for PublishedPort {
    const EXPECTED: &'static str = "a published port, such as 127.0.0.1:8080:80/tcp";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let fail = || Wrong::new(format!("{} is not {}", shown(text), Self::EXPECTED));
        let (addresses, protocol) = match text.split_once('/') {
            Some((addresses, protocol)) => (addresses, protocol.to_ascii_lowercase()),
            None => (text, "tcp".to_owned()),
        };
        let protocol = PROTOCOLS.into_iter().find(|known| *known == protocol).ok_or_else(|| {
            Wrong::new(format!("{} is none of the protocols tcp, udp, sctp", shown(&protocol)))
                .help("write `/udp` or `/sctp`, or nothing for TCP")
        })?;
        let (ip, ports) = split_ip(addresses).ok_or_else(|| {
            fail()
                .help("the form is [ip:][host]:container[/protocol]; an IPv6 address stands in brackets: [::1]:8080:80")
        })?;
        let (host, container) = match ports.split_once(':') {
            Some((host, container)) => (Some(host), container),
            None => (None, ports),
        };
        let host_port = match host {
            None | Some("") => None,
            Some("0") => return Err(fail().help("for a free port of the host, leave its number out: 127.0.0.1::80")),
            Some(host) => Some(port(host)?),
        };
        let container = port(container)?;
        Ok(PublishedPort { container, protocol, binding: PortBinding { host_ip: ip, host_port } })
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// The address before the ports, if any: `1.2.3.4:`, `[::1]:`.
fn split_ip(text: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, ports) = rest.split_once("]:")?;
        return Some((Some(IpAddr::V6(ip.parse().ok()?)), ports));
    }
    match text.matches(':').count() {
        0 | 1 => Some((None, text)),
        2 => {
            let (ip, ports) = text.split_once(':')?;
            Some((Some(IpAddr::V4(ip.parse().ok()?)), ports))
        }
        _ => None,
    }
}

fn port(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse::<u16>() {
        Ok(port) if digits => Ok(port),
        _ if text.contains('-') => Err(Wrong::new("ranges of ports are not supported").help("write one entry a port")),
        _ => {
            Err(Wrong::new(format!("{} is not a port, 1 to 65535", shown(text))).help("write its number, such as 8080"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PublishedPort;
    use crate::declared::shape::Scalar;

    fn read(text: &str) -> Option<String> {
        let port = PublishedPort::from_text(text).ok()?;
        Some(format!("{} on {}", port.key(), port.binding))
    }

    #[test]
    fn every_form_of_the_syntax() {
        for (text, expected) in [
            ("8080", "8080/tcp on *:(any)"),
            ("8080:80", "80/tcp on *:8080"),
            ("8080:80/UDP", "80/udp on *:8080"),
            ("127.0.0.1:8080:80", "80/tcp on 127.0.0.1:8080"),
            ("127.0.0.1::80", "80/tcp on 127.0.0.1:(any)"),
            ("[::1]:8080:80/tcp", "80/tcp on [::1]:8080"),
            ("[::]:80", "80/tcp on [::]:(any)"),
            (":80", "80/tcp on *:(any)"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "80-90:80-90",
            "0",
            "0:80",
            "65536",
            "080",
            "a:80",
            "::1:80:80",
            "1.2.3:80:80",
            "80/icmp",
            "1.2.3.4:80:80:80",
            "[1.2.3.4]:80:80",
            "80:",
            "80 ",
            "-1",
            "+80",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
