//! QUIC v1: `/ip4|ip6/…/udp/…/quic-v1`. It brings security and streams of its own, so where the other transports make pipes,
//! this one makes finished connections, by way of `quinn`.
//!
//! Dials leave from a socket that listens, where there is one that can reach the address: a NAT then maps both alike, and
//! the peer sees the address under which others reach us.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use carrick_session::{SecureError, TlsIdentity, tls};
use carrick_swarm::{AttemptError, Refused, Verdict};
use carrick_wire::{Keypair, Multiaddr, PeerId, Protocol, PublicKey};
use quinn::{
    ClientConfig, ConnectError, Endpoint, Incoming, Runtime, ServerConfig,
    crypto::rustls::QuicServerConfig, rustls::pki_types::CertificateDer,
};
use socket2::{Domain, Socket, Type};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::debug;

use super::tcp;
use crate::{metrics::Traffic, proofs::RecentProofs};

pub(crate) use self::{
    config::{WINDOW_AT_FIRST, connection_window, streams_at_first},
    sessions::Tickets,
};
use self::{metered::Metered, sessions::Sessions};
pub(crate) use quinn::Connection;

mod config;
mod metered;
mod runtime;
mod sessions;

/// The node's QUIC: its configuration and its sockets.
pub(crate) struct Quic {
    tls: TlsIdentity,
    sessions: Sessions,
    server: ServerConfig,
    /// The same for peers on this machine.
    server_here: Arc<ServerConfig>,
    handshake_timeout: Duration,
    /// Handshakes that may be under way with addresses that nobody has proven to be at.
    unvalidated: Arc<Semaphore>,
    traffic: Traffic,
    sockets: Mutex<Sockets>,
}

#[derive(Default)]
struct Sockets {
    listening: Vec<Endpoint>,
    /// At most one for each family, made when it is first needed.
    dialing: Vec<Endpoint>,
    closed: bool,
}

impl Sockets {
    const CLOSED: Self = Self {
        listening: Vec::new(),
        dialing: Vec::new(),
        closed: true,
    };
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) connection: Connection,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    /// Where what saves the next dial to this peer its signatures arrives, unless the peer dialed.
    pub(crate) tickets: Option<Arc<Tickets>>,
}

impl Quic {
    /// `None`: the identity cannot sign. `pending_max`: handshakes that the swarm admits at once.
    pub(crate) fn new(
        keypair: &Keypair,
        session: &carrick_session::Config,
        pending_max: usize,
        proofs: Arc<RecentProofs>,
        traffic: Traffic,
    ) -> Option<Self> {
        let tls = TlsIdentity::with_proofs(keypair, Vec::new(), proofs)?;
        let transport = |payload_max| Arc::new(config::transport(session, payload_max));
        let server = QuicServerConfig::try_from(sessions::server(&tls)).ok()?;
        let server = config::server(server, transport(config::UDP_PAYLOAD_AWAY));
        let mut server_here = server.clone();
        server_here.transport_config(transport(config::UDP_PAYLOAD_MAX));
        let unvalidated = UNVALIDATED_MAX.min(pending_max / 2);
        Some(Self {
            server,
            tls,
            sessions: Sessions::default(),
            server_here: Arc::new(server_here),
            handshake_timeout: session.upgrade_timeout,
            unvalidated: Arc::new(Semaphore::new(unvalidated)),
            traffic,
            sockets: Mutex::default(),
        })
    }

    /// Connects, and makes sure that it is `expected` who answers.
    pub(crate) async fn dial(
        &self,
        address: &Multiaddr,
        expected: Option<PeerId>,
    ) -> Result<Secured, AttemptError> {
        let remote = socket_address(address)
            .map_err(|error| AttemptError::Transport(error.to_string()))?
            .ok_or(AttemptError::NoTransport)?;
        let towards = self.sessions.towards(&self.tls, expected);
        let towards = towards.map_err(transport_error)?;
        let mut config = ClientConfig::new(towards.crypto.clone());
        let transport = match remote.ip().is_loopback() {
            true => &self.server_here.transport,
            false => &self.server.transport,
        };
        config.transport_config(transport.clone());
        let connecting = loop {
            let endpoint = self.endpoint_towards(remote).map_err(transport_error)?;
            match endpoint.connect_with(config.clone(), remote, SERVER_NAME) {
                // Its socket has failed; there is another, or a new one is made.
                Err(ConnectError::EndpointStopping) => self.forget(&endpoint),
                connecting => break connecting.map_err(transport_error)?,
            }
        };
        let connected = timeout(self.handshake_timeout, connecting).await;
        let connection = connected
            .map_err(|_| AttemptError::Timeout)?
            .map_err(|error| {
                expected.inspect(|peer| self.sessions.forget(*peer));
                match (towards.refusal.reason(), error) {
                    (Some(reason), quinn::ConnectionError::TransportError(_)) => refused(reason),
                    (_, error) => attempt_error(error),
                }
            })?;
        let mut secured = identify(connection, expected)?;
        secured.tickets = towards.tickets.clone();
        expected.inspect(|peer| self.sessions.keep(*peer, towards));
        Ok(secured)
    }

