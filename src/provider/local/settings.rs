//! The operator's settings of a `local` environment, parsed once. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::PortRange;

/// What a supervisor gives ports from unless told otherwise: below the kernel's usual ephemeral ports (32768 and up).
pub const PORTS_DEFAULT: PortRange = PortRange { first: 20_000, last: 29_999 };

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

/// The settings of one environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalSettings {
    /// `port_range`: where its replicas' ports are taken from; `None` for the supervisor's own range.
    pub port_range: Option<PortRange>,
    /// `allow_own_user`: whether replicas may run as the daemon's own user.
    pub allow_own_user: bool,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocalSettings {
    /// No such setting.
    #[error("the local provider has no setting `{0}`; it has `port_range` and `allow_own_user`")]
    Unknown(String),
    /// `port_range` is no range.
    #[error("setting `port_range`: {0}")]
    PortRange(InvalidPortRange),
    /// `allow_own_user` is neither true nor false.
    #[error("setting `allow_own_user`: `{0}` is neither `true` nor `false`")]
    AllowOwnUser(String),
}

impl LocalSettings {
    /// Parses an environment's provider settings.
    ///
    /// # Errors
    /// A key that is none, or a value that is not valid for its key.
    pub fn parse(settings: &BTreeMap<String, String>) -> Result<Self, InvalidLocalSettings> {
        let mut parsed = LocalSettings::default();
        for (key, value) in settings {
            match key.as_str() {
                "port_range" => {
                    parsed.port_range = Some(value.parse().map_err(InvalidLocalSettings::PortRange)?);
                }
                "allow_own_user" => {
                    parsed.allow_own_user = value
                        .parse()
                        .map_err(|_| InvalidLocalSettings::AllowOwnUser(value.chars().take(40).collect()))?;
                }
                _ => return Err(InvalidLocalSettings::Unknown(key.chars().take(60).collect())),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{LocalSettings, PORTS_DEFAULT};
    use crate::settings::PortRange;

    #[test]
    fn ranges_parse_and_count() {
        let range: PortRange = "65530-65535".parse().expect("valid");
        assert_eq!(range.ports().collect::<Vec<_>>(), [65530, 65531, 65532, 65533, 65534, 65535]);
        assert_eq!(range.ports().count(), 6);
        assert!(!range.within(PORTS_DEFAULT));
        for bad in ["", "1-2", "2000", "3000-2000", "2000-70000", "a-b", "20000-"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_parsed_and_unknown_ones_refused() {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(LocalSettings::parse(&map("allow_own_user", "true")).expect("valid").allow_own_user);
        assert!(LocalSettings::parse(&map("allow_own_user", "yes")).is_err());
        assert!(LocalSettings::parse(&map("port-range", "20000-20010")).is_err());
        assert_eq!(LocalSettings::parse(&BTreeMap::new()), Ok(LocalSettings::default()));
    }
}
