//! Unix sockets: `/unix/tmp%2Fa.sock`, for processes on one machine. Only the user that listens may connect.
//!
//! The path is absolute, and percent-encoded as one component (`carrick_wire::address::unix`).

use std::{
    ffi::OsStr,
    fs::{self, Metadata, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use carrick_wire::address::unix;
use futures::future::BoxFuture;
use multiaddr::{Multiaddr, Protocol};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
};

use super::{Listener, Pipe, PipeRead, Transport, shortage::Shortage};

/// Unix sockets. A listener's file belongs to its user alone (mode 600), takes the place of one that nobody answers on,
/// and is removed with the listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixTransport;

impl Transport for UnixTransport {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        path(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        Box::pin(async move {
            let path = path(&address).ok_or(ErrorKind::Unsupported)?;
            Ok(pipe(UnixStream::connect(path).await?))
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let path = path(&address).ok_or(ErrorKind::Unsupported)?;
            Ok(Box::new(UnixAccept::bind(path)?) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct UnixAccept {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it made.
    file: (u64, u64),
}

impl UnixAccept {
    fn bind(path: PathBuf) -> io::Result<Self> {
        let address = SockAddr::unix(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(&path, &address)? => {
                fs::remove_file(&path)?;
                socket.bind(&address)?;
            }
            bound => bound?,
        }
        let file = id(&fs::symlink_metadata(&path)?);
        // Nobody can connect before it listens, so nobody comes before the mode is set.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(socket.into())?;
        Ok(Self {
            listener,
            path,
            file,
        })
    }

    fn address(&self) -> Multiaddr {
        let component = unix::encode(self.path.as_os_str().as_bytes());
        Multiaddr::empty().with(Protocol::Unix(component.into()))
    }
}

impl Listener for UnixAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        vec![self.address()]
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let mut shortage = Shortage::default();
            loop {
                match self.listener.accept().await {
                    // Who connects has no address; the listener's says how it came.
                    Ok((stream, _)) => return Ok((pipe(stream), self.address())),
                    Err(error) => shortage.wait(&error).await,
                }
            }
        })
    }
}

impl Drop for UnixAccept {
    fn drop(&mut self) {
        // Somebody may have put another file in its place.
        if fs::symlink_metadata(&self.path).is_ok_and(|now| id(&now) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the file is a socket that nobody listens on.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener with a full queue answers at once as well: it is busy, not gone.
    probe.set_nonblocking(true)?;
    let answer = probe.connect(address);
    Ok(answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

struct UnixRead(OwnedReadHalf);

impl PipeRead for UnixRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_read_ready(cx)
    }
}

impl AsyncRead for UnixRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

fn pipe(stream: UnixStream) -> Pipe {
    let (reader, writer) = stream.into_split();
    Pipe {
        reader: Box::new(UnixRead(reader)),
        writer: Box::new(writer),
    }
}

/// `/unix/…` and nothing behind it.
pub(crate) fn path(address: &Multiaddr) -> Option<PathBuf> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()) {
        (Protocol::Unix(component), None) => {
            unix::decode(&component).map(|path| OsStr::from_bytes(&path).into())
        }
        _ => None,
    }
}

/// Connections that the kernel queues for us between two accepts.
const BACKLOG: i32 = 1024;
