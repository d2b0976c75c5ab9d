//! The control protocol of go-libp2p-daemon, specs/CONTROL.md and CM.md, with hivemind's balanced handlers and unary calls:
//! what a program tells the daemon beside it, and what it hears back. Each message has its length before it.
//! Invariants: size and number of what is inside are checked first; peers, addresses and protocols are valid ones.

use std::{fmt, time::Duration};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use prost::Message as _;

use crate::{DecodeError, ProtocolId, address, pb::Fields, peer_id, varint};

mod endpoint;
mod pb;
mod unary;

pub use endpoint::Endpoint;
pub use unary::{CallError, CallId, UnaryRequest, UnaryResponse};

/// Longest message, in bytes, without its length: as go-libp2p's.
pub const LEN_MAX: usize = 4 << 20;
/// Most values in a request, addresses and protocols among them.
pub const ITEMS_MAX: usize = 1024;
/// Most values in a response, where each connection is some.
pub const RESPONSE_ITEMS_MAX: usize = 1 << 18;

/// The message at the start of `buf`, and how many bytes it takes with its length; `None` when `buf` ends inside it.
///
/// # Errors
/// A bad length, or one above [`LEN_MAX`].
pub fn decode_frame(buf: &[u8]) -> Result<Option<(&[u8], usize)>, DecodeError> {
    varint::decode_prefixed(buf, WHAT, LEN_MAX)
}

/// What a program wants. Requests of one program are answered in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who the node is, and where.
    Identify,
    /// Connect to a peer.
    Connect {
        /// Whom.
        peer: PeerId,
        /// Where, beside what is known.
        addresses: Vec<Multiaddr>,
        /// How long to try; `None`: as long as the daemon likes.
        timeout: Option<Duration>,
    },
    /// Open a stream, which this socket then carries.
    StreamOpen {
        /// To whom.
        peer: PeerId,
        /// The first one that the peer supports.
        protocols: Vec<ProtocolId>,
        /// How long to try; `None`: as long as the daemon likes.
        timeout: Option<Duration>,
    },
    /// Bring inbound streams of these protocols to a socket that the program listens on.
    StreamHandler {
        /// The program's socket.
        endpoint: Endpoint,
        /// Of which protocols.
        protocols: Vec<ProtocolId>,
        /// Hivemind's: whether to take turns with others. `None`, as upstream's programs have it: in their stead.
        balanced: Option<bool>,
    },
    /// Hivemind's: no more streams to that socket.
    RemoveStreamHandler {
        /// The program's socket.
        endpoint: Endpoint,
        /// Of which protocols.
        protocols: Vec<ProtocolId>,
    },
    /// Anything of the DHT.
    Dht,
    /// Every connection.
    ListPeers,
    /// Make a peer worth more, or less, when connections are trimmed.
    TagPeer {
        /// Whom.
        peer: PeerId,
        /// The tag's name, not empty.
        tag: String,
        /// How much.
        weight: i64,
    },
    /// Take a tag off.
    UntagPeer {
        /// Of whom.
        peer: PeerId,
        /// The tag's name, not empty.
        tag: String,
    },
    /// Trim connections now.
    Trim,
    /// Close every connection to a peer.
    Disconnect {
        /// Whom.
        peer: PeerId,
    },
    /// Anything of pubsub.
    Pubsub,
    /// Hivemind's: from here on the socket carries [`UnaryRequest`]s and [`UnaryResponse`]s.
    UnaryUpgrade,
    /// JavaScript's: what a peer supports.
    PeerProtocols {
        /// Which one.
        peer: PeerId,
    },
    /// JavaScript's: where a peer is.
    PeerAddresses {
        /// Which one.
        peer: PeerId,
    },
}

/// Why there is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is no message of this protocol. Nothing that follows can be trusted.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Nobody knows such a request. Nothing that follows can be trusted, as it may be a stream.
    #[error("request of the unknown type {0}")]
    Unknown(i32),
    /// It cannot be fulfilled, which is to be answered with this text; the next request may be better.
    #[error("{0}")]
    Refused(String),
}

