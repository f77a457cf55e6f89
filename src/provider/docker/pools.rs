//! How many networks an Engine can still make: its address pools less the subnets in use. Pure.

use std::fmt;
use std::net::Ipv4Addr;

use bollard::models::{Network, SystemInfo};

/// An IPv4 subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subnet {
    base: u32,
    bits: u32,
}

/// A range from which the Engine cuts networks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    range: Subnet,
    size: u32,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/')?;
        let (base, bits): (Ipv4Addr, u32) = (base.parse().ok()?, bits.parse().ok()?);
        (bits <= 32).then(|| Subnet { base: u32::from(base) & mask(bits), bits })
    }

    fn overlaps(self, other: Subnet) -> bool {
        let bits = self.bits.min(other.bits);
        self.base & mask(bits) == other.base & mask(bits)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

/// The pools that the Engine reports, or those that it has built in (libnetwork, ipamutils: 172.17 to 172.31 by /16,
/// 192.168.0.0/16 by /20).
pub(super) fn configured(info: &SystemInfo) -> Vec<Pool> {
    let reported: Vec<Pool> = info
        .default_address_pools
        .iter()
        .flatten()
        .filter_map(|pool| {
            let range = Subnet::parse(pool.base.as_deref()?)?;
            Some(Pool { range, size: u32::try_from(pool.size?).ok()? })
        })
        .collect();
    if !reported.is_empty() {
        return reported;
    }
    let big = (17..=31).map(|second| Pool { range: Subnet { base: (172 << 24) | (second << 16), bits: 16 }, size: 16 });
    big.chain([Pool { range: Subnet { base: (192 << 24) | (168 << 16), bits: 16 }, size: 20 }]).collect()
}

/// The IPv4 subnets of the Engine's networks, in order.
pub(super) fn used(networks: &[Network]) -> Vec<Subnet> {
    let configs = networks.iter().filter_map(|network| network.ipam.as_ref()?.config.as_ref()).flatten();
    let mut subnets: Vec<Subnet> = configs.filter_map(|config| Subnet::parse(config.subnet.as_deref()?)).collect();
    subnets.sort();
    subnets.dedup();
    subnets
}

/// How many subnets are left. A pool with very many counts as 4096.
pub(super) fn free(pools: &[Pool], used: &[Subnet]) -> usize {
    let mut free = 0;
    for pool in pools {
        let extra = pool.size.saturating_sub(pool.range.bits).min(12);
        for number in 0..(1u32 << extra) {
            let step = number.checked_shl(32 - pool.size).unwrap_or(0);
            let subnet = Subnet { base: pool.range.base | step, bits: pool.size };
            free += usize::from(!used.iter().any(|taken| taken.overlaps(subnet)));
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use bollard::models::{SystemInfo, SystemInfoDefaultAddressPools};

    use super::{Subnet, configured, free};

    #[test]
    fn the_built_in_pools_hold_31_networks() {
        let pools = configured(&SystemInfo::default());
        assert_eq!(free(&pools, &[]), 31);
        let used: Vec<Subnet> = ["172.17.0.0/16", "172.18.0.0/16", "192.168.16.0/20", "10.0.0.0/8"]
            .map(|s| Subnet::parse(s).expect(s))
            .into();
        assert_eq!(free(&pools, &used), 28);
        let wide = [Subnet::parse("172.16.0.0/12").expect("valid")];
        assert_eq!(free(&pools, &wide), 16);
    }

    #[test]
    fn configured_pools_count_instead() {
        let pool = SystemInfoDefaultAddressPools { base: Some("10.200.0.0/16".into()), size: Some(24) };
        let info = SystemInfo { default_address_pools: Some(vec![pool]), ..Default::default() };
        assert_eq!(free(&configured(&info), &[]), 256);
    }
}