    /// Binds a socket.
    pub(crate) fn listen(&self, address: &Multiaddr) -> io::Result<QuicListener> {
        let local = socket_address(address)
            .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?
            .ok_or(io::ErrorKind::Unsupported)?;
        let endpoint = self.open(local, Some(self.server.clone()))?;
        let addresses = expand(endpoint.local_addr()?)?;
        let mut sockets = self.sockets();
        if sockets.closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        sockets.listening.push(endpoint.clone());
        Ok(QuicListener {
            endpoint,
            addresses,
            unvalidated: self.unvalidated.clone(),
        })
    }

    /// The handshake of who came in.
    pub(crate) async fn secure(&self, knock: Knock) -> Result<Secured, AttemptError> {
        let incoming = knock.incoming;
        let connecting = match incoming.remote_address().ip().is_loopback() {
            true => incoming.accept_with(self.server_here.clone()),
            false => incoming.accept(),
        };
        let connecting = connecting.map_err(attempt_error)?;
        let connected = timeout(self.handshake_timeout, connecting).await;
        let connection = connected.map_err(|_| AttemptError::Timeout)?;
        identify(connection.map_err(attempt_error)?, None)
    }

    /// Takes no more, and waits a moment, so that the last packets of connections that were closed leave.
    pub(crate) async fn close(&self) {
        let all = std::mem::replace(&mut *self.sockets(), Sockets::CLOSED);
        let idle = all.listening.iter().chain(&all.dialing);
        let idle = idle.map(Endpoint::wait_idle);
        // Whoever has not heard by now finds out by himself.
        let _ = timeout(LINGER, futures::future::join_all(idle)).await;
    }

    fn endpoint_towards(&self, remote: SocketAddr) -> io::Result<Endpoint> {
        let mut sockets = self.sockets();
        if sockets.closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let all = sockets.listening.iter().chain(&sockets.dialing);
        let reaches = |endpoint: &&Endpoint| {
            let local = endpoint.local_addr().map(|local| local.ip());
            local.is_ok_and(|local| reaches(local, remote.ip()))
        };
        if let Some(endpoint) = all.into_iter().find(reaches) {
            return Ok(endpoint.clone());
        }
        let any = match remote {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let endpoint = self.open(SocketAddr::new(any, 0), None)?;
        sockets.dialing.push(endpoint.clone());
        Ok(endpoint)
    }

    fn open(&self, address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
        let runtime = Arc::new(runtime::PatientRuntime);
        let socket = runtime.wrap_udp_socket(bind(address)?)?;
        let socket = Arc::new(Metered::new(socket, self.traffic.clone()));
        Endpoint::new_with_abstract_socket(config::endpoint(), server, socket, runtime)
    }

    fn forget(&self, failed: &Endpoint) {
        let address = failed.local_addr().ok();
        let mut sockets = self.sockets();
        let Sockets {
            listening, dialing, ..
        } = &mut *sockets;
        for all in [listening, dialing] {
            all.retain(|endpoint| endpoint.local_addr().ok() != address);
        }
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        // The lists are whole whatever a panicking holder did: every change to them is one call.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Quic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quic").finish_non_exhaustive()
    }
}

/// A socket that others reach us at.
#[derive(Debug)]
pub(crate) struct QuicListener {
    endpoint: Endpoint,
    addresses: Vec<Multiaddr>,
    unvalidated: Arc<Semaphore>,
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        // The socket may still serve dials; nobody comes in through it any more.
        self.endpoint.set_server_config(None);
    }
}

/// Who wants to come in; dropping it refuses.
#[derive(Debug)]
pub(crate) struct Knock {
    incoming: Incoming,
    remote: Multiaddr,
    /// Held while the handshake runs with an address that is not proven.
    _unvalidated: Option<OwnedSemaphorePermit>,
}

impl Knock {
    /// Where it says that it comes from.
    pub(crate) fn remote(&self) -> &Multiaddr {
        &self.remote
    }

    /// Whether somebody is proven to be there.
    pub(crate) fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Does not let it in, and says so unless it is to be ignored; or asks for a proof of its address.
    pub(crate) fn refuse(self, refused: &Refused) {
        match refused {
            Refused::Verdict(Verdict::Ignore) => self.incoming.ignore(),
            Refused::Unproven | Refused::Verdict(Verdict::Retry) if !self.is_validated() => {
                if let Err(error) = self.incoming.retry() {
                    error.into_incoming().ignore();
                }
            }
            _ => self.incoming.refuse(),
        }
    }
}

