//! Where a server's connections come from: sockets of this machine, and the streams of a node's peers.

use std::io;

use multiaddr::{Multiaddr, Protocol};

use super::{connections::Arrival, inbound::Origin, sender::Sender};
use crate::{
    Incoming,
    transport::{Listener, Pipe, TcpTransport, Transport},
};

/// Listens at a unix socket or a loopback address.
pub(super) async fn open(address: Multiaddr) -> io::Result<Box<dyn Listener>> {
    let transport = transport(&address)?;
    let is_open_to_others = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => !ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => !ip.is_loopback(),
        _ => false,
    };
    if is_open_to_others {
        let text = format!(
            "{address} can be reached from other machines, and nothing is encrypted here; listen on a loopback address"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    #[cfg(unix)]
    if let Some(path) = crate::transport::unix_path(&address) {
        own_directory(&path)?;
        let listener = transport.listen(address).await?;
        return owned_directory(&path).map(|()| listener);
    }
    transport.listen(address).await
}

/// What dials and listens at an address of this machine.
pub(super) fn transport(address: &Multiaddr) -> io::Result<&'static dyn Transport> {
    #[cfg(unix)]
    if crate::transport::UnixTransport.can_handle(address) {
        return Ok(&crate::transport::UnixTransport);
    }
    if TcpTransport.can_handle(address) {
        return Ok(&TcpTransport);
    }
    let text = format!("{address} is neither a unix socket nor an address and port of TCP");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Makes the socket's directory, for its user alone, if there is none.
#[cfg(unix)]
fn own_directory(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(true).create(directory)
}

/// Nobody else may put another file in the socket's place.
#[cfg(unix)]
fn owned_directory(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let (ours, around) = (
        std::fs::symlink_metadata(path)?,
        std::fs::metadata(directory)?,
    );
    if around.uid() == ours.uid() && around.mode() & 0o022 == 0 {
        return Ok(());
    }
    let text = format!(
        "others may write to {}; put the socket into a directory of your own",
        directory.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Takes connections from a socket while the server lives.
pub(super) async fn keep(mut listener: Box<dyn Listener>, doors: Sender<Arrival>) {
    loop {
        let (pipe, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return tracing::warn!(%error, "a listener ended"),
        };
        let origin = Origin::Socket(address);
        let node = None;
        if !doors.send(Arrival { origin, pipe, node }).await.is_ok() {
            return;
        }
    }
}

/// Takes streams of peers until the node closes.
pub(super) async fn keep_peers(mut incoming: Incoming, doors: Sender<Arrival>) {
    while let Some(stream) = incoming.next().await {
        let origin = Origin::Peer(stream.peer());
        let (pipe, node) = (Pipe::new(stream), Some(incoming.node().clone()));
        if !doors.send(Arrival { origin, pipe, node }).await.is_ok() {
            return;
        }
    }
}
