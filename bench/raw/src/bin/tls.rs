//! rustls over TCP and nothing above it. No muxer, so a stream is a TLS connection.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc};

use anyhow::{Result, bail, ensure};
use bench_harness::{Connection, Over, Security, Stack, Transport, serve};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

struct RawTls {
    address: String,
}

impl Stack for RawTls {
    const NAME: &'static str = "raw-tls";
    type Connection = Tls;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        ensure!(
            over.transport == Transport::Tcp && over.security == Security::Tls,
            "this limit is TLS over TCP"
        );
        let Some(listen) = listen else {
            return Ok(Self {
                address: String::new(),
            });
        };
        let (config, certificate) = bench_raw::server()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(listen).await?;
        let address = bench_raw::address(listener.local_addr()?, &certificate);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // The dialer notices what fails.
                    if socket.set_nodelay(true).is_ok()
                        && let Ok(stream) = acceptor.accept(socket).await
                    {
                        serve(stream).await;
                    }
                });
            }
        });
        Ok(Self { address })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Tls> {
        let (remote, certificate) = bench_raw::parse(address)?;
        let connector = TlsConnector::from(Arc::new(bench_raw::client(certificate)?));
        let open = connect(&connector, remote).await?;
        Ok(Tls {
            remote,
            connector,
            open,
        })
    }
}

struct Tls {
    remote: SocketAddr,
    connector: TlsConnector,
    open: TlsStream<TcpStream>,
}

impl Connection for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn open(&self) -> Result<Self::Stream> {
        connect(&self.connector, self.remote).await
    }

    async fn close(mut self) -> Result<()> {
        self.open.shutdown().await?;
        // The server's own end shows that it had finished its handshake; it may leave out to say goodbye.
        match self.open.read(&mut [0]).await {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Ok(_) => bail!("bytes from nowhere"),
            Err(error) => Err(error.into()),
        }
    }
}

async fn connect(connector: &TlsConnector, remote: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(remote).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from(bench_raw::SERVER_NAME)?;
    Ok(connector.connect(name, socket).await?)
}

fn main() -> Result<()> {
    bench_harness::main::<RawTls>()
}
