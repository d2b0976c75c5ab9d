//! A peer that does what it is told, down to single frames: the session's machines over a socket of its own.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use carrick::{Keypair, Multiaddr, PeerId, Protocol, ProtocolId};
use carrick_session::{
    Event, Key, Mux, NoiseIdentity, Opener, Read, Records, Role, Sealer, Security, StreamError,
    Upgrade,
};
use carrick_wire::multistream::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A bare connection to a node.
pub async fn socket(address: &Multiaddr) -> TcpStream {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    TcpStream::connect(("127.0.0.1", port.expect("a TCP address")))
        .await
        .expect("connect")
}

/// Header and proposal.
pub fn proposal(protocol: &'static str) -> Vec<u8> {
    let mut first = Vec::new();
    Message::Header.encode(&mut first);
    Message::Protocol(ProtocolId::from_static(protocol)).encode(&mut first);
    first
}

pub struct Raw {
    pub peer: PeerId,
    pub id: PeerId,
    socket: TcpStream,
    opener: Opener,
    sealer: Sealer,
    pub mux: Mux,
    input: BytesMut,
    /// Streams that the other side opened.
    pub incoming: Vec<Key>,
}

impl Raw {
    pub async fn connect(address: &Multiaddr) -> Self {
        Self::upgrade(socket(address).await, Role::Dialer).await
    }

    pub async fn upgrade(socket: TcpStream, role: Role) -> Self {
        Self::upgrade_as(socket, role, &Keypair::generate_ed25519()).await
    }

    pub async fn upgrade_as(mut socket: TcpStream, role: Role, keypair: &Keypair) -> Self {
        socket.set_nodelay(true).expect("nodelay");
        let muxers = vec![ProtocolId::from_static("/yamux/1.0.0")];
        let noise = NoiseIdentity::new(keypair, [7; 32], muxers.clone()).expect("an identity");
        let (config, now) = (Arc::default(), Instant::now());
        let securities = vec![Security::Noise(Arc::new(noise))];
        let mut upgrade =
            Upgrade::new(role, config, securities, muxers, None, now, [8; 32]).expect("upgrade");
        let mut out = Vec::new();
        let upgraded = loop {
            upgrade.poll_transmit(&mut out);
            socket.write_all(&out).await.expect("write");
            out.clear();
            if let Some(upgraded) = upgrade.finish() {
                break upgraded;
            }
            let mut input = BytesMut::new();
            assert_ne!(socket.read_buf(&mut input).await.expect("read"), 0);
            upgrade.recv(Instant::now(), &input).expect("upgrade");
        };
        let mut raw = Self {
            peer: upgraded.peer,
            id: keypair.public().to_peer_id(),
            socket,
            opener: upgraded.opener,
            sealer: upgraded.sealer,
            mux: upgraded.mux,
            input: upgraded.leftover,
            incoming: Vec::new(),
        };
        raw.take_in().await;
        raw
    }

    /// Opens a stream and writes `first` on it, which may be no more than half a word.
    pub async fn open(&mut self, first: &[u8]) -> Key {
        let key = self.mux.open().expect("open");
        self.mux.write(key, &[], first).expect("write");
        self.flush().await;
        key
    }

    /// Opens a stream, proposes `protocol` and sends `data` without waiting for the answer, as long as that is possible.
    pub async fn ask(&mut self, protocol: &'static str, data: &[u8]) -> Key {
        let mut first = proposal(protocol);
        first.extend_from_slice(data);
        self.open(&first).await
    }

    /// Sends whatever this is past the muxer; false when the other side has closed.
    pub async fn send(&mut self, plain: &[u8]) -> bool {
        let mut records = Records::new(self.sealer.layout());
        records.push(plain);
        self.sealer.seal(&mut records).expect("seal");
        self.socket.write_all(records.as_slice()).await.is_ok()
    }

    /// Discards what comes until the other side has closed.
    pub async fn until_closed(&mut self) {
        let mut part = vec![0; 64 << 10];
        while matches!(self.socket.read(&mut part).await, Ok(n) if n > 0) {}
    }

    pub async fn flush(&mut self) {
        let mut records = Records::new(self.sealer.layout());
        while self.mux.poll_transmit(&mut records) {
            self.sealer.seal(&mut records).expect("seal");
            self.socket
                .write_all(records.as_slice())
                .await
                .expect("write");
            records.clear();
        }
    }

    /// Receives once; false when the other side has closed.
    pub async fn recv(&mut self) -> bool {
        let received = matches!(self.socket.read_buf(&mut self.input).await, Ok(n) if n > 0);
        self.take_in().await;
        received
    }

    async fn take_in(&mut self) {
        while let Some(bytes) = self.opener.open(&mut self.input).expect("open") {
            self.mux.recv(Instant::now(), bytes).expect("frames");
        }
        while let Some(event) = self.mux.poll_event() {
            if let Event::Incoming(key) = event {
                self.incoming.push(key);
            }
        }
        self.flush().await;
    }

    /// Receives until the stream has something to read, or has ended.
    pub async fn read(&mut self, key: Key) -> Result<Read, StreamError> {
        loop {
            match self.mux.read(Instant::now(), key) {
                Ok(Read::Blocked) => assert!(self.recv().await, "closed"),
                read => return read,
            }
        }
    }
}
