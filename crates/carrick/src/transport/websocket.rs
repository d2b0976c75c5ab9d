//! WebSocket and WSS: pipes through an HTTP upgrade, and through TLS where the address says so, with everything else inside.
//!
//! A listener does its handshakes in tasks of their own, bounded in number and time, so who dawdles keeps nobody waiting.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use multiaddr::Multiaddr;
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types};
use tokio::{net::TcpStream, time::timeout};
use tracing::debug;

pub use self::tls::CertificateError;
use self::{
    address::{ServerName, WsAddress},
    frames::End,
    pipe::pipe,
};
use super::{
    Listener, Pipe, Transport,
    places::Places,
    port::{Kind, Port},
    tcp::{self, TcpRead},
};

mod address;
mod frames;
mod pipe;
mod tls;
mod upgrade;

/// How long TLS and the HTTP upgrade may take together, on either side.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes that a listener has under way at once; for a further one the oldest makes room once it has had a fair time.
const HANDSHAKES_MAX: usize = 256;

/// WebSocket, `/ws`, and WSS, `/tls/ws`, `/tls/sni/<name>/ws` or `/wss`, behind `/ip4|ip6/…/tcp/…`; each may end with
/// `/http-path/<path, percent-encoded>`.
///
/// A client trusts the web's authorities unless told of others, and follows no redirect. A server answers at any path, or
/// only at the one in the address that it listens on. WSS needs TLS 1.3.
///
/// A node has this transport by itself, and [`Builder::wss_certificate`](crate::Builder::wss_certificate) and
/// [`Builder::wss_root`](crate::Builder::wss_root) set it up:
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::Node;
///
/// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0/ws/http-path/p2p")?.spawn().await?;
/// Node::spawn().await?.ping(server.address()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WebSocketTransport {
    /// Authorities beside the web's.
    roots: RootCertStore,
    client: OnceLock<Arc<ClientConfig>>,
    server: Option<Arc<ServerConfig>>,
}

impl WebSocketTransport {
    /// Without a certificate, so that WSS can be dialed and not listened on.
    pub fn new() -> Self {
        Self {
            roots: RootCertStore::empty(),
            client: OnceLock::new(),
            server: None,
        }
    }

    /// Shows this certificate where it listens on WSS. Both are PEM files: the server's certificate with those of its
    /// authorities behind it, and its key.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn with_certificate(
        mut self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CertificateError> {
        let config = tls::server_config(chain.as_ref(), key.as_ref())?;
        self.server = Some(Arc::new(config));
        Ok(self)
    }

    /// Trusts the authorities in this PEM file, too, when it dials WSS.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn with_root(mut self, path: impl AsRef<Path>) -> Result<Self, CertificateError> {
        tls::add_roots(&mut self.roots, path.as_ref())?;
        self.client = OnceLock::new();
        Ok(self)
    }

    /// Takes whatever certificate a WSS server shows. Who the peer is, is proven within; but whoever is on the way sees
    /// what a WebSocket without TLS would show.
    pub fn with_any_certificate(mut self) -> Self {
        self.client = OnceLock::from(Arc::new(tls::unverified_config()));
        self
    }

    /// Listens at the port that `bind` gives.
    pub(super) fn listen_at(
        &self,
        address: &Multiaddr,
        bind: impl FnOnce(SocketAddr, Kind) -> io::Result<Port>,
    ) -> io::Result<Box<dyn Listener>> {
        let at = WsAddress::parse(address).ok_or(io::ErrorKind::Unsupported)?;
        let tls = match (&at.tls, &self.server) {
            (None, _) => None,
            (Some(_), Some(config)) => Some(config.clone()),
            (Some(_), None) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "WSS needs a certificate: give the builder's wss_certificate two PEM files",
                ));
            }
        };
        let kind = tls.as_ref().map_or(Kind::Http, |_| Kind::Tls);
        let port = bind(at.socket, kind)?;
        let addresses = tcp::expand(port.address()?)?;
        Ok(Box::new(WsAccept {
            port,
            addresses: addresses.into_iter().map(|tcp| at.at(tcp)).collect(),
            at: Arc::new(at),
            tls,
            handshakes: Places::new(HANDSHAKES_MAX),
        }))
    }
}

