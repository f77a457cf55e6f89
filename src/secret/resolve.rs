//! From an auth reference to the secret's value: bounded, checked, and witnessed each time.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::mask::MASK_MIN;
use super::{AuthRef, Fingerprinter, KeyError};
use crate::ids::Fingerprint;

/// The longest secret, in bytes.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why a secret has no value. Names the reference, never a value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("{0} has no value: the variable is not set in the daemon's environment (with systemd: EnvironmentFile=)")]
    NotSet(AuthRef),
    /// The file cannot be read.
    #[error("{reference} has no value: the file cannot be read: {why}")]
    Unreadable {
        /// The reference.
        reference: AuthRef,
        /// What the system said.
        why: String,
    },
    /// Everyone on the machine can read or change the file.
    #[error(
        "{reference} is refused: everyone on this machine may read or change the file (mode {mode:o}); run chmod o= {path}"
    )]
    Open {
        /// The reference.
        reference: AuthRef,
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// What was found is no secret.
    #[error("{reference} is refused: {why}")]
    Invalid {
        /// The reference.
        reference: AuthRef,
        /// What is wrong.
        why: &'static str,
    },
    /// It could not be masked in what a service prints.
    #[error(
        "{0} is refused: its value has fewer than {MASK_MIN} bytes, which cannot be masked in what a service prints; use a longer one"
    )]
    Short(AuthRef),
    /// The resolution could not be written to the audit log, so it was not made.
    #[error("{reference} was not resolved, as the audit log cannot be written: {why}")]
    Unaudited {
        /// The reference.
        reference: AuthRef,
        /// Why not.
        why: String,
    },
}

/// Whoever writes down that a secret was resolved.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Writes it down. `failed` says why there was no value.
    ///
    /// # Errors
    /// Why it could not be written: the value is then not handed out.
    async fn resolved(
        &self,
        reference: &AuthRef,
        purpose: &str,
        actor: &str,
        failed: Option<&str>,
    ) -> Result<(), String>;
}

/// Resolves auth references and makes fingerprints; cheap to clone. Holds no secret but the fingerprint key.
#[derive(Clone)]
pub struct Secrets {
    witness: Arc<dyn Witness>,
    fingerprinter: Fingerprinter,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets { .. }")
    }
}

impl Secrets {
    /// A resolver for the installation in `state_dir`, whose fingerprint key is made where it is missing.
    ///
    /// # Errors
    /// No usable fingerprint key.
    pub fn new(witness: Arc<dyn Witness>, state_dir: &Path) -> Result<Self, KeyError> {
        Ok(Secrets { witness, fingerprinter: Fingerprinter::open(state_dir)? })
    }

    /// A resolver with a given fingerprinter.
    pub fn with_fingerprinter(witness: Arc<dyn Witness>, fingerprinter: Fingerprinter) -> Self {
        Secrets { witness, fingerprinter }
    }

    /// The value behind a reference, read now. `purpose` says what for (`shop/production: database-url`), `actor` for
    /// whom; both go to the audit log.
    ///
    /// # Errors
    /// No value, one that is refused, or an audit log that cannot be written.
    pub async fn resolve(&self, reference: &AuthRef, purpose: &str, actor: &str) -> Result<SecretString, SecretError> {
        let result = {
            let reference = reference.clone();
            tokio::task::spawn_blocking(move || read(&reference)).await
        };
        let result = result.unwrap_or_else(|error| {
            Err(SecretError::Unreadable { reference: reference.clone(), why: error.to_string() })
        });
        let failed = result.as_ref().err().map(ToString::to_string);
        let witnessed = self.witness.resolved(reference, purpose, actor, failed.as_deref()).await;
        match (result, witnessed) {
            (Ok(_), Err(why)) => Err(SecretError::Unaudited { reference: reference.clone(), why }),
            (result, _) => result,
        }
    }

    /// The value that a service is given; otherwise as [`Secrets::resolve`].
    ///
    /// # Errors
    /// Besides, [`SecretError::Short`].
    pub async fn resolve_for_service(
        &self,
        reference: &AuthRef,
        purpose: &str,
        actor: &str,
    ) -> Result<SecretString, SecretError> {
        let value = self.resolve(reference, purpose, actor).await?;
        if value.expose_secret().len() < MASK_MIN {
            return Err(SecretError::Short(reference.clone()));
        }
        Ok(value)
    }

    /// The fingerprint of a value.
    pub fn fingerprint(&self, value: &str) -> Fingerprint {
        self.fingerprinter.fingerprint(value)
    }

    /// What makes the fingerprints, for whoever needs nothing else.
    pub fn fingerprinter(&self) -> &Fingerprinter {
        &self.fingerprinter
    }
}

fn read(reference: &AuthRef) -> Result<SecretString, SecretError> {
    let invalid = |why| SecretError::Invalid { reference: reference.clone(), why };
    let mut value = match reference {
        AuthRef::Env(name) => match std::env::var_os(name) {
            Some(value) => Zeroizing::new(value.into_string().map_err(|_| invalid("the value is not UTF-8 text"))?),
            None => return Err(SecretError::NotSet(reference.clone())),
        },
        AuthRef::File(path) => {
            let bytes = read_file(reference, path)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| invalid("the file is not UTF-8 text"))?;
            let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
            Zeroizing::new(line.unwrap_or(text).to_owned())
        }
    };
    if value.is_empty() {
        return Err(invalid("the value is empty"));
    }
    if value.len() as u64 > SECRET_BYTES_MAX {
        return Err(invalid("the value is longer than 64 KiB"));
    }
    if value.contains('\0') {
        return Err(invalid("the value holds a NUL character"));
    }
    Ok(SecretString::from(std::mem::take(&mut *value)))
}

fn read_file(reference: &AuthRef, path: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable =
        |error: std::io::Error| SecretError::Unreadable { reference: reference.clone(), why: error.to_string() };
    let invalid = |why| SecretError::Invalid { reference: reference.clone(), why };
    // NONBLOCK: a FIFO or a device must not hold the thread before it is seen to be no regular file.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(invalid("it is no regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(SecretError::Open { reference: reference.clone(), path: path.to_owned(), mode });
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(invalid("the file is longer than 64 KiB"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 1));
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(invalid("the file is longer than 64 KiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
