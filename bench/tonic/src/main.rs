//! gRPC with tonic over TLS: a unary call that echoes one field of bytes. Only the server shows who it is. Its limit
//! of streams is above what any workload asks at once.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use bench_harness::{Asked, Asker, Over, Security, Transport};
use bytes::Bytes;
use rcgen::generate_simple_self_signed;
use tonic::{
    Request, Response, Status,
    client::Grpc as Client,
    codegen::{
        BoxFuture, Context, Poll, Service,
        http::{self, uri::PathAndQuery},
    },
    server::{Grpc, UnaryService},
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
        server::TcpIncoming,
    },
};
use tonic_prost::ProstCodec;

const STREAMS_MAX: u32 = 2048;
const NAME: &str = "localhost";
const METHOD: &str = "/bench.Echo/Echo";

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

type Codec = ProstCodec<Payload, Payload>;

struct Tonic {
    address: String,
}

impl Asked for Tonic {
    const NAME: &'static str = "tonic";
    type Asker = Peer;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        ensure!(
            over.transport == Transport::Tcp && over.security == Security::Tls,
            "this stack has TLS over TCP"
        );
        // Several are built in, so one must be named. Whoever asks twice finds the first.
        let _: Result<(), _> = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Some(listen) = listen else {
            return Ok(Self {
                address: String::new(),
            });
        };
        let made = generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = made.cert.pem();
        let identity = Identity::from_pem(&certificate, made.signing_key.serialize_pem());
        let incoming = TcpIncoming::bind(listen)?.with_nodelay(Some(true));
        let at = incoming.local_addr()?;
        let server = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .tls_config(ServerTlsConfig::new().identity(identity))?
            .serve_with_incoming(Echo, incoming);
        tokio::spawn(server);
        Ok(Self {
            address: format!("{at}#{}", certificate.replace('\n', "|")),
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Peer> {
        let (at, certificate) = address.split_once('#').context("ip:port#pem expected")?;
        let certificate = Certificate::from_pem(certificate.replace('|', "\n"));
        let tls = ClientTlsConfig::new()
            .ca_certificate(certificate)
            .domain_name(NAME);
        let endpoint = Endpoint::from_shared(format!("https://{at}"))?.tls_config(tls)?;
        Ok(Peer(endpoint.connect().await?))
    }
}

struct Peer(Channel);

impl Asker for Peer {
    type Reply = Bytes;

    async fn ask(&self, payload: &[u8]) -> Result<Bytes> {
        let bytes = Bytes::copy_from_slice(payload);
        let mut client = Client::new(self.0.clone());
        client.ready().await?;
        let path = PathAndQuery::from_static(METHOD);
        let request = Request::new(Payload { bytes });
        let reply = client.unary(request, path, Codec::default()).await?;
        Ok(reply.into_inner().bytes)
    }
}

/// The one service and its one method: what generated code would find by their names.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async { Ok(Grpc::new(Codec::default()).unary(Self, request).await) })
    }
}

impl UnaryService<Payload> for Echo {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        Box::pin(async { Ok(Response::new(request.into_inner())) })
    }
}

fn main() -> Result<()> {
    bench_harness::main_asked::<Tonic>()
}
