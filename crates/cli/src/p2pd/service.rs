//! The control socket: programs connect, ask, and are answered in turn. A socket that has opened a stream carries it from then
//! on. Bounded: programs, requests of each (one), what a request may be and how long it may take.

use std::{path::PathBuf, sync::Arc, time::Duration};

use carrick::{
    Node, PeerId, Protocol, ProtocolId, Stream, Tag,
    p2pd::{Endpoint, PeerInfo, Request, RequestError, Response, StreamInfo},
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    frames::Frames,
    handlers::{Handler, Handlers},
    program::Programs,
};
use crate::{
    failure::Failure,
    relay::relay,
    socket::{Address, Listener, Socket},
};

/// Where programs ask, before anybody is answered.
#[derive(Debug)]
pub(crate) struct Service {
    listener: Listener,
    endpoint: Endpoint,
    programs: Programs,
    clients_max: usize,
}

impl Service {
    /// Takes the socket. A Unix socket is its owner's alone; whoever reaches a TCP port commands the node.
    pub(crate) async fn bind(endpoint: &Endpoint) -> Result<Self, Failure> {
        let listener = Listener::bind(&address(endpoint)).await?;
        let endpoint = match (endpoint, listener.address()) {
            (Endpoint::Tcp(asked), Address::Tcp(real)) => {
                if !asked.ip().is_loopback() {
                    warn!(
                        "whoever reaches {endpoint} commands this node: nothing there asks who it is"
                    );
                }
                Endpoint::Tcp(real.parse().unwrap_or(*asked))
            }
            _ => endpoint.clone(),
        };
        Ok(Self {
            listener,
            endpoint,
            programs: Programs::default(),
            clients_max: CLIENTS_MAX,
        })
    }

    /// Where programs connect to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Those that hold a socket for calls.
    pub(super) fn programs(&self) -> Programs {
        self.programs.clone()
    }

    /// Answers until the task is dropped, and with it every program's.
    pub(crate) async fn serve(self, node: Node, rank: Rank) {
        let handlers = Handlers::new(node.downgrade());
        if rank == (Rank::Whole { echo: true }) {
            let echo = handlers.add(&ECHO, Handler::Echo, None).await;
            if let Err(error) = echo {
                warn!("{error}");
            }
        }
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
            };
            let mut socket = match accepted {
                Ok(socket) => socket,
                Err(error) => {
                    debug!(%error, "no program was taken");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let most = self.clients_max;
            if clients.len() >= most {
                let full = format!("{most} programs and streams are connected already");
                let told = Response::Error(full).encode();
                // There is room in a new socket for as much.
                let _ = timeout(PAUSE, socket.write_all(&told)).await;
                continue;
            }
            let session = Session {
                node: node.clone(),
                rank,
                handlers: handlers.clone(),
                programs: self.programs.clone(),
            };
            clients.spawn(async move {
                if let Err(error) = session.converse(socket).await {
                    debug!(%error, "a program's connection has ended");
                }
            });
        }
    }
}

/// What the node is besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Nothing, and it keeps its connections. With `echo` it serves /echo/1.0.0 until a program wants to.
    Whole { echo: bool },
    /// A node with a life of its own: what programs connect to is protected, or it would be closed once it is idle.
    Part,
}

/// What one program asks.
struct Session {
    node: Node,
    rank: Rank,
    handlers: Arc<Handlers>,
    programs: Programs,
}

impl Session {
    async fn converse(self, mut socket: Socket) -> std::io::Result<()> {
        let mut frames = Frames::default();
        while let Some(frame) = frames.next(&mut socket).await? {
            let response = match Request::decode(&frame) {
                Ok(Request::StreamOpen {
                    peer,
                    protocols,
                    timeout: within,
                }) => {
                    let open = async {
                        let mut stream = self.node.open_stream(peer, protocols).await?;
                        stream.confirm().await?;
                        Ok::<_, Failure>(stream)
                    };
                    match limited(within, open).await {
                        Ok(stream) => return carry(socket, frames, stream).await,
                        Err(why) => Response::Error(why),
                    }
                }
                Ok(Request::UnaryUpgrade) => {
                    say(&mut socket, &Response::Ok).await?;
                    return self
                        .programs
                        .serve(socket, frames, self.node, self.handlers)
                        .await;
                }
                Ok(request) => self.answer(request).await,
                Err(RequestError::Refused(why)) => Response::Error(why),
                Err(error @ (RequestError::Malformed(_) | RequestError::Unknown(_))) => {
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
                }
            };
            say(&mut socket, &response).await?;
        }
        Ok(())
    }

