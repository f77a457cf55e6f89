//! Keyed fingerprints: HMAC-SHA-256 under a key that never leaves the installation, so that a fingerprint in a plan or a
//! backup lets nobody try out guesses.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::ids::Fingerprint;

/// The key's file within the state directory.
pub const KEY_FILE: &str = "fingerprint.key";

const KEY_BYTES: usize = 32;

/// Why there is no key to fingerprint with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the fingerprint key {path} cannot be {what}: {why}")]
    File {
        /// The file.
        path: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// Others may read the file.
    #[error("the fingerprint key {path} can be read by others (mode {mode:o}): run chmod 600 {path}")]
    Open {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no key.
    #[error(
        "the fingerprint key {path} does not hold {KEY_BYTES} bytes: put it back from a backup; without one, remove it, and every secret shows as changed once"
    )]
    Damaged {
        /// The file.
        path: String,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness for the fingerprint key")]
    NoRandomness,
}

/// Makes fingerprints; cheap to clone.
#[derive(Clone)]
pub struct Fingerprinter {
    key: Arc<hmac::Key>,
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter { .. }")
    }
}

impl Fingerprinter {
    /// Reads the installation's key from a state directory, or makes it there.
    ///
    /// # Errors
    /// A key that cannot be read or made, that others may read, or that is no key.
    pub fn open(state_dir: &Path) -> Result<Self, KeyError> {
        let path = state_dir.join(KEY_FILE);
        match read(&path)? {
            Some(fingerprinter) => Ok(fingerprinter),
            None => {
                create(state_dir, &path)?;
                // Whoever else made it at the same moment won: the file counts, not what was drawn here.
                read(&path)?.ok_or_else(|| file_error(&path, "read", "it was removed while it was made"))
            }
        }
    }

    /// With a key of one's own, where nothing is kept: planning a file without a daemon.
    ///
    /// # Errors
    /// A system without randomness.
    pub fn ephemeral() -> Result<Self, KeyError> {
        Ok(Self::with_key(random()?.as_slice()))
    }

    /// With a given key.
    pub fn with_key(key: &[u8]) -> Self {
        Fingerprinter { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)) }
    }

    /// The fingerprint of a secret's value.
    pub fn fingerprint(&self, value: &str) -> Fingerprint {
        let tag = hmac::sign(&self.key, value.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hex.parse().unwrap_or_else(|_| unreachable!("an HMAC-SHA-256 tag is 64 hexadecimal digits"))
    }
}

fn file_error(path: &Path, what: &'static str, why: impl ToString) -> KeyError {
    KeyError::File { path: path.display().to_string(), what, why: why.to_string() }
}

fn random() -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<Fingerprinter>, KeyError> {
    let failed = |error: std::io::Error| file_error(path, "read", error);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(file_error(path, "read", "it is no regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open { path: path.display().to_string(), mode });
    }
    let damaged = || KeyError::Damaged { path: path.display().to_string() };
    if metadata.len() != KEY_BYTES as u64 {
        return Err(damaged());
    }
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    file.read_exact(key.as_mut_slice()).map_err(|_| damaged())?;
    Ok(Some(Fingerprinter::with_key(key.as_slice())))
}

/// Makes the key: written whole under another name, then linked, so that nobody ever reads half of one.
fn create(state_dir: &Path, path: &Path) -> Result<(), KeyError> {
    let failed = |error: std::io::Error| file_error(path, "made", error);
    let key = random()?;
    let mut draft = tempfile::Builder::new()
        .prefix(".fingerprint-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(state_dir)
        .map_err(failed)?;
    draft.write_all(key.as_slice()).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    match draft.persist_noclobber(path) {
        Ok(_) => File::open(state_dir).and_then(|directory| directory.sync_all()).map_err(failed),
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(refused) => Err(failed(refused.error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Fingerprinter, KEY_FILE, KeyError};

    #[test]
    fn a_fingerprint_is_hmac_sha_256() {
        // RFC 4231, test case 2.
        let fingerprint = Fingerprinter::with_key(b"Jefe").fingerprint("what do ya want for nothing?");
        assert_eq!(fingerprint.as_str(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let state = tempfile::TempDir::new().expect("directory");
        let first = Fingerprinter::open(state.path()).expect("made").fingerprint("x");
        assert_eq!(Fingerprinter::open(state.path()).expect("read").fingerprint("x"), first);
        let file = state.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(state.path()).expect("listed").count(), 1, "no draft is left");
        let other = tempfile::TempDir::new().expect("directory");
        assert_ne!(Fingerprinter::open(other.path()).expect("made").fingerprint("x"), first);
    }

    #[test]
    fn many_at_once_agree_on_one_key() {
        let state = tempfile::TempDir::new().expect("directory");
        let open = || Fingerprinter::open(state.path()).expect("opens").fingerprint("x");
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
        });
        assert!(all.iter().all(|fingerprint| *fingerprint == all[0]));
    }

    #[test]
    fn open_damaged_and_linked_keys_are_refused() {
        let state = tempfile::TempDir::new().expect("directory");
        let file = state.path().join(KEY_FILE);
        Fingerprinter::open(state.path()).expect("made");
        for mode in [0o640, 0o604, 0o666] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(matches!(Fingerprinter::open(state.path()), Err(KeyError::Open { .. })), "{mode:o}");
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        for content in ["", "short", &"x".repeat(33)] {
            std::fs::write(&file, content).expect("written");
            assert!(matches!(Fingerprinter::open(state.path()), Err(KeyError::Damaged { .. })), "{content}");
        }
        std::fs::rename(&file, state.path().join("elsewhere")).expect("moved");
        std::os::unix::fs::symlink("elsewhere", &file).expect("linked");
        assert!(matches!(Fingerprinter::open(state.path()), Err(KeyError::File { .. })));
    }
}
