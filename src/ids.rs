//! The names and identifiers that every other module speaks in.
//!
//! Each is parsed once, where it enters, and is valid from then on. Pure: nothing here knows of files,
//! the network or the clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the identifier it was meant to be; `Display` says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {expected}")]
pub struct InvalidId {
    /// What was being parsed, in the reader's words ("project name").
    pub what: &'static str,
    /// The offending text, cut to 80 characters.
    pub text: String,
    /// The rule it breaks.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        InvalidId { what, text: text.chars().take(80).collect(), expected }
    }
}

/// True for a DNS label of RFC 1123 section 2.1 in lower case: `a-z0-9-`, 1 to 63 octets, no hyphen at either end.
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// How a type that is written as text stands in the API's description.
macro_rules! schema_as_text {
    ($name:ident, $description:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($description))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use schema_as_text;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok($name(text.into()))
                } else {
                    Err(InvalidId::new($what, text, $expected))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $expected })
            }
        }

        schema_as_text!($name, $expected);
    };
}

text_id!(
    /// A project: one Git repository with its credentials, tracked branch and config path.
    ProjectName, "project name", "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit (a DNS label)", is_dns_label
);
text_id!(
    /// An environment of a project: a named destination that an operator created.
    EnvironmentName, "environment name", "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit (a DNS label)", is_dns_label
);
text_id!(
    /// A service: one long-running workload of an environment.
    ServiceName, "service name", "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit (a DNS label)", is_dns_label
);
text_id!(
    /// The name under which an environment holds a secret; the value is behind an auth reference.
    SecretName, "secret name", "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit (a DNS label)", is_dns_label
);
text_id!(
    /// An integration: a registered outside service.
    IntegrationName, "integration name", "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit (a DNS label)", is_dns_label
);
text_id!(
    /// A commit's object id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    CommitSha, "commit id", "40 or 64 lower-case hexadecimal digits",
    |text| matches!(text.len(), 40 | 64) && is_lower_hex(text)
);
text_id!(
    /// A plan's name: SHA-256 over its canonical form, 64 lower-case hexadecimal digits.
    PlanDigest, "plan digest", "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && is_lower_hex(text)
);
text_id!(
    /// A service's code: SHA-256 over the Git blob ids that its `source` globs match, 64 hexadecimal digits.
    SourceHash, "source hash", "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && is_lower_hex(text)
);
text_id!(
    /// A keyed fingerprint (HMAC-SHA-256 under the installation's key) of a secret's value: 64 hexadecimal digits.
    Fingerprint, "fingerprint", "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && is_lower_hex(text)
);

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The shortest prefix of a plan digest that `--plan` accepts.
pub const DIGEST_PREFIX_MIN: usize = 8;

impl CommitSha {
    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl PlanDigest {
    /// The first twelve digits, for people; any prefix of eight or more names the plan where it is unique.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl SourceHash {
    /// The first twelve digits: what `{{ .Source }}` substitutes, short enough for an image tag.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// A run's number, counted up per installation from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        match digits.parse::<u64>() {
            Ok(number) if number > 0 => Ok(RunId(number)),
            _ => Err(InvalidId::new("run", text, "a run's number, as `trueup history` lists it")),
        }
    }
}

/// `PROJECT/ENVIRONMENT`, as the command line and the API name an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvironmentRef {
    /// The project.
    pub project: ProjectName,
    /// The environment within it.
    pub environment: EnvironmentName,
}

impl fmt::Display for EnvironmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

impl FromStr for EnvironmentRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (project, environment) = text
            .split_once('/')
            .ok_or_else(|| InvalidId::new("environment", text, "PROJECT/ENVIRONMENT, such as shop/production"))?;
        Ok(EnvironmentRef { project: project.parse()?, environment: environment.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{CommitSha, EnvironmentRef, ProjectName, RunId};

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "shop", "a-b", "0x", &"a".repeat(63)] {
            assert!(good.parse::<ProjectName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn environment_refs_round_trip() {
        let parsed: EnvironmentRef = "shop/production".parse().expect("valid");
        assert_eq!(parsed.to_string(), "shop/production");
        assert!("shop".parse::<EnvironmentRef>().is_err());
        assert!("shop/a/b".parse::<EnvironmentRef>().is_err());
    }

    #[test]
    fn commits_and_runs() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitSha>().is_ok());
        assert!("0123456789ABCDEF0123456789abcdef01234567".parse::<CommitSha>().is_err());
        assert_eq!("#7".parse::<RunId>(), Ok(RunId(7)));
        assert!("0".parse::<RunId>().is_err());
    }
}
