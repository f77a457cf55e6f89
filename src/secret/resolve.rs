//! Auth reference → value. Every resolution is audited, and nothing is cached.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::secret::AuthRef;
use crate::secret::fingerprint::Fingerprints;
use crate::store::records::AuditEntry;
use crate::store::{Store, StoreError};

/// The longest secret that is read, in bytes.
pub const SECRET_MAX: u64 = 64 * 1024;
/// Equal resolutions (who, what, for what) within this time are one line of the audit log with a count.
const FOLD: SignedDuration = SignedDuration::from_hours(1);

/// Why a secret has no value. Never holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error(
        "{reference}: the daemon's environment has no variable of that name (set it in the unit, or with EnvironmentFile=)"
    )]
    NoVariable {
        /// The reference.
        reference: AuthRef,
    },
    /// The file cannot be used.
    #[error("{reference}: {why}")]
    File {
        /// The reference.
        reference: AuthRef,
        /// What is wrong and what to do.
        why: String,
    },
    /// The value cannot be used.
    #[error("{reference}: {why}")]
    Value {
        /// The reference.
        reference: AuthRef,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The fingerprint key cannot be used.
    #[error("the fingerprint key {}: {why}", .path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// The resolution could not be audited, so it was refused.
    #[error("the resolution could not be audited")]
    Audit(#[from] StoreError),
}

/// Resolves auth references. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Secrets {
    store: Store,
    fingerprints: Fingerprints,
}

impl Secrets {
    /// A resolver that audits to `store` and fingerprints under the key in the state directory.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(store: Store, state: &Path) -> Result<Self, SecretError> {
        Ok(Secrets { store, fingerprints: Fingerprints::open(state)? })
    }

    /// The installation's fingerprint function.
    pub fn fingerprints(&self) -> Fingerprints {
        self.fingerprints.clone()
    }

    /// The value behind a reference. `purpose` and `actor` go to the audit log, before the value is used.
    ///
    /// # Errors
    /// [`SecretError`]; a missing secret refuses, and an empty one is missing.
    pub async fn resolve(&self, reference: &AuthRef, purpose: &str, actor: &str) -> Result<SecretString, SecretError> {
        let value = match reference {
            AuthRef::Env(name) => std::env::var(name).map(Zeroizing::new).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::NoVariable { reference: reference.clone() },
                std::env::VarError::NotUnicode(_) => {
                    SecretError::Value { reference: reference.clone(), why: "its value is not UTF-8" }
                }
            }),
            AuthRef::File(path) => read(reference, Path::new(path)),
        };
        let outcome = match &value {
            Ok(_) => "resolved".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        let entry = AuditEntry {
            at: Timestamp::now(),
            actor: actor.to_owned(),
            operation: format!("secret for {purpose}"),
            target: reference.to_string(),
            outcome,
        };
        self.store.append_audit_folded(entry, FOLD).await?;
        let value = value?;
        let value = value.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).unwrap_or(&value);
        if value.is_empty() {
            return Err(SecretError::Value { reference: reference.clone(), why: "it is empty" });
        }
        Ok(SecretString::from(value))
    }
}

fn read(reference: &AuthRef, path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let fail = |why: String| SecretError::File { reference: reference.clone(), why };
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => fail("there is no such file".to_owned()),
        ErrorKind::PermissionDenied => fail("the daemon's user may not read it".to_owned()),
        _ => fail(error.to_string()),
    })?;
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fail("it is not a regular file".to_owned()));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(fail("everyone on this machine may use it; chmod o-rwx it".to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > SECRET_MAX {
        return Err(fail(format!("it is larger than {SECRET_MAX} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}
