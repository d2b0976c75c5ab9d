//! A half-honest peer: it speaks Noise and yamux as it should, and what it says inside is an attack's choice, down to single
//! frames.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use carrick::{Keypair, ProtocolId};
use carrick_session::{
    Event, Key, Mux, NoiseIdentity, Opener, Read, Records, Role, Sealer, Security, StreamError,
    Upgrade, Upgraded,
};
use carrick_wire::{multistream::Message, varint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::source;

/// An upgraded connection.
pub(crate) struct Speaker {
    socket: TcpStream,
    opener: Opener,
    sealer: Sealer,
    mux: Mux,
    input: BytesMut,
    /// Streams that the other side opened.
    pub(crate) incoming: Vec<Key>,
}

/// The header and a proposal.
pub(crate) fn proposal(protocol: &'static str) -> Vec<u8> {
    let mut first = Vec::new();
    Message::Header.encode(&mut first);
    Message::Protocol(ProtocolId::from_static(protocol)).encode(&mut first);
    first
}

/// A message with its length before it.
pub(crate) fn delimited(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

impl Speaker {
    /// Connects from `source` as somebody new.
    pub(crate) async fn connect(source: IpAddr, victim: SocketAddr) -> io::Result<Self> {
        Self::connect_as(source, victim, &Keypair::generate_ed25519()).await
    }

    /// Connects from `source` as this one.
    pub(crate) async fn connect_as(
        source: IpAddr,
        victim: SocketAddr,
        keypair: &Keypair,
    ) -> io::Result<Self> {
        let connected = async {
            let socket = source::connect(source, victim).await?;
            Self::upgrade(socket, Role::Dialer, keypair).await
        };
        timeout(CONNECT_TIMEOUT, connected)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Upgrades a socket.
    pub(crate) async fn upgrade(
        socket: TcpStream,
        role: Role,
        keypair: &Keypair,
    ) -> io::Result<Self> {
        let (socket, upgraded) = upgraded(socket, role, keypair).await?;
        let mut speaker = Self {
            socket,
            opener: upgraded.opener,
            sealer: upgraded.sealer,
            mux: upgraded.mux,
            input: upgraded.leftover,
            incoming: Vec::new(),
        };
        speaker.take_in().await?;
        Ok(speaker)
    }

    /// Opens a stream and writes `first` on it, which may be no more than half a word.
    pub(crate) async fn open(&mut self, first: &[u8]) -> io::Result<Key> {
        let key = self.mux.open().map_err(io::Error::other)?;
        self.write(key, first).await?;
        Ok(key)
    }

    /// Opens a stream, proposes `protocol` and sends `data` at once.
    pub(crate) async fn ask(&mut self, protocol: &'static str, data: &[u8]) -> io::Result<Key> {
        self.open(&[&proposal(protocol)[..], data].concat()).await
    }

    /// Writes all of it, as the windows allow.
    pub(crate) async fn write(&mut self, key: Key, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.mux.write(key, &[], data).map_err(io::Error::other)?;
            data = &data[written.unwrap_or(0)..];
            self.flush().await?;
            if written.is_none() && !self.recv().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Ends our side of a stream.
    pub(crate) async fn finish(&mut self, key: Key) -> io::Result<()> {
        self.mux.finish(key).map_err(io::Error::other)?;
        self.flush().await
    }

    /// Receives once; false when the other side has closed.
    pub(crate) async fn recv(&mut self) -> io::Result<bool> {
        let received = self.socket.read_buf(&mut self.input).await? > 0;
        self.take_in().await?;
        Ok(received)
    }

    /// What a stream has, without waiting.
    pub(crate) fn read(&mut self, key: Key) -> Result<Read, StreamError> {
        self.mux.read(Instant::now(), key)
    }

    /// All that a stream has until it ends or the connection does; the second is whether it ended cleanly.
    pub(crate) async fn read_to_end(&mut self, key: Key) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.read(key) {
                Ok(Read::Data(bytes)) => all.extend_from_slice(&bytes),
                Ok(Read::End) => return (all, true),
                Ok(Read::Blocked) => match self.recv().await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return (all, false),
                },
                Err(_) => return (all, false),
            }
        }
    }

    /// Takes the first stream that the other side opens.
    pub(crate) async fn accept(&mut self) -> io::Result<Key> {
        loop {
            if !self.incoming.is_empty() {
                return Ok(self.incoming.remove(0));
            }
            if !self.recv().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads and answers what the session itself must until the other side closes.
    pub(crate) async fn until_closed(&mut self) {
        while matches!(self.recv().await, Ok(true)) {}
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut records = Records::new(self.sealer.layout());
        while self.mux.poll_transmit(&mut records) {
            self.sealer.seal(&mut records).map_err(io::Error::other)?;
            self.socket.write_all(records.as_slice()).await?;
            records.clear();
        }
        Ok(())
    }

    async fn take_in(&mut self) -> io::Result<()> {
        while let Some(bytes) = self
            .opener
            .open(&mut self.input)
            .map_err(io::Error::other)?
        {
            self.mux
                .recv(Instant::now(), bytes)
                .map_err(io::Error::other)?;
        }
        while let Some(event) = self.mux.poll_event() {
            if let Event::Incoming(key) = event {
                self.incoming.push(key);
            }
        }
        self.flush().await
    }
}

/// The session's handshake, and nothing after it.
pub(crate) async fn upgraded(
    mut socket: TcpStream,
    role: Role,
    keypair: &Keypair,
) -> io::Result<(TcpStream, Upgraded)> {
    let muxers = vec![ProtocolId::from_static("/yamux/1.0.0")];
    let noise = NoiseIdentity::new(keypair, [7; 32], muxers.clone())
        .ok_or_else(|| io::Error::other("this key makes no identity"))?;
    let securities = vec![Security::Noise(Arc::new(noise))];
    let (config, now) = (Arc::default(), Instant::now());
    let mut upgrade = Upgrade::new(role, config, securities, muxers, None, now, [8; 32])
        .map_err(io::Error::other)?;
    let mut out = Vec::new();
    loop {
        upgrade.poll_transmit(&mut out);
        socket.write_all(&out).await?;
        out.clear();
        if let Some(upgraded) = upgrade.finish() {
            return Ok((socket, upgraded));
        }
        let mut input = BytesMut::new();
        if socket.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        upgrade
            .recv(Instant::now(), &input)
            .map_err(io::Error::other)?;
    }
}

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
