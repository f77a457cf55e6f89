//! Keyed fingerprints: whether a secret changed can be told without keeping it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::ids::Fingerprint;
use crate::secret::SecretError;

/// The key's file name within the state directory.
pub const KEY_FILE: &str = "fingerprint.key";
/// The key's length in bytes: that of the hash, as RFC 2104 section 3 advises.
const KEY_LEN: usize = 32;

/// The installation's fingerprint function: HMAC-SHA-256 under a key that never leaves the machine. Cheap to clone.
#[derive(Clone)]
pub struct Fingerprints {
    key: Arc<hmac::Key>,
}

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints(key)")
    }
}

impl Fingerprints {
    /// Reads the key from the state directory, making one (mode 0600) where there is none.
    ///
    /// # Errors
    /// A key that cannot be read or made, is open to others, or is not 32 bytes.
    pub fn open(state: &Path) -> Result<Self, SecretError> {
        let path = state.join(KEY_FILE);
        let key = match File::open(&path) {
            Ok(file) => read_key(&path, file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => make_key(&path)?,
            Err(error) => return Err(SecretError::Key { path, why: error.to_string() }),
        };
        Ok(Fingerprints { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &*key)) })
    }

    /// The fingerprint of a value.
    pub fn fingerprint(&self, value: &str) -> Fingerprint {
        let tag = hmac::sign(&self.key, value.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hex.parse().expect("HMAC-SHA-256 is 64 hexadecimal digits")
    }

    /// The fingerprint of a secret.
    pub fn fingerprint_secret(&self, value: &SecretString) -> Fingerprint {
        self.fingerprint(value.expose_secret())
    }
}

fn read_key(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let fail = |why: String| SecretError::Key { path: path.to_owned(), why };
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(fail("others may read it; chmod 600 it".to_owned()));
    }
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_LEN + 1));
    file.take(KEY_LEN as u64 + 1).read_to_end(&mut key).map_err(|error| fail(error.to_string()))?;
    if key.len() != KEY_LEN {
        return Err(fail(format!(
            "it is not {KEY_LEN} bytes; restore it from a backup, or remove it to have a new one made (every secret then shows as changed once)"
        )));
    }
    Ok(key)
}

/// The key is complete under its name or not there: written beside, synced, then linked.
fn make_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let fail = |why: String| SecretError::Key { path: path.to_owned(), why };
    let mut key = Zeroizing::new(vec![0; KEY_LEN]);
    SystemRandom::new().fill(&mut key).map_err(|_| fail("the system gives no random bytes".to_owned()))?;
    let beside: PathBuf = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| fail(error.to_string()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Fingerprints, KEY_FILE};

    #[test]
    fn one_key_for_the_life_of_the_state_directory() {
        let state = tempfile::tempdir().expect("a directory");
        let first = Fingerprints::open(state.path()).expect("made").fingerprint("hunter2");
        let second = Fingerprints::open(state.path()).expect("read").fingerprint("hunter2");
        assert_eq!(first, second);
        let elsewhere = tempfile::tempdir().expect("a directory");
        assert_ne!(first, Fingerprints::open(elsewhere.path()).expect("made").fingerprint("hunter2"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let state = tempfile::tempdir().expect("a directory");
        Fingerprints::open(state.path()).expect("made");
        let path = state.path().join(KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = Fingerprints::open(state.path()).expect_err("open to others").to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
