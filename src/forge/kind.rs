//! Which forges there are, by the words that routes, settings and the database use. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A forge: where repositories, their pull requests and their reports live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ForgeKind {
    /// GitHub, also GitHub Enterprise.
    Github,
    /// GitLab, of any edition.
    Gitlab,
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center, formerly Server.
    BitbucketServer,
}

/// No forge has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no forge: expected github, gitlab, gitea, forgejo, bitbucket or bitbucket-server")]
pub struct UnknownForge(String);

impl ForgeKind {
    /// Every forge.
    pub const ALL: [ForgeKind; 6] = [
        ForgeKind::Github,
        ForgeKind::Gitlab,
        ForgeKind::Gitea,
        ForgeKind::Forgejo,
        ForgeKind::Bitbucket,
        ForgeKind::BitbucketServer,
    ];

    /// The forge's word.
    pub fn word(self) -> &'static str {
        match self {
            ForgeKind::Github => "github",
            ForgeKind::Gitlab => "gitlab",
            ForgeKind::Gitea => "gitea",
            ForgeKind::Forgejo => "forgejo",
            ForgeKind::Bitbucket => "bitbucket",
            ForgeKind::BitbucketServer => "bitbucket-server",
        }
    }
}

impl fmt::Display for ForgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for ForgeKind {
    type Err = UnknownForge;

    fn from_str(text: &str) -> Result<Self, UnknownForge> {
        let unknown = || UnknownForge(text.chars().take(80).collect());
        ForgeKind::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::ForgeKind;

    #[test]
    fn every_forge_is_read_back_from_its_word() {
        for kind in ForgeKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.word());
        }
        assert!("GitHub".parse::<ForgeKind>().is_err());
    }
}
