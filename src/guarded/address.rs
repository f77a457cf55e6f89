//! Which addresses belong to the public internet. Pure.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890 and its updates). An IPv6 address that
//! carries an IPv4 address is judged by what it carries, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is none of the public internet; `None` for a public one.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c, d) {
        (0, ..) => "unspecified",
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => "private",
        (100, 64..=127, ..) => "shared address space of a carrier",
        (127, ..) => "loopback",
        (169, 254, ..) => "link-local",
        (192, 0, 0, _) => "reserved for protocols",
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => "reserved for documentation",
        (192, 88, 99, _) => "a 6to4 relay",
        (198, 18..=19, ..) => "reserved for benchmarks",
        (224..=239, ..) => "multicast",
        (255, 255, 255, 255) => "broadcast",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => return Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => return Some("loopback"),
        // IPv4-mapped (RFC 4291) and translated (RFC 2765): no such address is ever on the wire.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => return refusal_v4(low),
        [0, 0, 0, 0, 0, 0, ..] => return refusal_v4(low).or(Some("reserved")),
        // NAT64 (RFC 6052): what is asked is the IPv4 address in it.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => return refusal_v4(low),
        // NAT64 within a network (RFC 8215).
        [0x64, 0xff9b, 1, ..] => return Some("private"),
        // 6to4 (RFC 3056) carries an IPv4 address in its second and third part.
        [0x2002, ..] => return refusal_v4(Ipv4Addr::from((bits >> 80) as u32)),
        [0x2001, 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => return Some("reserved for documentation"),
        // Teredo (RFC 4380) hides a host behind any relay.
        [0x2001, 0, ..] => return Some("a Teredo tunnel"),
        [0x2001, 0x0000..=0x01ff, ..] => return Some("reserved for protocols"),
        _ => {}
    }
    match parts[0] {
        0xfc00..=0xfdff => Some("private"),
        0xfe80..=0xfebf => Some("link-local"),
        0xfec0..=0xfeff => Some("private"),
        0xff00..=0xffff => Some("multicast"),
        // What is in use of the global unicast space.
        0x2000..=0x3fff => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn every_special_range_is_refused_at_both_ends_and_its_neighbours_are_not() {
        for (address, word) in [
            ("0.0.0.0", Some("unspecified")),
            ("0.255.255.255", Some("unspecified")),
            ("1.0.0.0", None),
            ("9.255.255.255", None),
            ("10.0.0.0", Some("private")),
            ("10.255.255.255", Some("private")),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some("shared address space of a carrier")),
            ("100.127.255.255", Some("shared address space of a carrier")),
            ("100.128.0.0", None),
            ("126.255.255.255", None),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.255", Some("loopback")),
            ("128.0.0.0", None),
            ("169.253.255.255", None),
            ("169.254.169.254", Some("link-local")),
            ("169.255.0.0", None),
            ("172.15.255.255", None),
            ("172.16.0.0", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.0.0.8", Some("reserved for protocols")),
            ("192.0.1.0", None),
            ("192.0.2.1", Some("reserved for documentation")),
            ("192.88.99.1", Some("a 6to4 relay")),
            ("192.167.255.255", None),
            ("192.168.0.0", Some("private")),
            ("192.168.255.255", Some("private")),
            ("192.169.0.0", None),
            ("198.17.255.255", None),
            ("198.18.0.0", Some("reserved for benchmarks")),
            ("198.19.255.255", Some("reserved for benchmarks")),
            ("198.20.0.0", None),
            ("198.51.100.7", Some("reserved for documentation")),
            ("203.0.113.7", Some("reserved for documentation")),
            ("223.255.255.255", None),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("broadcast")),
            ("140.82.121.6", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::7f00:1", Some("loopback")),
            ("::8.8.8.8", Some("reserved")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:10.1.2.3", Some("private")),
            ("::ffff:8.8.8.8", None),
            ("::ffff:0:192.168.0.1", Some("private")),
            ("64:ff9b::7f00:1", Some("loopback")),
            ("64:ff9b::a9fe:a9fe", Some("link-local")),
            ("64:ff9b::808:808", None),
            ("64:ff9b:1::808:808", Some("private")),
            ("100::1", Some("reserved")),
            ("2002:7f00:1::1", Some("loopback")),
            ("2002:a00:1::1", Some("private")),
            ("2002:808:808::1", None),
            ("2001::1", Some("a Teredo tunnel")),
            ("2001:20::1", Some("reserved for protocols")),
            ("2001:db8::1", Some("reserved for documentation")),
            ("3fff::1", Some("reserved for documentation")),
            ("2001:4860:4860::8888", None),
            ("2606:50c0:8000::153", None),
            ("4000::1", Some("reserved")),
            ("fc00::1", Some("private")),
            ("fdff::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("private")),
            ("ff02::1", Some("multicast")),
        ] {
            assert_eq!(refusal(address.parse().expect("an address")), word, "{address}");
        }
    }
}
