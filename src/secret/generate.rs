//! Secrets that Trueup makes itself: random, in files of the state directory that only the daemon reads.

use std::fs::{DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::AuthRef;

/// Random bytes of a secret; twice as many hexadecimal digits stand in the file.
const BYTES: usize = 32;

/// A generated secret could not be kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a secret cannot be kept in {path}: {why}; the daemon's user has to be able to write there")]
pub struct NotKept {
    path: String,
    why: String,
}

/// Makes a secret and keeps it in `folder` (made where it is missing) under `name`, in place of one of that name. It is
/// on the disk, with mode 0600, when this returns.
///
/// # Errors
/// The file cannot be written; one of that name is as it was.
pub fn generate(folder: &Path, name: &str) -> Result<AuthRef, NotKept> {
    let path = file(folder, name)?;
    let failed = |why: String| NotKept { path: path.display().to_string(), why };
    let mut random = Zeroizing::new([0u8; BYTES]);
    SystemRandom::new().fill(random.as_mut_slice()).map_err(|_| failed("the system gives no randomness".to_owned()))?;
    let text = Zeroizing::new(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    write(folder, &path, text.as_bytes()).map_err(|error| failed(error.to_string()))?;
    Ok(AuthRef::File(path.display().to_string()))
}

/// Removes a secret that was generated; one that is gone is left so.
///
/// # Errors
/// The file cannot be removed.
pub fn discard(folder: &Path, name: &str) -> Result<(), NotKept> {
    let path = file(folder, name)?;
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NotKept { path: path.display().to_string(), why: error.to_string() }),
    }
}

fn file(folder: &Path, name: &str) -> Result<PathBuf, NotKept> {
    std::path::absolute(folder.join(name))
        .map_err(|error| NotKept { path: folder.display().to_string(), why: error.to_string() })
}

/// Written whole under another name, then renamed, so that nobody ever reads half of one.
fn write(folder: &Path, path: &Path, text: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut draft =
        tempfile::Builder::new().prefix(".secret-").permissions(Permissions::from_mode(0o600)).tempfile_in(folder)?;
    draft.write_all(text)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|refused| refused.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{discard, generate};
    use crate::secret::AuthRef;

    #[test]
    fn a_secret_is_random_private_and_replaced_whole() {
        let state = tempfile::tempdir().expect("a directory");
        let folder = state.path().join("webhooks");
        let AuthRef::File(path) = generate(&folder, "shop").expect("kept") else { panic!("a file") };
        let first = std::fs::read_to_string(&path).expect("readable");
        assert!(first.len() == 64 && first.bytes().all(|b| b.is_ascii_hexdigit()));
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(path.as_ref()), mode(&folder)), (0o600, 0o700));
        generate(&folder, "shop").expect("kept");
        assert_ne!(std::fs::read_to_string(&path).expect("readable"), first);
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 1);
        discard(&folder, "shop").expect("removed");
        discard(&folder, "shop").expect("gone already");
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
    }
}
