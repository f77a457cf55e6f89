//! The operator's settings of a `local` environment, parsed once. Pure.

use std::collections::BTreeMap;

use crate::settings::{InvalidPortRange, PortRange};

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

    use super::LocalSettings;
    use crate::settings::PortRange;
    use crate::settings::Settings;

    #[test]
    fn ranges_parse_and_count() {
        let range: PortRange = "65530-65535".parse().expect("valid");
        assert_eq!(range.ports().collect::<Vec<_>>(), [65530, 65531, 65532, 65533, 65534, 65535]);
        assert_eq!(range.ports().count(), 6);
        assert!(!range.within(Settings::default().supervise.port_range));
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
