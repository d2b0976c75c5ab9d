//! The physical limit: TCP with the cipher of Noise and nothing else. No muxer, so a stream is a TCP
//! connection; no handshake, so `conn` and `idle` are bounds that nobody can reach. `--proto raw` leaves
//! the cipher out too.

mod sealed;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bench_harness::{Connection, Stack, serve};
use sealed::{Sealed, sealed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::either::Either;

struct Limit {
    local: Option<SocketAddr>,
    raw: bool,
}

impl Stack for Limit {
    const NAME: &'static str = "limit";
    type Connection = Tcp;

    async fn start(listen: Option<SocketAddr>, variant: &str) -> Result<Self> {
        let raw = variant == "raw";
        let Some(listen) = listen else {
            return Ok(Self { local: None, raw });
        };
        let listener = TcpListener::bind(listen).await?;
        let local = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if let Ok(stream) = stream(socket, raw, false) {
                    tokio::spawn(serve(stream));
                }
            }
        });
        Ok(Self {
            local: Some(local),
            raw,
        })
    }

    fn address(&self) -> String {
        self.local
            .map_or_else(String::new, |local| local.to_string())
    }

    async fn dial(&self, address: &str) -> Result<Tcp> {
        let remote: SocketAddr = address.parse().context("ip:port expected")?;
        Ok(Tcp {
            remote,
            raw: self.raw,
            open: TcpStream::connect(remote).await?,
        })
    }
}

struct Tcp {
    remote: SocketAddr,
    raw: bool,
    open: TcpStream,
}

impl Connection for Tcp {
    type Stream = Pipe;

    async fn open(&self) -> Result<Pipe> {
        stream(TcpStream::connect(self.remote).await?, self.raw, true)
    }

    async fn close(mut self) -> Result<()> {
        self.open.shutdown().await?;
        // The server's own end shows that it had accepted: connecting alone only proves that its kernel did.
        ensure!(self.open.read(&mut [0]).await? == 0, "bytes from nowhere");
        Ok(())
    }
}

type Pipe = Either<TcpStream, Sealed>;

fn stream(socket: TcpStream, raw: bool, dialer: bool) -> Result<Pipe> {
    socket.set_nodelay(true)?;
    Ok(if raw {
        Either::Left(socket)
    } else {
        Either::Right(sealed(socket, dialer)?)
    })
}

fn main() -> Result<()> {
    bench_harness::main::<Limit>()
}
