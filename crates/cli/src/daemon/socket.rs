//! The daemon's Unix socket: where it lies, and that it is this user's alone. Whoever can connect controls the node, so the
//! directory is nobody else's, so is the file, and the system vouches for who connects.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tracing::warn;

use crate::failure::Failure;

/// Whoever has not taken a connection by then is busy, but there.
const PROBE: Duration = Duration::from_secs(2);

/// Where the socket lies unless somebody says otherwise: in the user's runtime directory, or else at home.
pub(crate) fn default_path() -> Result<PathBuf, Failure> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let directory = absolute("XDG_RUNTIME_DIR").map(|runtime| runtime.join("carrick"));
    let directory = directory.or_else(|| absolute("HOME").map(|home| home.join(".carrick")));
    let directory = directory.ok_or_else(|| {
        Failure::new(
            "neither XDG_RUNTIME_DIR nor HOME says where the socket may lie",
            "name it: --socket PATH of `carrick daemon`, --daemon=PATH of the others",
        )
    })?;
    Ok(directory.join("carrick.sock"))
}

/// The socket, and the right to it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    user: u32,
    /// Held as long as the daemon runs: two that start at once do not take the socket from each other.
    _lock: File,
}

impl Socket {
    /// Makes the socket, in the place of one that nobody answers at any more.
    pub(crate) async fn bind(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let failed = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::InvalidInput => {
                    "a socket's path has at most 107 bytes: choose a shorter one with --socket"
                }
                io::ErrorKind::PermissionDenied => {
                    "choose a place that this user may write, with --socket"
                }
                _ => "choose another place with --socket",
            };
            Failure::new(format!("cannot make the socket {name}: {error}"), remedy)
        };
        let user = own_user().map_err(failed)?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        own_directory(directory.unwrap_or_else(|| Path::new(".")), user)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.with_added_extension("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(running(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        make_room(path, user).await?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Until here the directory alone keeps others out.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            user,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection of this user's; others' are closed.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (pipe, _) = self.listener.accept().await?;
            match pipe.peer_cred() {
                Ok(peer) if peer.uid() == self.user => return Ok(pipe),
                Ok(peer) => warn!(user = peer.uid(), "another user was turned away"),
                Err(error) => warn!(%error, "somebody unknown was turned away"),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock is ours still, so the file is, too.
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to the daemon that listens there, and makes sure that it is this user's.
pub(crate) async fn connect(path: &Path) -> Result<UnixStream, Failure> {
    let name = path.display();
    let connected = match timeout(PROBE, UnixStream::connect(path)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let pipe = connected.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "start one with `carrick daemon`, or say where it listens: --daemon=SOCKET"
            }
            io::ErrorKind::PermissionDenied => {
                "it is another user's; start your own with `carrick daemon`"
            }
            _ => "check that `carrick daemon` is running",
        };
        Failure::new(format!("no daemon answers at {name}: {error}"), remedy)
    })?;
    let is_own = |pipe: &UnixStream| Ok::<_, io::Error>(pipe.peer_cred()?.uid() == own_user()?);
    match is_own(&pipe) {
        Ok(true) => Ok(pipe),
        Ok(false) | Err(_) => Err(Failure::new(
            format!("whoever answers at {name} is not of this user"),
            "start your own daemon with `carrick daemon`",
        )),
    }
}

/// The user that this process acts as, by the system's own word.
fn own_user() -> io::Result<u32> {
    Ok(UnixStream::pair()?.0.peer_cred()?.uid())
}

/// Makes sure that the directory is there and that nobody else has any right to it.
fn own_directory(directory: &Path, user: u32) -> Result<(), Failure> {
    let name = directory.display();
    let failed = |error: io::Error| {
        Failure::new(
            format!("cannot use the directory {name}: {error}"),
            "choose another place with --socket",
        )
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    let found = fs::symlink_metadata(directory).map_err(failed)?;
    if !found.is_dir() || found.uid() != user {
        return Err(Failure::new(
            format!("{name} is not a directory of this user's"),
            "choose another place with --socket",
        ));
    }
    if found.mode() & 0o077 != 0 {
        return Err(Failure::new(
            format!(
                "others may enter the directory {name}, and whoever reaches the socket controls the node"
            ),
            format!(
                "`chmod 700 {name}`, or choose a directory that is not there yet with --socket"
            ),
        ));
    }
    Ok(())
}

/// Takes a socket away that a daemon has left behind, and nothing else.
async fn make_room(path: &Path, user: u32) -> Result<(), Failure> {
    let name = path.display();
    let foreign = || {
        Failure::new(
            format!("{name} is there already and no socket of this user's"),
            "move it away, or choose another place with --socket",
        )
    };
    let failed = |error: io::Error| {
        Failure::new(
            format!("cannot use {name}: {error}"),
            "choose another place with --socket",
        )
    };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && found.uid() == user => {}
        Ok(_) => return Err(foreign()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok(_)) | Err(_) => Err(running(path)),
    }
}

fn running(path: &Path) -> Failure {
    Failure::new(
        format!("a daemon runs already at {}", path.display()),
        "use it, or start another one elsewhere with --socket",
    )
}

#[cfg(test)]
mod tests;
