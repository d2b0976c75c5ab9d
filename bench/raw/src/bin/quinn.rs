//! quinn with its default settings and nothing above it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bench_harness::{Connection, Over, Stack, Transport, count_packet, serve};
use bytes::Bytes;
use quinn::{
    ClientConfig, Endpoint, Incoming, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::io::{Join, join};

struct RawQuinn {
    endpoint: Endpoint,
    address: String,
}

impl Stack for RawQuinn {
    const NAME: &'static str = "raw-quinn";
    type Connection = Quic;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        ensure!(over.transport == Transport::QuicV1, "this limit is QUIC's");
        let Some(listen) = listen else {
            return Ok(Self {
                endpoint: Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
                address: String::new(),
            });
        };
        let (tls, certificate) = bench_raw::server()?;
        let crypto = QuicServerConfig::try_from(tls)?;
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, listen)?;
        let address = bench_raw::address(endpoint.local_addr()?, &certificate);
        let accepting = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(accept(incoming));
            }
        });
        Ok(Self { endpoint, address })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Quic> {
        let (remote, certificate) = bench_raw::parse(address)?;
        let crypto = QuicClientConfig::try_from(bench_raw::client(certificate)?)?;
        let config = ClientConfig::new(Arc::new(crypto));
        let connecting = self
            .endpoint
            .connect_with(config, remote, bench_raw::SERVER_NAME)?;
        Ok(Quic(connecting.await?))
    }
}

async fn accept(incoming: Incoming) -> Result<()> {
    let connection = incoming.await?;
    let packets = connection.clone();
    tokio::spawn(async move {
        while packets.read_datagram().await.is_ok() {
            count_packet();
        }
    });
    loop {
        let (sending, receiving) = connection.accept_bi().await?;
        tokio::spawn(serve(join(receiving, sending)));
    }
}

struct Quic(quinn::Connection);

impl Connection for Quic {
    type Stream = Join<RecvStream, SendStream>;

    async fn open(&self) -> Result<Self::Stream> {
        let (sending, receiving) = self.0.open_bi().await?;
        Ok(join(receiving, sending))
    }

    async fn close(self) -> Result<()> {
        self.0.close(0u32.into(), b"");
        Ok(())
    }

    async fn flood(&self, payload: &[u8], end: Instant) -> Result<u64> {
        let payload = Bytes::copy_from_slice(payload);
        // The longest packet grows while the path is being explored.
        while self.0.max_datagram_size().context("no datagrams")? < payload.len() {
            ensure!(Instant::now() < end, "the path is too narrow");
            tokio::time::sleep(PATH_CHECK).await;
        }
        let mut sent = 0;
        while Instant::now() < end {
            self.0.send_datagram_wait(payload.clone()).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

const PATH_CHECK: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    bench_harness::main::<RawQuinn>()
}
