//! The cases of testdata/: a file each, with what is expected of it beside it.

use std::path::{Path, PathBuf};

/// Set to write what is expected anew.
const UPDATE: &str = "TRUEUP_UPDATE";

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The `.yml` files of a folder of testdata/: name, content, and where its expectation stands.
pub fn cases(folder: &str) -> Vec<(String, Vec<u8>, PathBuf)> {
    let mut cases: Vec<_> = std::fs::read_dir(root().join("testdata").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap(), path.with_extension("txt"))
        })
        .collect();
    cases.sort();
    cases
}

/// Compares with a file, or writes it.
pub fn expect(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&expected, actual).unified_diff().to_string();
    Err(format!("{} is not current ({UPDATE}=1 writes it):\n{diff}", path.display()))
}