impl Request {
    /// Reads a request, without its length. Types 9 and 10 and field 9 mean different things to hivemind and to JavaScript;
    /// the content decides.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn decode(buf: &[u8]) -> Result<Self, RequestError> {
        check_items(buf, ITEMS_MAX)?;
        let request: pb::Request = crate::pb::decode(buf, MALFORMED)?;
        let kind = request.kind.ok_or(DecodeError::Malformed(NO_TYPE))?;
        Ok(match kind {
            pb::IDENTIFY => Self::Identify,
            pb::CONNECT => {
                let connect = request.connect.ok_or_else(missing)?;
                Self::Connect {
                    peer: peer(&connect.peer)?,
                    addresses: list(&connect.addrs, |bytes| address::decode(bytes))?,
                    timeout: seconds(connect.timeout),
                }
            }
            pb::STREAM_OPEN => {
                let open = request.stream_open.ok_or_else(missing)?;
                Self::StreamOpen {
                    peer: peer(&open.peer)?,
                    protocols: list(&open.proto, |name| ProtocolId::new(name))?,
                    timeout: seconds(open.timeout),
                }
            }
            pb::STREAM_HANDLER => {
                let handler = request.stream_handler.ok_or_else(missing)?;
                Self::StreamHandler {
                    endpoint: Endpoint::decode(&handler.addr).map_err(refused)?,
                    protocols: list(&handler.proto, |name| ProtocolId::new(name))?,
                    balanced: handler.balanced,
                }
            }
            pb::REMOVE_STREAM_HANDLER => {
                let nine = request.nine.ok_or_else(missing)?;
                let handler: pb::StreamHandler = crate::pb::decode(&nine, MALFORMED)?;
                Self::RemoveStreamHandler {
                    endpoint: Endpoint::decode(&handler.addr).map_err(refused)?,
                    protocols: list(&handler.proto, |name| ProtocolId::new(name))?,
                }
            }
            pb::DHT => Self::Dht,
            pb::LIST_PEERS => Self::ListPeers,
            pb::CONNMANAGER => tagging(request.conn_manager.ok_or_else(missing)?)?,
            pb::DISCONNECT => Self::Disconnect {
                peer: peer(&request.disconnect.ok_or_else(missing)?.peer)?,
            },
            pb::PUBSUB => Self::Pubsub,
            pb::NINE => match request.nine {
                None => Self::UnaryUpgrade,
                Some(nine) => asking(&crate::pb::decode(&nine, MALFORMED)?)?,
            },
            unknown => return Err(RequestError::Unknown(unknown)),
        })
    }

    /// The request with its length before it.
    pub fn encode(&self) -> Vec<u8> {
        let mut request = self.write();
        request.kind = Some(self.kind());
        framed(&request)
    }

    fn kind(&self) -> i32 {
        match self {
            Self::Identify => pb::IDENTIFY,
            Self::Connect { .. } => pb::CONNECT,
            Self::StreamOpen { .. } => pb::STREAM_OPEN,
            Self::StreamHandler { .. } => pb::STREAM_HANDLER,
            Self::RemoveStreamHandler { .. } => pb::REMOVE_STREAM_HANDLER,
            Self::Dht => pb::DHT,
            Self::ListPeers => pb::LIST_PEERS,
            Self::TagPeer { .. } | Self::UntagPeer { .. } | Self::Trim => pb::CONNMANAGER,
            Self::Disconnect { .. } => pb::DISCONNECT,
            Self::Pubsub => pb::PUBSUB,
            Self::UnaryUpgrade | Self::PeerProtocols { .. } | Self::PeerAddresses { .. } => {
                pb::NINE
            }
        }
    }

    fn write(&self) -> pb::Request {
        let mut request = pb::Request::default();
        match self {
            Self::Identify | Self::Dht | Self::ListPeers | Self::Pubsub | Self::UnaryUpgrade => {}
            Self::Connect {
                peer,
                addresses,
                timeout,
            } => {
                request.connect = Some(pb::Connect {
                    peer: peer.to_bytes(),
                    addrs: addresses.iter().map(Multiaddr::to_vec).collect(),
                    timeout: timeout.map(whole_seconds),
                });
            }
            Self::StreamOpen {
                peer,
                protocols,
                timeout,
            } => {
                request.stream_open = Some(pb::StreamOpen {
                    peer: peer.to_bytes(),
                    proto: names(protocols),
                    timeout: timeout.map(whole_seconds),
                });
            }
            Self::StreamHandler {
                endpoint,
                protocols,
                balanced,
            } => request.stream_handler = Some(handler(endpoint, protocols, *balanced)),
            Self::RemoveStreamHandler {
                endpoint,
                protocols,
            } => request.nine = Some(handler(endpoint, protocols, None).encode_to_vec()),
            Self::TagPeer { peer, tag, weight } => {
                let asked = conn_manager(pb::TAG_PEER, peer, tag, Some(*weight));
                request.conn_manager = Some(asked);
            }
            Self::UntagPeer { peer, tag } => {
                request.conn_manager = Some(conn_manager(pb::UNTAG_PEER, peer, tag, None));
            }
            Self::Trim => {
                request.conn_manager = Some(pb::ConnManager {
                    kind: Some(pb::TRIM),
                    ..pb::ConnManager::default()
                });
            }
            Self::Disconnect { peer } => {
                let peer = peer.to_bytes();
                request.disconnect = Some(pb::Disconnect { peer });
            }
            Self::PeerProtocols { peer } => {
                request.nine = Some(peerstore(pb::GET_PROTOCOLS, peer));
            }
            Self::PeerAddresses { peer } => {
                request.nine = Some(peerstore(pb::GET_PEER_INFO, peer));
            }
        }
        request
    }
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// It is done.
    Ok,
    /// It is not done, and why.
    Error(String),
    /// The stream is open, and follows.
    Stream(StreamInfo),
    /// Who the node is.
    Identify(PeerInfo),
    /// A peer for each connection.
    Peers(Vec<PeerInfo>),
    /// JavaScript's: what is known of a peer.
    Peer {
        /// Where it is, when that was asked.
        addresses: Option<PeerInfo>,
        /// What it supports, when that was asked.
        protocols: Vec<ProtocolId>,
    },
}

