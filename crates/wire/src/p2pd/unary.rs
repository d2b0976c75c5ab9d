//! Hivemind's unary calls: many at once over one socket to the daemon, and one on each stream between daemons.
//! Between daemons the caller's own request is sent, and the reply comes as a request with the same number.

use libp2p_identity::PeerId;

use super::{LEN_MAX, MALFORMED, WHAT, framed, pb};
use crate::{DecodeError, ProtocolId, peer_id};

/// A call's number: a UUID that its caller has made up.
pub type CallId = [u8; 16];

/// A program's word to its daemon; [`Call`](Self::Call) and [`Reply`](Self::Reply) also a daemon's to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnaryRequest {
    /// Bring calls of the protocol to this program.
    AddHandler {
        /// Which one.
        protocol: ProtocolId,
        /// Whether to take turns with others.
        balanced: bool,
    },
    /// No more of them.
    RemoveHandler {
        /// Which one.
        protocol: ProtocolId,
    },
    /// Call a peer.
    Call {
        /// Whom.
        peer: PeerId,
        /// By which protocol.
        protocol: ProtocolId,
        /// With what.
        data: Vec<u8>,
    },
    /// What the handler says to a call: its answer, or its error.
    Reply(Result<Vec<u8>, Vec<u8>>),
    /// The answer is not wanted any more.
    Cancel,
}

/// A daemon's word to its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnaryResponse {
    /// It is done.
    Done,
    /// What a peer says to a call.
    Reply(Result<Vec<u8>, Vec<u8>>),
    /// A peer calls.
    Call {
        /// Who.
        peer: PeerId,
        /// By which protocol.
        protocol: ProtocolId,
        /// With what.
        data: Vec<u8>,
    },
    /// It is not done, and why.
    Failed(String),
    /// The caller has given up, or we have.
    Cancelled,
}

/// Why there is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// Whom to tell, if that much could be read; the next request may be better.
    pub call: Option<CallId>,
    /// What is wrong.
    pub error: DecodeError,
}

impl UnaryRequest {
    /// Reads a request and its call's number, without its length.
    ///
    /// # Errors
    /// Above [`LEN_MAX`]; bad protobuf; a number of other than 16 bytes; a peer or a protocol that is none.
    pub fn decode(buf: &[u8]) -> Result<(CallId, Self), CallError> {
        let (call, ask) = Self::numbered(buf).map_err(|error| CallError { call: None, error })?;
        let request = Self::read(ask).map_err(|error| CallError {
            call: Some(call),
            error,
        })?;
        Ok((call, request))
    }

    /// The request with its length before it.
    pub fn encode(&self, call: CallId) -> Vec<u8> {
        framed(&pb::UnaryRequest {
            call_id: call.to_vec(),
            ask: Some(match self {
                Self::AddHandler { protocol, balanced } => {
                    pb::UnaryAsk::AddHandler(pb::UnaryHandler {
                        proto: protocol.to_string(),
                        balanced: *balanced,
                    })
                }
                Self::RemoveHandler { protocol } => pb::UnaryAsk::RemoveHandler(pb::UnaryHandler {
                    proto: protocol.to_string(),
                    balanced: false,
                }),
                Self::Call {
                    peer,
                    protocol,
                    data,
                } => pb::UnaryAsk::Call(write_call(peer, protocol, data)),
                Self::Reply(result) => pb::UnaryAsk::Reply(write_reply(result)),
                Self::Cancel => pb::UnaryAsk::Cancel(pb::Empty {}),
            }),
        })
    }

    fn numbered(buf: &[u8]) -> Result<(CallId, Option<pb::UnaryAsk>), DecodeError> {
        DecodeError::check_max(WHAT, buf.len(), LEN_MAX)?;
        let request: pb::UnaryRequest = crate::pb::decode(buf, MALFORMED)?;
        Ok((call_id(&request.call_id)?, request.ask))
    }

