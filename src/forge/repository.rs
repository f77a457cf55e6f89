//! A repository's place on its forge. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A repository's place on its forge: `acme/shop`, on GitLab also `acme/web/shop`, on Bitbucket Data Center `PROJ/shop`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath(String);

/// A text is no repository's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no repository on a forge: expected OWNER/NAME, such as acme/shop")]
pub struct InvalidRepositoryPath(String);

impl RepositoryPath {
    /// Everything before the last slash: the owner, on GitLab the group with its subgroups.
    pub fn owner(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(owner, _)| owner)
    }

    /// What follows the last slash.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RepositoryPath {
    type Err = InvalidRepositoryPath;

    fn from_str(text: &str) -> Result<Self, InvalidRepositoryPath> {
        // A part of dots alone would climb in a URL; the others would end its path.
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().any(|b| b != b'.')
                && !part.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '%' | '\\'))
        };
        let valid = text.len() <= 512 && text.contains('/') && text.split('/').all(part);
        let invalid = || InvalidRepositoryPath(text.chars().take(80).collect());
        valid.then(|| RepositoryPath(text.to_owned())).ok_or_else(invalid)
    }
}

impl Serialize for RepositoryPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepositoryPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::RepositoryPath;

    #[test]
    fn a_path_is_owner_and_name_and_never_climbs() {
        let nested: RepositoryPath = "acme/web/shop".parse().expect("a path");
        assert_eq!((nested.owner(), nested.name()), ("acme/web", "shop"));
        assert!("~user/shop.git".parse::<RepositoryPath>().is_ok());
        for bad in ["shop", "/shop", "acme/", "acme//shop", "acme/..", "./shop", "a b/c", "a/b?c", "a/b#c", "a/%2e", ""]
        {
            assert!(bad.parse::<RepositoryPath>().is_err(), "{bad}");
        }
    }
}