impl Default for WebSocketTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for WebSocketTransport {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        WsAddress::parse(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        let address = WsAddress::parse(&address);
        let secure = address
            .as_ref()
            .is_some_and(|address| address.tls.is_some());
        let config = secure.then(|| {
            let config = self
                .client
                .get_or_init(|| Arc::new(tls::client_config(&self.roots)));
            config.clone()
        });
        Box::pin(async move {
            let address = address.ok_or(io::ErrorKind::Unsupported)?;
            let stream = tcp::connect(address.socket).await?;
            in_time(open(stream, address, config)).await
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listening = self.listen_at(&address, |socket, _| Port::bind(socket, false));
        Box::pin(async move { listening })
    }
}

/// The client's handshakes.
async fn open(
    mut stream: TcpStream,
    address: WsAddress,
    config: Option<Arc<ClientConfig>>,
) -> io::Result<Pipe> {
    let (host, path) = (address.host(), address.path().unwrap_or("/"));
    let (Some(name), Some(config)) = (&address.tls, config) else {
        let leftover = upgrade::connect(&mut stream, &host, path).await?;
        let (reader, writer) = stream.into_split();
        return Ok(pipe(End::Client, TcpRead(reader), writer, leftover));
    };
    let name = match name {
        ServerName::Ip => pki_types::ServerName::from(address.socket.ip()),
        ServerName::Sni(name) => pki_types::ServerName::try_from(name.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
    };
    let mut stream = tls::connect(config, name, stream).await?;
    let leftover = upgrade::connect(&mut stream, &host, path).await?;
    let (reader, writer) = tls::split(stream);
    Ok(pipe(End::Client, reader, writer, leftover))
}

/// The server's handshakes.
async fn serve(
    mut stream: TcpStream,
    at: Arc<WsAddress>,
    tls: Option<Arc<ServerConfig>>,
) -> io::Result<Pipe> {
    let Some(config) = tls else {
        let leftover = upgrade::accept(&mut stream, at.path()).await?;
        let (reader, writer) = stream.into_split();
        return Ok(pipe(End::Server, TcpRead(reader), writer, leftover));
    };
    let mut stream = tls::accept(config, stream).await?;
    let leftover = upgrade::accept(&mut stream, at.path()).await?;
    let (reader, writer) = tls::split(stream);
    Ok(pipe(End::Server, reader, writer, leftover))
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no WebSocket within {HANDSHAKE_TIMEOUT:?}"),
        )
    };
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?
}

#[derive(Debug)]
struct WsAccept {
    port: Port,
    addresses: Vec<Multiaddr>,
    at: Arc<WsAddress>,
    tls: Option<Arc<ServerConfig>>,
    handshakes: Places<io::Result<(Pipe, SocketAddr)>>,
}

impl Listener for WsAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        let now = self.port.address().and_then(tcp::expand);
        now.map_or_else(
            |_| self.addresses.clone(),
            |now| now.into_iter().map(|tcp| self.at.at(tcp)).collect(),
        )
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            loop {
                let (stream, remote) = tokio::select! {
                    // What is done goes before what is new.
                    biased;
                    Some(done) = self.handshakes.join_next() => match done {
                        Ok(Ok((pipe, remote))) => {
                            return Ok((pipe, self.at.at(tcp::multiaddr(remote))));
                        }
                        Ok(Err(error)) => {
                            debug!(%error, "a WebSocket was not opened");
                            continue;
                        }
                        Err(_) => continue,
                    },
                    accepted = self.port.accept() => accepted,
                };
                let serving = serve(stream, self.at.clone(), self.tls.clone());
                let handshake = async move { Ok((in_time(serving).await?, remote)) };
                if !self.handshakes.spawn(Instant::now(), handshake) {
                    debug!(%remote, "too many WebSockets are being opened");
                }
            }
        })
    }
}
