//! What `trueup supervise` is told in the settings file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What `cgroup` says where none is to be used.
pub const CGROUP_OFF: &str = "off";

/// The supervisor's settings. Its socket is [`super::Settings::supervisor_socket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperviseSettings {
    /// The folder of replicas, their checkouts and logs; see [`super::Settings::supervise_state_dir`].
    pub state_dir: Option<PathBuf>,
    /// The ports that replicas are given.
    pub port_range: PortRange,
    /// Users beside root and the supervisor's own that may ask it: the daemon's first.
    pub peers: Vec<String>,
    /// The delegated cgroup v2 directory, or [`CGROUP_OFF`]; `None`: found by itself.
    pub cgroup: Option<PathBuf>,
    /// Size from which a log is cut back, in bytes; as much again is kept aside.
    pub log_limit: u64,
}

impl Default for SuperviseSettings {
    fn default() -> Self {
        SuperviseSettings {
            state_dir: None,
            // Below the kernel's usual ephemeral ports (32768 and up).
            port_range: PortRange { first: 20_000, last: 29_999 },
            peers: Vec::new(),
            cgroup: None,
            log_limit: 10 << 20,
        }
    }
}

/// A range of ports, both ends included: where the `local` provider takes its processes' from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl PortRange {
    /// The ports, lowest first.
    pub fn ports(self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Whether all of it lies within another range.
    pub fn within(self, outer: PortRange) -> bool {
        outer.first <= self.first && self.last <= outer.last
    }
}

/// The text is no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a port range: write FIRST-LAST with both between 1024 and 65535, such as 20000-29999")]
pub struct InvalidPortRange(String);

impl FromStr for PortRange {
    type Err = InvalidPortRange;

    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let invalid = || InvalidPortRange(text.chars().take(40).collect());
        let (first, last) = text.split_once('-').ok_or_else(invalid)?;
        let first: u16 = first.trim().parse().map_err(|_| invalid())?;
        let last: u16 = last.trim().parse().map_err(|_| invalid())?;
        if first < 1024 || last < first {
            return Err(invalid());
        }
        Ok(PortRange { first, last })
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
