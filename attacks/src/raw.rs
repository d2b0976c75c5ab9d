//! A peer that speaks Noise as it should and inside it any bytes whatever: single yamux frames, good and bad ones.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use carrick::Keypair;
use carrick_session::{Opener, Records, Role, Sealer};
use carrick_wire::yamux::{Flags, HEADER_LEN, Header, Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    time::timeout,
};

use crate::{
    source,
    speaker::{CONNECT_TIMEOUT, proposal, upgraded},
};

/// Both directions of a connection.
pub(crate) struct Raw {
    pub(crate) reader: RawReader,
    pub(crate) writer: RawWriter,
}

/// What the other side says, frame by frame.
pub(crate) struct RawReader {
    /// `None`: it is discarded elsewhere.
    socket: Option<OwnedReadHalf>,
    opener: Opener,
    input: BytesMut,
    plain: BytesMut,
    /// Words before the first frame: the answer to the muxer.
    skip: usize,
}

/// What is said.
pub(crate) struct RawWriter {
    socket: OwnedWriteHalf,
    sealer: Sealer,
    records: Records,
}

/// A frame with its body.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) body: BytesMut,
}

/// A data frame.
pub(crate) fn data(stream: u32, flags: Flags, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32;
    [&frame(Kind::Data, flags, stream, length)[..], body].concat()
}

/// A header.
pub(crate) fn frame(kind: Kind, flags: Flags, stream: u32, length: u32) -> [u8; HEADER_LEN] {
    let header = Header {
        kind,
        flags,
        stream,
        length,
    };
    header.encode()
}

impl Raw {
    /// Connects from `source` as somebody new.
    pub(crate) async fn connect(source: IpAddr, victim: SocketAddr) -> io::Result<Self> {
        let connected = async {
            let socket = source::connect(source, victim).await?;
            upgraded(socket, Role::Dialer, &Keypair::generate_ed25519()).await
        };
        let (socket, upgraded) = timeout(CONNECT_TIMEOUT, connected)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        let early = upgraded.summary.early_muxer;
        let (reader, writer) = socket.into_split();
        Ok(Self {
            reader: RawReader {
                socket: Some(reader),
                opener: upgraded.opener,
                input: upgraded.leftover,
                plain: BytesMut::new(),
                skip: if early {
                    0
                } else {
                    proposal("/yamux/1.0.0").len()
                },
            },
            writer: RawWriter {
                socket: writer,
                records: Records::new(upgraded.sealer.layout()),
                sealer: upgraded.sealer,
            },
        })
    }

    /// Opens a stream with this id, proposes `protocol` and says `words` at once.
    pub(crate) async fn ask(
        &mut self,
        stream: u32,
        protocol: &'static str,
        words: &[u8],
    ) -> io::Result<()> {
        let body = [&proposal(protocol)[..], words].concat();
        self.writer.send(&data(stream, Flags::SYN, &body)).await
    }

    /// From here on what comes is thrown away unread, until the connection ends; nothing can be read any more.
    pub(crate) fn discard(&mut self) {
        let Some(mut socket) = self.reader.socket.take() else {
            return;
        };
        tokio::spawn(async move {
            let mut part = vec![0; 16 << 10];
            while matches!(socket.read(&mut part).await, Ok(n) if n > 0) {}
        });
    }

    /// Reads until a frame fits, at most for `time`; `None`: none came, or the other side has closed.
    pub(crate) async fn until(
        &mut self,
        time: Duration,
        mut fits: impl FnMut(&Frame) -> bool,
    ) -> Option<Frame> {
        let found = async {
            loop {
                match self.reader.next().await {
                    Ok(Some(frame)) if fits(&frame) => return Some(frame),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        timeout(time, found).await.ok().flatten()
    }

    /// Whether a yamux ping is answered in time.
    pub(crate) async fn answers(&mut self, time: Duration) -> bool {
        let ping = frame(Kind::Ping, Flags::SYN, 0, PING);
        let said = timeout(time, self.writer.send(&ping)).await;
        let pong = |frame: &Frame| frame.header.kind == Kind::Ping && frame.header.length == PING;
        matches!(said, Ok(Ok(()))) && self.until(time, pong).await.is_some()
    }
}

impl RawReader {
    /// The next frame; `None`: the other side has closed. Cancel-safe.
    ///
    /// # Errors
    /// The connection was reset, or what came is no frame.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frame()? {
                return Ok(Some(frame));
            }
            let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            if socket.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
            while let Some(bytes) = self
                .opener
                .open(&mut self.input)
                .map_err(io::Error::other)?
            {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                self.plain.extend_from_slice(&bytes[skipped..]);
            }
        }
    }

    fn frame(&mut self) -> io::Result<Option<Frame>> {
        let Some(header) = self.plain.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let header = Header::decode(header).map_err(io::Error::other)?;
        let body = match header.kind {
            Kind::Data => header.length as usize,
            Kind::WindowUpdate | Kind::Ping | Kind::GoAway => 0,
        };
        if self.plain.len() < HEADER_LEN + body {
            return Ok(None);
        }
        let mut body = self.plain.split_to(HEADER_LEN + body);
        let _ = body.split_to(HEADER_LEN);
        Ok(Some(Frame { header, body }))
    }
}

impl RawWriter {
    /// Says all of it; waits while the other side does not read.
    ///
    /// # Errors
    /// The other side has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(PART) {
            self.records.push(part);
            self.sealer
                .seal(&mut self.records)
                .map_err(io::Error::other)?;
            self.socket.write_all(self.records.as_slice()).await?;
            self.records.clear();
        }
        Ok(())
    }
}

/// What is sealed at once.
const PART: usize = 60 << 10;
/// The value of our own pings.
const PING: u32 = 0x6d75_7861;
