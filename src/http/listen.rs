//! Opening what the API is served on.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::peer::group;

/// What the API is served on.
#[derive(Debug)]
pub struct Listeners {
    /// The Unix socket.
    pub unix: UnixListener,
    /// The TCP address, where one is set.
    pub tcp: Option<TcpListener>,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers on the socket.
    #[error("another Trueup answers on {}; stop that one first, or set another `socket`", .0.display())]
    Taken(PathBuf),
    /// The path is there and is no socket.
    #[error("{} is there and is no socket; remove it, or set another `socket`", .0.display())]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("the socket {} cannot be made", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("{address} (`listen`) cannot be listened on")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Makes the daemon's Unix socket, in place of one that nobody answers on. Members of `operators` may open it; where there
/// is no such group, or the daemon may not give the socket to it, only the daemon's own user and root may.
///
/// # Errors
/// See [`ListenError`].
pub async fn unix(path: &Path, operators: &str) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Socket { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::NoSocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => return Err(ListenError::Taken(path.to_owned())),
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Until here the umask decided who may connect; who connected then is still asked for by the kernel's word.
    let set_mode = |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set_mode(0o600).map_err(failed)?;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    match group(&groups, operators) {
        None => tracing::info!(group = operators, "there is no such group: only root and the daemon's user are served"),
        Some((gid, _)) => match std::os::unix::fs::chown(path, None, Some(gid)) {
            Ok(()) => set_mode(0o660).map_err(failed)?,
            Err(error) => {
                tracing::warn!(group = operators, %error, "the socket cannot be given to the group of the operators");
            }
        },
    }
    Ok(listener)
}

/// Opens the TCP address.
///
/// # Errors
/// [`ListenError::Address`].
pub async fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })
}
