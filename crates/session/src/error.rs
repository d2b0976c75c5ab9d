//! What can go wrong below the streams, one enum per layer: whose fault it is and what the caller can do.

use std::fmt;

use carrick_wire::{DecodeError, PeerId, ProtocolId};

/// Why a stream was reset or a connection closed, as the other side is told (libp2p/specs `error-codes`, with the numbers of
/// go-libp2p; 0: no code). Yamux carries it in resets and go-aways, QUIC in its application error codes.
///
/// The numbers here are those of connections. go-libp2p gives the same reasons numbers that are one higher where it resets a
/// stream, and so do we on the wire: [`stream_code`](Self::stream_code) and [`of_stream`](Self::of_stream).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u32);

impl Code {
    /// No reason given.
    pub const NONE: Self = Self(0);
    /// No protocol could be agreed on (libp2p/specs `error-codes`: `PROTOCOL_NEGOTIATION_FAILED`).
    pub const NEGOTIATION_FAILED: Self = Self(0x1000);
    /// A limit of the resetting side was reached (`RESOURCE_LIMIT_EXCEEDED`).
    pub const LIMIT: Self = Self(0x1001);
    /// Too much in too short a time: requests that are to come later, or a stream that nobody reads fast enough for a muxer
    /// without flow control (`RATE_LIMITED`).
    pub const RATE_LIMITED: Self = Self(0x1002);
    /// The protocol was broken (`PROTOCOL_VIOLATION`).
    pub const VIOLATION: Self = Self(0x1003);
    /// Another connection to the peer is used instead (`SUPPLANTED`).
    pub const SUPPLANTED: Self = Self(0x1004);
    /// Nobody used it for a while, or there were too many and this one was worth least (`GARBAGE_COLLECTED`).
    pub const TRIMMED: Self = Self(0x1005);
    /// The node is shutting down (`SHUTDOWN`).
    pub const SHUTDOWN: Self = Self(0x1006);
    /// The peer is not let in: it is banned, or admission decided against it (`GATED`).
    pub const GATED: Self = Self(0x1007);
    /// QUIC carried a code of more than 32 bits (`CODE_OUT_OF_RANGE`).
    pub const OUT_OF_RANGE: Self = Self(0x1008);

    /// The number that says this when a stream is reset. Numbers of nobody's stay as they are.
    pub const fn stream_code(self) -> u32 {
        match self.0 {
            0x1000..=0x1008 => self.0 + 1,
            code => code,
        }
    }

    /// What a number means with which a stream was reset.
    pub const fn of_stream(code: u32) -> Self {
        match code {
            0x1001..=0x1009 => Self(code - 1),
            code => Self(code),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("no reason given"),
            Self::NEGOTIATION_FAILED => f.write_str("protocol negotiation failed"),
            Self::LIMIT => f.write_str("a limit was reached"),
            Self::RATE_LIMITED => f.write_str("too much in too short a time"),
            Self::VIOLATION => f.write_str("the protocol was broken"),
            Self::SUPPLANTED => f.write_str("another connection is used instead"),
            Self::TRIMMED => f.write_str("trimmed, since it was idle or one too many"),
            Self::SHUTDOWN => f.write_str("the peer is shutting down"),
            Self::GATED => f.write_str("banned or not admitted"),
            Self::OUT_OF_RANGE => f.write_str("a code of more than 32 bits"),
            Self(code) => write!(f, "code {code:#x}"),
        }
    }
}

/// multistream-select did not end in a protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// The listener knows none of the proposed protocols.
    #[error("the peer does not support {}", list(.0))]
    Unsupported(Vec<ProtocolId>),
    /// The peer's bytes are not multistream-select.
    #[error("the peer does not speak multistream-select: {0}")]
    Malformed(#[from] DecodeError),
    /// The peer's message is well formed but not allowed here.
    #[error("the peer broke multistream-select: {0}")]
    Violation(&'static str),
}

fn list(protocols: &[ProtocolId]) -> String {
    protocols
        .iter()
        .map(ProtocolId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The security handshake failed, or a sealed record did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecureError {
    /// Somebody else answered than was dialed.
    #[error("expected peer {expected}, found {found}")]
    WrongPeer {
        /// Who was dialed.
        expected: PeerId,
        /// Who answered and proved it.
        found: PeerId,
    },
    /// The handshake's bytes are wrong; the text says which.
    #[error("bad handshake: {0}")]
    Handshake(&'static str),
    /// The handshake's payload, or the peer's certificate, does not decode.
    #[error("bad handshake payload: {0}")]
    Payload(#[from] DecodeError),
    /// Noise: the identity key did not sign the static key of this handshake.
    #[error("the peer's identity signature is invalid")]
    Signature,
    /// The peer's TLS certificate does not prove who it is; the text says why.
    #[error("bad certificate: {0}")]
    Certificate(&'static str),
    /// The peer ended the connection with this TLS alert (RFC 8446, section 6).
    #[error("the peer ended the connection: TLS alert {0}")]
    Alert(u8),
    /// The peer broke the rules of TLS records; the text says how.
    #[error("the peer broke TLS: {0}")]
    Misbehaved(&'static str),
    /// The peer broke TLS in the handshake, or has nothing in common with us; the text is the TLS library's.
    #[error("bad TLS handshake: {0}")]
    Tls(String),
    /// Both sides named their muxers and have none in common.
    #[error("no muxer in common with the peer")]
    NoCommonMuxer,
    /// A record failed authentication: it was changed, replayed or reordered on the way.
    #[error("a record failed authentication")]
    Record,
    /// 2^64 - 1 records were sent over one connection.
    #[error("the nonces of this connection are used up")]
    NoncesExhausted,
}

/// A pipe did not become a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// No security protocol was agreed on.
    #[error("security negotiation: {0}")]
    Security(#[source] NegotiateError),
    /// The handshake failed.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// No muxer was agreed on.
    #[error("muxer negotiation: {0}")]
    Muxer(#[source] NegotiateError),
    /// The first frames after the upgrade broke the muxer's protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The deadline over the whole upgrade passed; the text names the step that was waited for.
    #[error("timed out during {0}")]
    TimedOut(&'static str),
    /// The peer closed the pipe; the text names the step.
    #[error("the peer closed the connection during {0}")]
    Closed(&'static str),
}

/// The peer broke the muxer's protocol: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("muxer protocol violation: {0}")]
pub struct Violation(pub &'static str);

impl Violation {
    /// Whether nothing but the peer's word says that it was broken, and by us.
    pub fn is_reported(&self) -> bool {
        self.0.starts_with("the peer reported")
    }
}

/// Why a stream cannot be opened on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too many streams are open or unacknowledged; [`Event::Openable`](crate::Event::Openable) follows.
    #[error("too many streams are open or unacknowledged")]
    Blocked,
    /// The peer or we have begun to close the connection.
    #[error("the connection is closing")]
    Closing,
    /// All stream ids of this connection are used up.
    #[error("the connection has used up its stream ids")]
    Exhausted,
}

/// Why a stream cannot be read from or written to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer reset the stream.
    #[error("the peer reset the stream: {0}")]
    Reset(Code),
    /// We reset the stream.
    #[error("the stream was reset locally: {0}")]
    ResetLocally(Code),
    /// We closed the write side before.
    #[error("the write side is finished")]
    Finished,
    /// The connection is gone.
    #[error("the connection was lost")]
    ConnectionLost,
}