    fn read(ask: Option<pb::UnaryAsk>) -> Result<Self, DecodeError> {
        Ok(match ask.ok_or(EMPTY)? {
            pb::UnaryAsk::AddHandler(handler) => Self::AddHandler {
                protocol: ProtocolId::new(&handler.proto)?,
                balanced: handler.balanced,
            },
            pb::UnaryAsk::RemoveHandler(handler) => Self::RemoveHandler {
                protocol: ProtocolId::new(&handler.proto)?,
            },
            pb::UnaryAsk::Call(call) => {
                let (peer, protocol, data) = read_call(call)?;
                Self::Call {
                    peer,
                    protocol,
                    data,
                }
            }
            pb::UnaryAsk::Reply(reply) => Self::Reply(read_reply(reply)),
            pb::UnaryAsk::Cancel(_) => Self::Cancel,
        })
    }
}

impl UnaryResponse {
    /// Reads a response and its call's number, without its length.
    ///
    /// # Errors
    /// As [`UnaryRequest::decode`].
    pub fn decode(buf: &[u8]) -> Result<(CallId, Self), DecodeError> {
        DecodeError::check_max(WHAT, buf.len(), LEN_MAX)?;
        let response: pb::UnaryResponse = crate::pb::decode(buf, MALFORMED)?;
        let told = match response.told {
            None => Self::Done,
            Some(pb::UnaryTold::Reply(reply)) => Self::Reply(read_reply(reply)),
            Some(pb::UnaryTold::Call(call)) => {
                let (peer, protocol, data) = read_call(call)?;
                Self::Call {
                    peer,
                    protocol,
                    data,
                }
            }
            Some(pb::UnaryTold::Failed(error)) => Self::Failed(error.message.unwrap_or_default()),
            Some(pb::UnaryTold::Cancel(_)) => Self::Cancelled,
        };
        Ok((call_id(&response.call_id)?, told))
    }

    /// The response with its length before it.
    pub fn encode(&self, call: CallId) -> Vec<u8> {
        framed(&pb::UnaryResponse {
            call_id: call.to_vec(),
            told: match self {
                Self::Done => None,
                Self::Reply(result) => Some(pb::UnaryTold::Reply(write_reply(result))),
                Self::Call {
                    peer,
                    protocol,
                    data,
                } => Some(pb::UnaryTold::Call(write_call(peer, protocol, data))),
                Self::Failed(why) => Some(pb::UnaryTold::Failed(pb::DaemonError {
                    message: Some(why.clone()),
                })),
                Self::Cancelled => Some(pb::UnaryTold::Cancel(pb::Empty {})),
            },
        })
    }
}

fn call_id(bytes: &[u8]) -> Result<CallId, DecodeError> {
    CallId::try_from(bytes).map_err(|_| DecodeError::Malformed("number of a call is not a UUID"))
}

fn read_call(call: pb::Call) -> Result<(PeerId, ProtocolId, Vec<u8>), DecodeError> {
    let peer = peer_id::decode(&call.peer)?;
    Ok((peer, ProtocolId::new(&call.proto)?, call.data))
}

fn write_call(peer: &PeerId, protocol: &ProtocolId, data: &[u8]) -> pb::Call {
    pb::Call {
        peer: peer.to_bytes(),
        proto: protocol.to_string(),
        data: data.to_vec(),
    }
}

/// Neither an answer nor an error is an empty answer.
fn read_reply(reply: pb::Reply) -> Result<Vec<u8>, Vec<u8>> {
    match reply.result {
        None => Ok(Vec::new()),
        Some(pb::ReplyResult::Response(data)) => Ok(data),
        Some(pb::ReplyResult::Error(data)) => Err(data),
    }
}

fn write_reply(result: &Result<Vec<u8>, Vec<u8>>) -> pb::Reply {
    let result = match result {
        Ok(data) => pb::ReplyResult::Response(data.clone()),
        Err(data) => pb::ReplyResult::Error(data.clone()),
    };
    pb::Reply {
        result: Some(result),
    }
}

const EMPTY: DecodeError = DecodeError::Malformed("request of a call asks for nothing");
