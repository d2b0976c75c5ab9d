//! QUIC as the client: quinn does the packets; certificate, ALPN and streams are the caller's.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use bytes::{Buf, BytesMut};
use quinn::{
    ClientConfig, Connection, Endpoint, ReadError, RecvStream, SendStream, VarInt, WriteError,
    crypto::rustls::QuicClientConfig,
};

use super::{
    guest::Guest,
    tls::{self, Hello, Learned},
};
use crate::case::{Step, fail};

/// A connection.
pub(crate) struct Quic {
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) learned: Arc<Learned>,
    next: u32,
    streams: BTreeMap<u32, Stream>,
}

struct Stream {
    sending: SendStream,
    receiving: RecvStream,
    input: BytesMut,
}

/// Dials. Like TLS's, it may succeed although the server is about to refuse us.
pub(crate) async fn dial(address: SocketAddr, hello: Hello) -> Step<Result<Quic, String>> {
    let (config, learned) = tls::config(hello)?;
    let Ok(config) = QuicClientConfig::try_from(config) else {
        return fail("no QUIC with these settings");
    };
    let here: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(here)?;
    let config = ClientConfig::new(Arc::new(config));
    let connecting = match endpoint.connect_with(config, address, "libp2p.invalid") {
        Ok(connecting) => connecting,
        Err(error) => return fail(error.to_string()),
    };
    Ok(match connecting.await {
        Ok(connection) => Ok({
            tokio::spawn(serve(connection.clone()));
            Quic {
                _endpoint: endpoint,
                connection,
                learned,
                next: 0,
                streams: BTreeMap::new(),
            }
        }),
        Err(error) => Err(error.to_string()),
    })
}

/// The peer's own streams; quinn bounds their number.
async fn serve(connection: Connection) {
    while let Ok((mut sending, mut receiving)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let mut guest = Guest::default();
            while let Ok(Some(chunk)) = receiving.read_chunk(4096, true).await {
                if sending.write_all(&guest.recv(&chunk.bytes)).await.is_err() {
                    return;
                }
            }
            let _ = sending.finish();
        });
    }
}

impl Quic {
    pub(crate) async fn open(&mut self) -> io::Result<u32> {
        let opened = self.connection.open_bi().await;
        let (sending, receiving) = opened.map_err(io::Error::other)?;
        self.next += 1;
        let stream = Stream {
            sending,
            receiving,
            input: BytesMut::new(),
        };
        self.streams.insert(self.next, stream);
        Ok(self.next)
    }

    fn stream(&mut self, id: u32) -> io::Result<&mut Stream> {
        let stream = self.streams.get_mut(&id);
        stream.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) async fn write(&mut self, id: u32, bytes: &[u8]) -> io::Result<()> {
        let written = self.stream(id)?.sending.write_all(bytes).await;
        written.map_err(|error| match error {
            WriteError::Stopped(code) => io::Error::other(format!("the peer stopped it: {code}")),
            other => io::Error::other(other),
        })
    }

    pub(crate) async fn take(&mut self, id: u32, count: usize) -> io::Result<Vec<u8>> {
        let stream = self.stream(id)?;
        while stream.input.len() < count {
            if !stream.fill().await? {
                return Err(io::Error::other("the peer ended the stream"));
            }
        }
        let taken = stream.input[..count].to_vec();
        stream.input.advance(count);
        Ok(taken)
    }

    pub(crate) fn finish(&mut self, id: u32) -> io::Result<()> {
        self.stream(id)?.sending.finish().map_err(io::Error::other)
    }

    pub(crate) fn reset(&mut self, id: u32, code: VarInt) -> io::Result<()> {
        let reset = self.stream(id)?.sending.reset(code);
        reset.map_err(io::Error::other)
    }

    /// Says that nothing more will be read.
    pub(crate) fn stop(&mut self, id: u32, code: VarInt) -> io::Result<()> {
        let stopped = self.stream(id)?.receiving.stop(code);
        stopped.map_err(io::Error::other)
    }

    /// Reads to a stream's end: the bytes, and whether it ended cleanly.
    pub(crate) async fn read_to_end(&mut self, id: u32) -> Step<(Vec<u8>, bool)> {
        let stream = self.stream(id)?;
        loop {
            match stream.fill().await {
                Ok(true) => {}
                Ok(false) => return Ok((stream.input.to_vec(), true)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok((stream.input.to_vec(), false));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}

impl Stream {
    /// A reset of the stream is `ConnectionReset`; any other error is the connection's.
    async fn fill(&mut self) -> io::Result<bool> {
        match self.receiving.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => {
                self.input.extend_from_slice(&chunk.bytes);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(ReadError::Reset(_)) => Err(io::ErrorKind::ConnectionReset.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
