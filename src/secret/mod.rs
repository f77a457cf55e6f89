//! Auth references: URIs that name a secret without holding it, and the keyed fingerprints by which secrets compare.
//! A secret that Trueup makes itself is a file that such a reference names.
//!
//! Values are read when they are needed, handed on as [`secrecy::SecretString`], and kept nowhere. Must not know where
//! the audit log is: whoever resolves brings a [`Witness`].

mod fingerprint;
pub mod generate;
pub mod mask;
mod resolve;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use fingerprint::{Fingerprinter, KEY_FILE, KeyError};
pub use resolve::{SECRET_BYTES_MAX, SecretError, Secrets, Witness};

use crate::ids::schema_as_text;

/// A URI that names a secret: `env://NAME` or `file:///absolute/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthRef {
    /// A variable of the daemon's environment.
    Env(String),
    /// A file, its trailing newline left out.
    File(String),
}

/// Why a text is no auth reference. Never repeats the text: it may be the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an auth reference: write env://NAME or file:///absolute/path (the secret itself is never given to Trueup)"
)]
pub struct InvalidAuthRef;

impl FromStr for AuthRef {
    type Err = InvalidAuthRef;

    fn from_str(text: &str) -> Result<Self, InvalidAuthRef> {
        if let Some(name) = text.strip_prefix("env://") {
            let valid = !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return valid.then(|| AuthRef::Env(name.to_owned())).ok_or(InvalidAuthRef);
        }
        if let Some(path) = text.strip_prefix("file://") {
            let valid = path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
            return valid.then(|| AuthRef::File(path.to_owned())).ok_or(InvalidAuthRef);
        }
        Err(InvalidAuthRef)
    }
}

impl fmt::Display for AuthRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthRef::Env(name) => write!(f, "env://{name}"),
            AuthRef::File(path) => write!(f, "file://{path}"),
        }
    }
}

impl Serialize for AuthRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuthRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

schema_as_text!(AuthRef, "an auth reference: env://NAME or file:///absolute/path");
