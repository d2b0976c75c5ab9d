//! A QUIC peer that does what it is told: `quinn` itself, with libp2p's certificate and whatever else is asked for.

use std::{net::SocketAddr, sync::Arc};

use carrick::{Keypair, Multiaddr};
use carrick_session::TlsIdentity;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{path::target, raw::proposal};

pub const ALPN: &[u8] = b"libp2p";

pub struct RawQuic {
    pub endpoint: Endpoint,
}

impl RawQuic {
    /// One end that dials and listens with this application protocol.
    pub fn new(alpn: &[u8]) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        Self::on(socket, alpn)
    }

    pub fn on(socket: std::net::UdpSocket, alpn: &[u8]) -> Self {
        let alpn = vec![alpn.to_vec()];
        let identity = TlsIdentity::new(&Keypair::generate_ed25519(), Vec::new()).expect("a key");
        let server = QuicServerConfig::try_from(identity.server_config(alpn.clone()));
        let mut server = ServerConfig::with_crypto(Arc::new(server.expect("a cipher")));
        server.transport_config(transport());
        let (client, _) = identity.client_config(None, alpn);
        let client = QuicClientConfig::try_from(client).expect("a cipher");
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(transport());
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(Default::default(), Some(server), socket, runtime);
        let mut endpoint = endpoint.expect("an endpoint");
        endpoint.set_default_client_config(client);
        Self { endpoint }
    }

    pub async fn connect(&self, address: &Multiaddr) -> Result<Connection, quinn::ConnectionError> {
        self.connect_to(target(address)).await
    }

    pub async fn connect_to(&self, to: SocketAddr) -> Result<Connection, quinn::ConnectionError> {
        self.endpoint.connect(to, "libp2p").expect("dial").await
    }

    pub async fn accept(&self) -> Connection {
        let incoming = self.endpoint.accept().await.expect("somebody");
        incoming.await.expect("a handshake")
    }

    /// Where others reach it.
    pub fn address(&self) -> Multiaddr {
        let port = self.endpoint.local_addr().expect("bound").port();
        let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
        address.parse().expect("an address")
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(None);
    Arc::new(transport)
}

/// Opens a stream for a protocol that the other side accepts.
pub async fn ask(connection: &Connection, protocol: &'static str) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    let words = proposal(protocol);
    send.write_all(&words).await.expect("write");
    let mut answer = vec![0; words.len()];
    recv.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, words);
    (send, recv)
}

/// Waits for a stream for this protocol and agrees to it; others are dropped.
pub async fn agree(connection: &Connection, protocol: &'static str) -> (SendStream, RecvStream) {
    let words = proposal(protocol);
    loop {
        let (mut send, mut recv) = connection.accept_bi().await.expect("a stream");
        let mut asked = vec![0; words.len()];
        if recv.read_exact(&mut asked).await.is_ok() && asked == words {
            send.write_all(&words).await.expect("write");
            return (send, recv);
        }
    }
}