impl Response {
    /// Reads a response, without its length.
    ///
    /// # Errors
    /// Above [`LEN_MAX`] or [`RESPONSE_ITEMS_MAX`]; bad protobuf; a peer, an address or a protocol that is none.
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        check_items(buf, RESPONSE_ITEMS_MAX)?;
        let response: pb::Response = crate::pb::decode(buf, MALFORMED)?;
        if response.kind != pb::OK {
            let error = response.error.unwrap_or_default();
            return Ok(Self::Error(error.msg));
        }
        Ok(if let Some(info) = response.stream_info {
            Self::Stream(StreamInfo::read(&info)?)
        } else if let Some(info) = response.identify {
            Self::Identify(PeerInfo::read(&info)?)
        } else if let Some(known) = response.peer_store {
            let addresses = known.peer.as_ref().map(PeerInfo::read).transpose()?;
            let protocols = known.protos.iter().map(|name| ProtocolId::new(name));
            Self::Peer {
                addresses,
                protocols: protocols.collect::<Result<_, _>>()?,
            }
        } else if response.peers.is_empty() {
            Self::Ok
        } else {
            let peers = response.peers.iter().map(PeerInfo::read);
            Self::Peers(peers.collect::<Result<_, _>>()?)
        })
    }

    /// The response with its length before it.
    pub fn encode(&self) -> Vec<u8> {
        let mut response = pb::Response::default();
        match self {
            Self::Ok => {}
            Self::Error(text) => {
                response.kind = pb::ERROR;
                response.error = Some(pb::Error { msg: text.clone() });
            }
            Self::Stream(info) => response.stream_info = Some(info.write()),
            Self::Identify(info) => response.identify = Some(info.write()),
            Self::Peers(peers) => response.peers = peers.iter().map(PeerInfo::write).collect(),
            Self::Peer {
                addresses,
                protocols,
            } => {
                response.peer_store = Some(pb::PeerstoreResponse {
                    peer: addresses.as_ref().map(PeerInfo::write),
                    protos: names(protocols),
                });
            }
        }
        framed(&response)
    }
}

/// A stream: the answer to [`Request::StreamOpen`], and what comes first on a socket that an inbound stream is brought to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Who is on the other end.
    pub peer: PeerId,
    /// Where.
    pub address: Multiaddr,
    /// The protocol that was agreed on.
    pub protocol: ProtocolId,
}

impl StreamInfo {
    /// Reads what comes before an inbound stream, without its length.
    ///
    /// # Errors
    /// Bad protobuf; a peer, an address or a protocol that is none.
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        DecodeError::check_max(WHAT, buf.len(), LEN_MAX)?;
        Self::read(&crate::pb::decode(buf, MALFORMED)?)
    }

    /// The message with its length before it.
    pub fn encode(&self) -> Vec<u8> {
        framed(&self.write())
    }

    fn read(info: &pb::StreamInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            peer: peer_id::decode(&info.peer)?,
            address: address::decode(&info.addr)?,
            protocol: ProtocolId::new(&info.proto)?,
        })
    }

    fn write(&self) -> pb::StreamInfo {
        pb::StreamInfo {
            peer: self.peer.to_bytes(),
            addr: self.address.to_vec(),
            proto: self.protocol.to_string(),
        }
    }
}

