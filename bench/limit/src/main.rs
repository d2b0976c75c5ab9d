//! The physical limit: TCP with the cipher of Noise or of TLS and nothing else. No muxer, so a stream is a TCP
//! connection; no handshake, so `conn` and `idle` are bounds that nobody can reach. `--security none` leaves
//! the cipher out too.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bench_harness::{Connection, Over, Security, Stack, Transport, serve};
use bench_limit::{NOISE, Sealed, TLS, sealed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::either::Either;

struct Limit {
    local: Option<SocketAddr>,
    security: Security,
}

impl Stack for Limit {
    const NAME: &'static str = "limit";
    type Connection = Tcp;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        ensure!(over.transport == Transport::Tcp, "this limit is TCP's");
        let security = over.security;
        let Some(listen) = listen else {
            return Ok(Self {
                local: None,
                security,
            });
        };
        let listener = TcpListener::bind(listen).await?;
        let local = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if let Ok(stream) = stream(socket, security, false) {
                    tokio::spawn(serve(stream));
                }
            }
        });
        Ok(Self {
            local: Some(local),
            security,
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
            security: self.security,
            open: TcpStream::connect(remote).await?,
        })
    }
}

struct Tcp {
    remote: SocketAddr,
    security: Security,
    open: TcpStream,
}

impl Connection for Tcp {
    type Stream = Pipe;

    async fn open(&self) -> Result<Pipe> {
        stream(TcpStream::connect(self.remote).await?, self.security, true)
    }

    async fn close(mut self) -> Result<()> {
        self.open.shutdown().await?;
        // The server's own end shows that it had accepted: connecting alone only proves that its kernel did.
        ensure!(self.open.read(&mut [0]).await? == 0, "bytes from nowhere");
        Ok(())
    }
}

type Pipe = Either<TcpStream, Sealed>;

fn stream(socket: TcpStream, security: Security, dialer: bool) -> Result<Pipe> {
    socket.set_nodelay(true)?;
    let cipher = match security {
        Security::None => return Ok(Either::Left(socket)),
        Security::Noise => NOISE,
        Security::Tls => TLS,
    };
    Ok(Either::Right(sealed(socket, cipher, dialer)?))
}

fn main() -> Result<()> {
    bench_harness::main::<Limit>()
}
