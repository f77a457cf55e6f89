//! What the supervisor remembers of its replicas, as files that survive a crash at any point: written beside, synced,
//! renamed. One folder per replica:
//!
//! ```text
//! STATE/replicas/ID/spec.json    what it is to be, without the values of its environment
//! STATE/replicas/ID/state.json   what it should be doing, and its process
//! STATE/replicas/ID/source.json  the files of its checkout as they were laid down
//! STATE/replicas/ID/checkout/    its code          STATE/replicas/ID/home/   its HOME
//! STATE/replicas/ID/log, log.1   its output
//! STATE/secrets/ID.json          the values of its environment: 0600 in a folder of 0700, the supervisor's own
//! STATE/staging/ID/              checkouts before they become a replica's
//! ```
//!
//! The values must outlive the supervisor, or no policy could start a replica again after a crash. They are not sealed:
//! whoever can read the supervisor's files could read the key beside them too.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::provider::local::supervisor::policy::Ending;
use crate::provider::local::supervisor::process::Identity;
use crate::provider::local::supervisor::replica::Blueprint;

/// The version of these files.
pub(super) const FORMAT: u32 = 1;

/// `spec.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Where it should listen.
    pub(super) port: u16,
    /// What it is to be.
    pub(super) blueprint: Blueprint,
}

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// What was asked for last.
    pub(super) wanted: Wanted,
    /// Its main process. Written before the process is let go on, cleared after its end.
    pub(super) process: Option<Identity>,
    /// When that process was started.
    pub(super) started_at: Option<Timestamp>,
    /// Restarts by policy since the last start on request.
    pub(super) restarts: u32,
    /// Ends in a row that came soon after a start.
    pub(super) quick_ends: u32,
    /// How it ended last.
    pub(super) ended: Option<Ending>,
}

/// What was asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    /// Nothing yet.
    Prepared,
    /// That it runs.
    Running,
    /// That it does not.
    Stopped,
}

impl State {
    /// A replica that was made and never started.
    pub(super) fn prepared() -> Self {
        State {
            format: FORMAT,
            wanted: Wanted::Prepared,
            process: None,
            started_at: None,
            restarts: 0,
            quick_ends: 0,
            ended: None,
        }
    }
}

/// Where everything lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

/// The mode of folders that a replica's user must be able to pass through.
const PASSABLE: u32 = 0o711;
/// The mode of what is the supervisor's alone.
const OWN_FOLDER: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

impl Layout {
    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// One cannot be made or given its mode.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let layout = Layout { root };
        for (folder, mode) in [
            (layout.root.clone(), PASSABLE),
            (layout.replicas(), PASSABLE),
            (layout.secrets(), OWN_FOLDER),
            (layout.staging(), OWN_FOLDER),
        ] {
            make_folder(&folder, mode)?;
        }
        Ok(layout)
    }

    /// The folder of all replicas.
    pub(super) fn replicas(&self) -> PathBuf {
        self.root.join("replicas")
    }

    /// The folder of the environments' values.
    pub(super) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The folder of checkouts that are no replica's yet.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// The file whose lock says that a supervisor is at work here.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// One replica's folder.
    pub(super) fn replica(&self, id: &str) -> PathBuf {
        self.replicas().join(id)
    }

    /// One replica's code.
    pub(super) fn checkout(&self, id: &str) -> PathBuf {
        self.replica(id).join("checkout")
    }

    /// One replica's home directory.
    pub(super) fn home(&self, id: &str) -> PathBuf {
        self.replica(id).join("home")
    }

    /// One replica's output.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.replica(id).join("log")
    }

    /// The values of one replica's environment.
    pub(super) fn values(&self, id: &str) -> PathBuf {
        self.secrets().join(format!("{id}.json"))
    }
}

/// Makes a folder with exactly this mode, whatever the umask; one that is there gets the mode.
///
/// # Errors
/// It cannot be made or given its mode.
pub(super) fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let context =
        |error: io::Error| io::Error::new(error.kind(), format!("making the folder {}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(context)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).map_err(context)
}

/// Writes a file so that after a crash it is either as before or complete.
///
/// # Errors
/// It cannot be written; nothing was changed.
pub(super) fn write_json<T: Serialize>(file: &Path, content: &T) -> io::Result<()> {
    let context = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", file.display()));
    let folder = file.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let beside = file.with_extension("new");
    let text = zeroize::Zeroizing::new(serde_json::to_vec(content).map_err(io::Error::other)?);
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(OWN_FILE).open(&beside).map_err(context)?;
    out.write_all(&text).and_then(|()| out.sync_all()).map_err(context)?;
    std::fs::rename(&beside, file).map_err(context)?;
    sync_folder(folder).map_err(context)
}

/// Makes the names in a folder survive a crash.
///
/// # Errors
/// The file system refused.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads a file that [`write_json`] wrote.
///
/// # Errors
/// It cannot be read, or is not what it should be.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> io::Result<T> {
    let context = |error: io::Error| io::Error::new(error.kind(), format!("reading {}: {error}", file.display()));
    let text = zeroize::Zeroizing::new(std::fs::read(file).map_err(context)?);
    serde_json::from_slice(&text).map_err(|error| context(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Deletes a folder with all in it; one that is gone is fine.
///
/// # Errors
/// The file system refused.
pub(super) fn delete_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| io::Error::new(error.kind(), format!("deleting {}: {error}", folder.display()))),
    }
}

/// Deletes a file; one that is gone is fine.
///
/// # Errors
/// The file system refused.
pub(super) fn delete_file(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| io::Error::new(error.kind(), format!("deleting {}: {error}", file.display()))),
    }
}
