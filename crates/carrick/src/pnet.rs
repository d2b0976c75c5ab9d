//! Private networks, specs/pnet: the key that its peers share, and the pipe that hides everything under it.
//!
//! The key comes in from a file, a plain pipe goes in, a hidden one comes out. Nothing but a random nonce ever leaves in
//! clear, and it leaves together with the first hidden bytes, so a private network costs no round trip.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use carrick_session::Keystream;
use carrick_wire::{
    Multiaddr, Protocol,
    pnet::{self, Psk},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    AttemptError,
    transport::{Pipe, PipeRead},
};

/// The key of a private network, as go-libp2p's `swarm.key` files hold it. Nodes with the same key can talk to each
/// other, and to nobody else. `Debug` shows the fingerprint, never the key.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, SwarmKey};
///
/// let key = SwarmKey::generate(); // and the same to all others: SwarmKey::load("swarm.key")?
/// let server = Node::builder()
///     .private_network(key.clone())
///     .listen("/ip4/127.0.0.1/tcp/0")?
///     .spawn()
///     .await?;
/// let friend = Node::builder().private_network(key).spawn().await?;
/// friend.ping(server.address()).await?;
/// let stranger = Node::spawn().await?;
/// assert!(stranger.ping(server.address()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmKey(Psk);

impl SwarmKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(Psk::new(rand::random()))
    }

    /// Reads a key file; blocks.
    ///
    /// # Errors
    /// The file cannot be read, or is no key file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SwarmKeyError> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(pnet::FILE_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| SwarmKeyError::Io {
                path: path.to_owned(),
                kind: error.kind(),
                reason: error.to_string(),
            })?;
        Self::decode(&bytes)
    }

    /// Reads the contents of a key file: `/key/swarm/psk/1.0.0/`, then `/base16/`, `/base64/` or `/bin/`, then 32 bytes
    /// in that encoding, each on a line of its own.
    ///
    /// # Errors
    /// It is anything else.
    pub fn decode(file: &[u8]) -> Result<Self, SwarmKeyError> {
        Psk::decode(file)
            .map(Self)
            .map_err(|error| SwarmKeyError::Malformed(error.to_string()))
    }

    /// The contents of a key file, in base 16. Whoever reads it is in.
    pub fn encode(&self) -> String {
        self.0.encode()
    }

    /// What may be shown of the key: 32 hexadecimal digits, the same as go-libp2p, Kubo and rust-libp2p print.
    pub fn fingerprint(&self) -> String {
        let digits = self.0.fingerprint();
        digits.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmKey({})", self.fingerprint())
    }
}

/// Why there is no swarm key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwarmKeyError {
    /// The file cannot be read.
    #[error("cannot read the swarm key {}: {reason}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's error.
        kind: io::ErrorKind,
        /// Its text.
        reason: String,
    },
    /// It is no key file.
    #[error("not a swarm key: {0}")]
    Malformed(String),
}

/// Whether the environment forbids nodes without a key, as it does to go-libp2p.
pub(crate) fn is_forced() -> bool {
    env::var_os("LIBP2P_FORCE_PNET").is_some_and(|value| value == "1")
}

/// Whether connections to this address make no pipe that could be hidden: they bring their own security.
pub(crate) fn is_beyond(address: &Multiaddr) -> bool {
    address.iter().any(|part| {
        matches!(
            part,
            Protocol::Quic
                | Protocol::QuicV1
                | Protocol::WebTransport
                | Protocol::WebRTC
                | Protocol::WebRTCDirect
        )
    })
}

/// The pipe as the network wants it: hidden under the key, if there is one.
pub(crate) fn protect(key: Option<&SwarmKey>, pipe: Pipe) -> Pipe {
    let Some(SwarmKey(key)) = key else {
        return pipe;
    };
    let nonce = rand::random();
    Pipe {
        reader: Box::new(HiddenRead {
            inner: pipe.reader,
            state: Inbound::Nonce {
                key: key.clone(),
                nonce: [0; Keystream::NONCE_LEN],
                read: 0,
            },
        }),
        writer: Box::new(HiddenWrite {
            inner: pipe.writer,
            keystream: Keystream::new(key, &nonce),
            nonce: Some(nonce),
            hidden: Vec::new(),
            written: 0,
            taken: 0,
        }),
    }
}

/// Whatever fails before the peer is known may be for want of the right key.
pub(crate) fn hint(key: Option<&SwarmKey>, error: AttemptError) -> AttemptError {
    let (AttemptError::Upgrade(text) | AttemptError::Transport(text), Some(_)) = (&error, key)
    else {
        return error;
    };
    AttemptError::Upgrade(format!(
        "{text}; we are in a private network: the peer may not have its swarm key"
    ))
}

struct HiddenRead {
    inner: Box<dyn PipeRead>,
    state: Inbound,
}

enum Inbound {
    Nonce {
        key: Psk,
        nonce: [u8; Keystream::NONCE_LEN],
        read: usize,
    },
    Stream(Keystream),
}

impl PipeRead for HiddenRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn local_ip(&self) -> Option<std::net::IpAddr> {
        self.inner.local_ip()
    }
}

impl AsyncRead for HiddenRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, state } = &mut *self;
        loop {
            match state {
                Inbound::Nonce { key, nonce, read } if *read == nonce.len() => {
                    *state = Inbound::Stream(Keystream::new(key, nonce));
                }
                Inbound::Nonce { nonce, read, .. } => {
                    let mut rest = ReadBuf::new(&mut nonce[*read..]);
                    ready!(Pin::new(&mut *inner).poll_read(cx, &mut rest))?;
                    match (rest.filled().len(), *read) {
                        (0, 0) => return Poll::Ready(Ok(())),
                        (0, _) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                        (more, _) => *read += more,
                    }
                }
                Inbound::Stream(keystream) => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut *inner).poll_read(cx, buf))?;
                    keystream.apply(&mut buf.filled_mut()[before..]);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Says that bytes are taken only when the inner pipe has them, so nobody needs to flush and nothing is kept while idle.
/// Until then it must be given the same bytes again, as `write_all` does.
struct HiddenWrite {
    inner: Box<dyn AsyncWrite + Send + Unpin>,
    keystream: Keystream,
    /// Until it is sent.
    nonce: Option<[u8; Keystream::NONCE_LEN]>,
    /// What is on its way, and how much of it is written.
    hidden: Vec<u8>,
    written: usize,
    /// Plain bytes that stand behind it.
    taken: usize,
}

impl HiddenWrite {
    fn hide(&mut self, plain: &[u8]) {
        let plain = &plain[..plain.len().min(WRITE_MAX)];
        let nonce = self.nonce.take();
        let nonce = nonce.as_ref().map_or(&[][..], |nonce| nonce);
        self.hidden = Vec::with_capacity(nonce.len() + plain.len());
        self.hidden.extend_from_slice(nonce);
        self.hidden.extend_from_slice(plain);
        self.keystream.apply(&mut self.hidden[nonce.len()..]);
        (self.written, self.taken) = (0, plain.len());
    }

    /// Ready when the inner pipe has everything.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.hidden.len() {
            let rest = &self.hidden[self.written..];
            match ready!(Pin::new(&mut *self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        self.hidden = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HiddenWrite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.taken == 0 {
            self.hide(buf);
        }
        ready!(self.poll_drain(cx))?;
        let taken = std::mem::take(&mut self.taken);
        if taken > buf.len() {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

/// Bytes that are hidden and written at once.
const WRITE_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
