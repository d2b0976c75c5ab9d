//! A socket of this machine, as programs and their daemon name it to each other: a multiaddr of a Unix path or of IP and TCP.
//! Go writes a path with its slashes, in binary and in text; that is no multiaddr elsewhere in this crate.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use multiaddr::{Multiaddr, Protocol};

use crate::{
    DecodeError,
    address::{self, unix},
    varint,
};

/// Where a daemon or a program listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// An absolute path.
    Unix(Vec<u8>),
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
}

impl Endpoint {
    /// Reads the binary form.
    ///
    /// # Errors
    /// Neither `/unix` with a path nor an IP address with a TCP port; something behind it.
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        DecodeError::check_max("address", buf.len(), address::LEN_MAX)?;
        let Some((CODE_UNIX, used)) = varint::decode(buf)? else {
            return Self::of(&address::decode(buf)?);
        };
        let path = buf.get(used..).unwrap_or_default();
        let (path, taken) =
            varint::decode_prefixed(path, "path", address::LEN_MAX)?.ok_or(MALFORMED)?;
        if used + taken != buf.len() {
            return Err(MALFORMED);
        }
        if path.starts_with(b"/") {
            // Written out, so nothing in it is encoded.
            return Self::path(path.to_vec());
        }
        let component = std::str::from_utf8(path).map_err(|_| MALFORMED)?;
        Self::path(unix::decode(component).ok_or(MALFORMED)?)
    }

    /// The binary form, as go has it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Unix(path) => {
                let mut out = Vec::new();
                varint::encode(CODE_UNIX, &mut out);
                varint::encode_prefixed(path, &mut out);
                out
            }
            Self::Tcp(socket) => Multiaddr::from(socket.ip())
                .with(Protocol::Tcp(socket.port()))
                .to_vec(),
        }
    }

    /// Reads the text: `/unix/tmp/p2pd.sock` or `/ip4/127.0.0.1/tcp/5005`.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        Self::of(&address::parse(text)?)
    }

    fn of(address: &Multiaddr) -> Result<Self, DecodeError> {
        let mut parts = address.iter();
        let ip = match parts.next() {
            Some(Protocol::Unix(path)) if parts.next().is_none() => {
                return Self::path(unix::decode(&path).ok_or(MALFORMED)?);
            }
            Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
            _ => return Err(MALFORMED),
        };
        match (parts.next(), parts.next()) {
            (Some(Protocol::Tcp(port)), None) => Ok(Self::Tcp(SocketAddr::new(ip, port))),
            _ => Err(MALFORMED),
        }
    }

    fn path(path: Vec<u8>) -> Result<Self, DecodeError> {
        DecodeError::check_max("path", path.len(), PATH_MAX)?;
        if path.contains(&0) || path.ends_with(b"/") {
            return Err(MALFORMED);
        }
        Ok(Self::Unix(path))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "/unix{}", String::from_utf8_lossy(path)),
            Self::Tcp(socket) => {
                let version = if socket.is_ipv4() { 4 } else { 6 };
                write!(f, "/ip{version}/{}/tcp/{}", socket.ip(), socket.port())
            }
        }
    }
}

const CODE_UNIX: u64 = 400;
/// What a socket's address has room for on Linux, its end included.
const PATH_MAX: usize = 107;
const MALFORMED: DecodeError =
    DecodeError::Malformed("address is neither a Unix path nor an IP address with a TCP port");
