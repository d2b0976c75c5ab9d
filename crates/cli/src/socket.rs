//! Sockets of this machine, TCP or Unix, as one type. A Unix socket that we listen on is its owner's alone, and takes the
//! place of one that nobody answers at any more, never of another.

use std::{
    fmt, io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::failure::Failure;

/// Where a socket is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and a port.
    Tcp(String),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => f.write_str(host),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// `host:port`, or a port alone, which is then one of this machine only.
pub(crate) fn tcp(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    match port.parse::<u16>() {
        Ok(port) => Ok(format!("{host}:{port}")),
        Err(_) => Err("one looks like 127.0.0.1:8080, example.org:80, or 8080 alone".to_owned()),
    }
}

/// Where programs of this machine connect.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

impl Listener {
    pub(crate) async fn bind(address: &Address) -> Result<Self, Failure> {
        let bound = match address {
            Address::Tcp(host) => TcpListener::bind(host).await.map(Self::Tcp),
            #[cfg(unix)]
            Address::Unix(path) => bind_unix(path)
                .await
                .map(|listener| Self::Unix(listener, path.clone())),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        bound.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => "something answers there already; choose another",
                io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
                io::ErrorKind::PermissionDenied => {
                    "choose a folder that you may write to, or a port above 1023"
                }
                io::ErrorKind::NotFound => "make its folder first",
                _ => "choose another",
            };
            Failure::new(format!("cannot listen on {address}: {error}"), remedy)
        })
    }

    /// Where it listens indeed: a port of 0 has become a real one.
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Tcp(listener) => {
                let local = listener.local_addr();
                Address::Tcp(local.map_or_else(|_| "?".to_owned(), |local| local.to_string()))
            }
            #[cfg(unix)]
            Self::Unix(_, path) => Address::Unix(path.clone()),
        }
    }

    /// Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(socket, _)| Socket::tcp(socket)),
            #[cfg(unix)]
            Self::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(socket, _)| Socket::Unix(socket)),
        }
    }
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody may have been quicker.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(unix)]
async fn bind_unix(path: &PathBuf) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    use socket2::{Domain, SockAddr, Socket, Type};

    let bind = || -> io::Result<UnixListener> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Nobody can connect before it listens, and then only its owner.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        UnixListener::from_std(socket.into())
    };
    let in_use = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
        bound => return bound,
    };
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    match UnixStream::connect(path).await {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
            bind()
        }
        _ => Err(in_use),
    }
}

/// A connection to a program of this machine.
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    pub(crate) async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host) => TcpStream::connect(host).await.map(Self::tcp),
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn tcp(socket: TcpStream) -> Self {
        // What a program wrote is not to wait for more; at worst it does.
        let _ = socket.set_nodelay(true);
        Self::Tcp(socket)
    }

    /// Ends it so that the program sees a reset rather than a clean end, where its kind knows the difference.
    pub(crate) fn reset(self) {
        if let Self::Tcp(socket) = self {
            let _ = socket.set_zero_linger();
        }
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).$method($($argument),*),
            #[cfg(unix)]
            Self::Unix(socket) => Pin::new(socket).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write, cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, cx)
    }
}

/// Connections that wait to be accepted.
#[cfg(unix)]
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests;
