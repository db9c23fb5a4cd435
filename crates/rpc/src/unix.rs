use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::UdsConnectInfo;

use crate::ServeError;
use crate::server::serve_incoming;

/// Everybody who can reach the folder may connect: who can is decided by what the folder is shared with.
const SOCKET_MODE: u32 = 0o666;
const LOCK_MODE: u32 = 0o600;

/// A path cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindUnixError {
    #[error("somebody answers at {path} already; stop that process, or choose another path")]
    InUse { path: PathBuf },
    #[error("{path} is there and is no socket, so it is left alone; choose another path, or remove it")]
    NotASocket { path: PathBuf },
    #[error(
        "cannot listen on {path}: {source}; choose a path of at most 107 bytes in a folder that this process can write"
    )]
    Listen { path: PathBuf, source: io::Error },
}

/// A listener on a Unix socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct UnixListening {
    listener: Option<UnixListener>,
    path: PathBuf,
    /// Who holds it owns the path: two starts at once must not remove each other's socket.
    _lock: File,
}

impl Drop for UnixListening {
    fn drop(&mut self) {
        // Gone already when somebody cleared the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens on the Unix socket `path`, with mode 0666. A socket file at which nobody answers is what a crash left, and is
/// replaced; PATH.lock stays behind.
///
/// # Errors
/// When somebody answers there, when something else than a socket is there, or the folder cannot be written.
pub async fn bind_unix(path: &Path) -> Result<UnixListening, BindUnixError> {
    let failed = |source| BindUnixError::Listen {
        path: path.to_owned(),
        source,
    };
    let in_use = || BindUnixError::InUse { path: path.to_owned() };
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(LOCK_MODE)
        .open(&lock_path)
        .map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use()),
        Err(errno) => return Err(failed(errno.into())),
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindUnixError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
            Ok(_) => return Err(in_use()),
        },
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let listening = UnixListening {
        listener: Some(listener),
        path: path.to_owned(),
        _lock: lock,
    };
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listening)
}

/// Like [`crate::serve`], on a Unix socket, whose file is gone when it returns.
///
/// # Errors
/// When the server cannot be built or fails.
pub async fn serve_unix(
    mut listening: UnixListening,
    services: &[&'static str],
    routes: Routes,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let Some(listener) = listening.listener.take() else {
        return Ok(());
    };
    serve_incoming(UnixListenerStream::new(listener), services, routes, shutdown).await
}

/// Who is at the other end of a Unix socket, by the kernel's word. The pid is 0 for one whose processes this process cannot
/// see, such as another container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixPeer {
    pub uid: u32,
    pub pid: i32,
}

impl fmt::Display for UnixPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid:{} pid:{}", self.uid, self.pid)
    }
}

/// The peer of `request`; None when it did not come over a Unix socket.
pub fn unix_peer<T>(request: &tonic::Request<T>) -> Option<UnixPeer> {
    let credentials = request.extensions().get::<UdsConnectInfo>()?.peer_cred?;
    Some(UnixPeer {
        uid: credentials.uid(),
        pid: credentials.pid().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_or_another_file_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("s");
        // As after a crash: the file stays, nobody answers.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let first = bind_unix(&path).await.expect("the stale one is replaced");
        let mode = std::fs::metadata(&path).expect("socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        assert!(
            matches!(bind_unix(&path).await, Err(BindUnixError::InUse { .. })),
            "the lock is held"
        );
        drop(first);
        assert!(!path.exists());

        let foreign = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert!(
            matches!(bind_unix(&path).await, Err(BindUnixError::InUse { .. })),
            "somebody answers"
        );
        assert!(path.exists());
        drop(foreign);

        let file = folder.path().join("file");
        std::fs::write(&file, "precious").expect("written");
        assert!(matches!(bind_unix(&file).await, Err(BindUnixError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&file).expect("kept"), "precious");

        let long = folder.path().join("x".repeat(120));
        let error = bind_unix(&long).await.expect_err("too long").to_string();
        assert!(error.contains("107 bytes"), "{error}");
        assert!(bind_unix(&folder.path().join("none/s")).await.is_err());
    }
}
