//! Which outside services can be registered, by the words that the API, the database and metrics use. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::declared::suggest::did_you_mean;
use crate::forge::ForgeKind;
use crate::ids::schema_as_text;

/// What an outside service is to Trueup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntegrationType {
    /// A forge: repositories, pull requests, reports.
    Scm,
    /// A container registry.
    Registry,
    /// Where pipelines run.
    Ci,
    /// Where services run.
    RuntimeHost,
}

/// Whose product it is, and so how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntegrationProvider {
    /// A forge.
    Forge(ForgeKind),
    /// Harbor.
    Harbor,
    /// Any registry that speaks the OCI distribution specification.
    Oci,
    /// A Docker Engine.
    DockerHost,
    /// None outside: answers what its settings say, for trying things out.
    Memory,
}

/// A word that names nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {what}; {hint}")]
pub struct UnknownWord {
    /// The word, cut to 80 characters.
    pub word: String,
    /// What it should have named.
    pub what: &'static str,
    /// What was probably meant, or what there is.
    pub hint: String,
}

fn unknown(text: &str, what: &'static str, words: &[&str]) -> UnknownWord {
    UnknownWord { word: text.chars().take(80).collect(), what, hint: did_you_mean(text, words) }
}

impl IntegrationType {
    /// Every type.
    pub const ALL: [IntegrationType; 4] =
        [IntegrationType::Scm, IntegrationType::Registry, IntegrationType::Ci, IntegrationType::RuntimeHost];

    /// The type's word.
    pub fn word(self) -> &'static str {
        match self {
            IntegrationType::Scm => "scm",
            IntegrationType::Registry => "registry",
            IntegrationType::Ci => "ci",
            IntegrationType::RuntimeHost => "runtime_host",
        }
    }
}

impl IntegrationProvider {
    /// Every provider.
    pub const ALL: [IntegrationProvider; 10] = [
        IntegrationProvider::Forge(ForgeKind::Github),
        IntegrationProvider::Forge(ForgeKind::Gitlab),
        IntegrationProvider::Forge(ForgeKind::Gitea),
        IntegrationProvider::Forge(ForgeKind::Forgejo),
        IntegrationProvider::Forge(ForgeKind::Bitbucket),
        IntegrationProvider::Forge(ForgeKind::BitbucketServer),
        IntegrationProvider::Harbor,
        IntegrationProvider::Oci,
        IntegrationProvider::DockerHost,
        IntegrationProvider::Memory,
    ];

    /// The provider's word.
    pub fn word(self) -> &'static str {
        match self {
            IntegrationProvider::Forge(kind) => kind.word(),
            IntegrationProvider::Harbor => "harbor",
            IntegrationProvider::Oci => "oci",
            IntegrationProvider::DockerHost => "docker_host",
            IntegrationProvider::Memory => "memory",
        }
    }

    /// What it can be registered as, the usual first. A forge runs pipelines too.
    pub fn types(self) -> &'static [IntegrationType] {
        match self {
            IntegrationProvider::Forge(_) => &[IntegrationType::Scm, IntegrationType::Ci],
            IntegrationProvider::Harbor | IntegrationProvider::Oci => &[IntegrationType::Registry],
            IntegrationProvider::DockerHost => &[IntegrationType::RuntimeHost],
            IntegrationProvider::Memory => &IntegrationType::ALL,
        }
    }

    /// Where it is if nobody says otherwise; `None` where that has to be said.
    pub fn default_endpoint(self) -> Option<&'static str> {
        match self {
            IntegrationProvider::Forge(ForgeKind::Github) => Some("https://github.com"),
            IntegrationProvider::Forge(ForgeKind::Gitlab) => Some("https://gitlab.com"),
            IntegrationProvider::Forge(ForgeKind::Bitbucket) => Some("https://bitbucket.org"),
            IntegrationProvider::Forge(ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::BitbucketServer)
            | IntegrationProvider::Harbor
            | IntegrationProvider::Oci => None,
            IntegrationProvider::DockerHost => Some(crate::provider::docker::DEFAULT_HOST),
            IntegrationProvider::Memory => Some("memory:"),
        }
    }
}

macro_rules! text_word {
    ($name:ident, $what:literal, $description:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let words: Vec<&str> = $name::ALL.iter().map(|known| known.word()).collect();
                $name::ALL.into_iter().find(|known| known.word() == text).ok_or_else(|| unknown(text, $what, &words))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        schema_as_text!($name, $description);
    };
}

text_word!(
    IntegrationType,
    "type of integration",
    "what an integration is to Trueup: scm, registry, ci or runtime_host"
);
text_word!(
    IntegrationProvider,
    "provider of integrations",
    "github, gitlab, gitea, forgejo, bitbucket, bitbucket-server, harbor, oci, docker_host or memory"
);

#[cfg(test)]
mod tests {
    use super::{IntegrationProvider, IntegrationType};
    use crate::forge::ForgeKind;

    #[test]
    fn every_word_is_read_back_and_every_forge_is_a_provider() {
        for provider in IntegrationProvider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
            assert!(!provider.types().is_empty());
        }
        for kind in IntegrationType::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for kind in ForgeKind::ALL {
            assert!(IntegrationProvider::ALL.contains(&IntegrationProvider::Forge(kind)), "{kind}");
        }
    }

    #[test]
    fn a_slip_is_pointed_out() {
        let slip = "githb".parse::<IntegrationProvider>().expect_err("no such provider").to_string();
        assert_eq!(slip, "`githb` is no provider of integrations; did you mean `github`?");
        let odd = "svn".parse::<IntegrationProvider>().expect_err("no such provider").to_string();
        assert!(odd.contains("known here: github, gitlab"), "{odd}");
    }
}