impl QuicListener {
    /// The addresses that peers can dial, now.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        let now = self.endpoint.local_addr().and_then(expand);
        now.unwrap_or_else(|_| self.addresses.clone())
    }

    /// The next one that wants to come in; `None` when the socket has failed. While many handshakes run whose peers have
    /// not proven to be where they say, newcomers must do so first (Retry, RFC 9000 §8.1.2): that costs us no memory.
    pub(crate) async fn accept(&mut self) -> Option<Knock> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let permit = if incoming.remote_address_validated() {
                None
            } else {
                match self.unvalidated.clone().try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => {
                        if let Err(error) = incoming.retry() {
                            error.into_incoming().ignore();
                        }
                        continue;
                    }
                }
            };
            return Some(Knock {
                remote: multiaddr(incoming.remote_address()),
                incoming,
                _unvalidated: permit,
            });
        }
    }
}

/// Whether an address is for us, also such as we only refuse.
pub(crate) fn can_handle(address: &Multiaddr) -> bool {
    !matches!(socket_address(address), Ok(None))
}

/// `/ip4|ip6/…/udp/…/quic-v1` and nothing behind it; `None` for all else but the draft.
fn socket_address(address: &Multiaddr) -> Result<Option<SocketAddr>, Draft> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return Ok(None),
    };
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1), None) => {
            Ok(Some(SocketAddr::new(ip, port)))
        }
        (Some(Protocol::Udp(_)), Some(Protocol::Quic), None) => Err(Draft),
        _ => Ok(None),
    }
}

/// An address of QUIC before it was a standard.
#[derive(Debug, thiserror::Error)]
#[error("QUIC draft-29 is unsupported; /quic-v1 names the QUIC of today")]
struct Draft;

fn multiaddr(address: SocketAddr) -> Multiaddr {
    with_port(Multiaddr::from(address.ip()), address.port())
}

fn with_port(ip: Multiaddr, port: u16) -> Multiaddr {
    ip.with(Protocol::Udp(port)).with(Protocol::QuicV1)
}

/// What peers can dial when we listen on `bound`.
fn expand(bound: SocketAddr) -> io::Result<Vec<Multiaddr>> {
    let over_quic = |mut address: Multiaddr| {
        address.pop();
        with_port(address, bound.port())
    };
    Ok(tcp::expand(bound)?.into_iter().map(over_quic).collect())
}

/// Whether packets from a socket bound to `local` get to `remote`.
fn reaches(local: IpAddr, remote: IpAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
        && (local.is_unspecified() || local.is_loopback() == remote.is_loopback())
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // `[::]` next to `0.0.0.0` on one port, as people expect who give both.
        socket.set_only_v6(true)?;
    }
    // The kernel gives what its own limit allows, which is enough to work.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    debug!(
        recv = socket.recv_buffer_size().unwrap_or(0),
        send = socket.send_buffer_size().unwrap_or(0),
        asked = SOCKET_BUFFER,
        "buffers of a UDP socket"
    );
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Reads the peer's key out of its certificate, which the handshake has verified.
fn identify(connection: Connection, expected: Option<PeerId>) -> Result<Secured, AttemptError> {
    let certificates = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = certificates.as_ref().and_then(|chain| chain.first());
    let key = certificate
        .ok_or(SecureError::Certificate("there is none"))
        .and_then(tls::peer_key)
        .map_err(refused)?;
    let peer = key.to_peer_id();
    match expected.filter(|expected| *expected != peer) {
        Some(expected) => Err(AttemptError::WrongPeer {
            expected,
            found: peer,
        }),
        None => Ok(Secured {
            connection,
            peer,
            key,
            tickets: None,
        }),
    }
}

fn refused(error: SecureError) -> AttemptError {
    match error {
        SecureError::WrongPeer { expected, found } => AttemptError::WrongPeer { expected, found },
        error => AttemptError::Upgrade(error.to_string()),
    }
}

fn transport_error(error: impl fmt::Display) -> AttemptError {
    AttemptError::Transport(error.to_string())
}

fn attempt_error(error: quinn::ConnectionError) -> AttemptError {
    match error {
        quinn::ConnectionError::TimedOut => AttemptError::Timeout,
        error => AttemptError::Upgrade(error.to_string()),
    }
}

/// The one application protocol of libp2p's QUIC.
const ALPN: &[u8] = b"libp2p";
/// QUIC wants a name; none is sent, and nobody looks at it.
const SERVER_NAME: &str = "libp2p";
/// Handshakes with unproven addresses beyond which newcomers must prove theirs; less if the swarm admits fewer than twice as
/// many.
const UNVALIDATED_MAX: usize = 64;
/// What the kernel is asked to hold for a socket in each direction: some milliseconds of a fast link.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long a node that closes waits for its last packets.
const LINGER: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