    async fn answer(&self, request: Request) -> Response {
        let done = match request {
            Request::Identify => return Response::Identify(identify(&self.node)),
            Request::ListPeers => {
                let all = self.node.connections().await.into_iter();
                let peers = all.map(|connection| PeerInfo {
                    peer: connection.peer,
                    addresses: vec![connection.address],
                });
                return Response::Peers(peers.collect());
            }
            Request::Connect {
                peer,
                addresses,
                timeout,
            } => {
                let dial = async { Ok::<_, Failure>(self.node.dial((peer, addresses)).await?) };
                let connected = limited(timeout, dial).await;
                if connected.is_ok() && self.rank == Rank::Part {
                    // Without a place among the protected it is a connection like others.
                    let _ = self.node.protect(peer, PROTECTED).await;
                }
                connected.map(drop)
            }
            Request::Disconnect { peer } => {
                self.node.unprotect(peer, PROTECTED).await;
                self.node.disconnect(&peer).await;
                Ok(())
            }
            Request::StreamHandler {
                endpoint,
                protocols,
                balanced,
            } => self.add(endpoint, &protocols, balanced).await,
            Request::RemoveStreamHandler {
                endpoint,
                protocols,
            } => self.remove(endpoint, &protocols).await,
            Request::TagPeer { peer, tag, weight } => {
                let weight = weight.clamp(i32::MIN.into(), i32::MAX.into());
                let tagged = self.node.tag(peer, tag, Tag::fixed(weight as i32)).await;
                tagged.map_err(|error| error.to_string())
            }
            Request::UntagPeer { peer, tag } => {
                self.node.untag(peer, tag).await;
                Ok(())
            }
            Request::Trim => {
                self.node.trim().await;
                Ok(())
            }
            Request::PeerProtocols { peer } | Request::PeerAddresses { peer } => {
                let is_where = matches!(request, Request::PeerAddresses { .. });
                return self.known(peer, is_where).await;
            }
            Request::Dht => Err("DHT not enabled".to_owned()),
            Request::Pubsub => Err("PubSub not enabled".to_owned()),
            Request::StreamOpen { .. } | Request::UnaryUpgrade => {
                Err("Unexpected request".to_owned())
            }
        };
        done.map_or_else(Response::Error, |()| Response::Ok)
    }

    /// The first one that fails is the last one that was tried, as with go.
    async fn add(
        &self,
        endpoint: Endpoint,
        protocols: &[ProtocolId],
        balanced: Option<bool>,
    ) -> Result<(), String> {
        let handler = Handler::Socket(endpoint);
        for protocol in protocols {
            self.handlers
                .add(protocol, handler.clone(), balanced)
                .await?;
        }
        Ok(())
    }

    async fn remove(&self, endpoint: Endpoint, protocols: &[ProtocolId]) -> Result<(), String> {
        let handler = Handler::Socket(endpoint);
        for protocol in protocols {
            self.handlers.remove(protocol, &handler).await?;
        }
        Ok(())
    }

    /// JavaScript's peer store.
    async fn known(&self, peer: PeerId, is_where: bool) -> Response {
        let Some(known) = self.node.peer_metadata(&peer).await else {
            return Response::Error("nothing is known of this peer".to_owned());
        };
        let addresses = known.addresses.into_iter().map(|known| known.address);
        let addresses = is_where.then(|| PeerInfo {
            peer,
            addresses: addresses.collect(),
        });
        let protocols = if is_where {
            Vec::new()
        } else {
            known.protocols
        };
        Response::Peer {
            addresses,
            protocols,
        }
    }
}

/// From here on the socket is the stream.
async fn carry(mut socket: Socket, frames: Frames, mut stream: Stream) -> std::io::Result<()> {
    let info = StreamInfo {
        peer: stream.peer(),
        address: stream.connection().address().clone(),
        protocol: stream.protocol().clone(),
    };
    say(&mut socket, &Response::Stream(info)).await?;
    // A program in a hurry has written more than its request.
    stream.write_all(&frames.rest()).await?;
    relay(stream, socket).await.map(drop)
}

async fn say(socket: &mut Socket, response: &Response) -> std::io::Result<()> {
    timeout(WRITE_TIMEOUT, socket.write_all(&response.encode())).await?
}

/// What takes as long as the program allows; the error as text.
async fn limited<T>(
    within: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, String> {
    let within = within.unwrap_or(REQUEST_TIMEOUT).min(REQUEST_TIMEOUT_MAX);
    match timeout(within, work).await {
        Ok(done) => done.map_err(|failure| failure.to_string()),
        Err(_) => Err(format!("not done within {} s", within.as_secs())),
    }
}

/// Who the node is, as programs are told; without the peer id behind each address.
pub(super) fn identify(node: &Node) -> PeerInfo {
    let addresses = node.addresses().into_iter().map(|mut address| {
        if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
            address.pop();
        }
        address
    });
    PeerInfo {
        peer: node.id(),
        addresses: addresses.collect(),
    }
}

/// Where a socket is.
pub(super) fn address(endpoint: &Endpoint) -> Address {
    match endpoint {
        Endpoint::Tcp(socket) => Address::Tcp(socket.to_string()),
        Endpoint::Unix(path) => {
            #[cfg(unix)]
            let path =
                <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path.clone());
            #[cfg(not(unix))]
            let path = String::from_utf8_lossy(path).into_owned();
            Address::Unix(PathBuf::from(path))
        }
    }
}

const ECHO: ProtocolId = ProtocolId::from_static("/echo/1.0.0");
const PROTECTED: &str = "p2pd";
/// Programs, each stream that one has opened, and sockets for calls.
const CLIENTS_MAX: usize = 1024;
/// How long nobody is taken after the system had no socket to give.
const PAUSE: Duration = Duration::from_millis(200);
/// As go's daemon has it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