/// A peer and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addresses: Vec<Multiaddr>,
}

impl PeerInfo {
    fn read(info: &pb::PeerInfo) -> Result<Self, DecodeError> {
        let addresses = info.addrs.iter().map(|bytes| address::decode(bytes));
        Ok(Self {
            peer: peer_id::decode(&info.id)?,
            addresses: addresses.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self) -> pb::PeerInfo {
        pb::PeerInfo {
            id: self.peer.to_bytes(),
            addrs: self.addresses.iter().map(Multiaddr::to_vec).collect(),
        }
    }
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(varint::LEN_MAX + message.encoded_len());
    varint::encode_prefixed(&message.encode_to_vec(), &mut out);
    out
}

/// Counts the values inside of what is inside, before anything is allocated for them.
fn check_items(buf: &[u8], max: usize) -> Result<(), DecodeError> {
    let mut items = 0;
    for field in Fields::of(WHAT, buf, LEN_MAX)? {
        items += 1;
        if let (2..=9, crate::pb::Value::Bytes(inside)) = field? {
            // What is no message here will not be read as one.
            items += Fields::of(WHAT, inside, LEN_MAX)?.count();
        }
    }
    DecodeError::check_max("values in a message of the daemon", items, max)
}

fn tagging(asked: pb::ConnManager) -> Result<Request, RequestError> {
    let named = asked.tag.filter(|tag| !tag.is_empty());
    let tag = || named.ok_or_else(|| refused("Malformed request; missing tag parameter"));
    let peer = || peer(asked.peer.as_deref().unwrap_or_default());
    match asked.kind {
        Some(pb::TAG_PEER) => Ok(Request::TagPeer {
            peer: peer()?,
            tag: tag()?,
            weight: asked.weight.unwrap_or(0),
        }),
        Some(pb::UNTAG_PEER) => Ok(Request::UntagPeer {
            peer: peer()?,
            tag: tag()?,
        }),
        Some(pb::TRIM) => Ok(Request::Trim),
        _ => Err(refused("Unexpected request")),
    }
}

fn asking(asked: &pb::Peerstore) -> Result<Request, RequestError> {
    let peer = peer(asked.id.as_deref().unwrap_or_default())?;
    match asked.kind {
        Some(pb::GET_PROTOCOLS) => Ok(Request::PeerProtocols { peer }),
        Some(pb::GET_PEER_INFO) => Ok(Request::PeerAddresses { peer }),
        _ => Err(refused("Unexpected request")),
    }
}

fn peer(bytes: &[u8]) -> Result<PeerId, RequestError> {
    peer_id::decode(bytes).map_err(refused)
}

fn list<T, U>(
    all: &[T],
    decode: impl Fn(&T) -> Result<U, DecodeError>,
) -> Result<Vec<U>, RequestError> {
    all.iter()
        .map(decode)
        .collect::<Result<_, _>>()
        .map_err(refused)
}

fn seconds(timeout: Option<i64>) -> Option<Duration> {
    let seconds = u64::try_from(timeout?).ok().filter(|some| *some > 0);
    seconds.map(Duration::from_secs)
}

fn whole_seconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX)
}

fn names(protocols: &[ProtocolId]) -> Vec<String> {
    protocols.iter().map(ToString::to_string).collect()
}

fn handler(
    endpoint: &Endpoint,
    protocols: &[ProtocolId],
    balanced: Option<bool>,
) -> pb::StreamHandler {
    pb::StreamHandler {
        addr: endpoint.encode(),
        proto: names(protocols),
        balanced,
    }
}

fn conn_manager(kind: i32, peer: &PeerId, tag: &str, weight: Option<i64>) -> pb::ConnManager {
    pb::ConnManager {
        kind: Some(kind),
        peer: Some(peer.to_bytes()),
        tag: Some(tag.to_owned()),
        weight,
    }
}

fn peerstore(kind: i32, peer: &PeerId) -> Vec<u8> {
    let asked = pb::Peerstore {
        kind: Some(kind),
        id: Some(peer.to_bytes()),
    };
    asked.encode_to_vec()
}

fn missing() -> RequestError {
    refused("Malformed request; missing parameters")
}

fn refused(why: impl fmt::Display) -> RequestError {
    RequestError::Refused(why.to_string())
}

const WHAT: &str = "message of the daemon";
const MALFORMED: &str = "message of the daemon is not valid protobuf";
const NO_TYPE: &str = "request has no type";

#[cfg(test)]
mod tests;
