//! A QUIC peer that does what it is told: `quinn` itself, with libp2p's certificate and whatever else is asked for.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use carrick::{Keypair, Multiaddr};
use carrick_session::TlsIdentity;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use tokio::net::UdpSocket;

use super::{path::target, raw::proposal, soon};

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

/// First packets of as many dials that nobody answers, each from a peer of its own.
pub async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = sink.local_addr().unwrap();
    let raw = RawQuic::new(ALPN);
    let (mut packets, mut seen) = (Vec::new(), BTreeSet::new());
    let mut packet = [0; 2000];
    // They wait until all have spoken: who gives up would say so, too.
    let mut dials = Vec::new();
    while packets.len() < count {
        dials.push(raw.endpoint.connect(to, "libp2p").unwrap());
        let (n, _) = soon(sink.recv_from(&mut packet)).await.unwrap();
        let packet = &packet[..n];
        // Who waits for long speaks again. The peer's name for the connection is a new one each time.
        if is_initial(packet) && seen.insert(packet[6..26].to_vec()) {
            packets.push(packet.to_vec());
        }
    }
    packets
}

fn is_initial(packet: &[u8]) -> bool {
    packet.len() >= 1200 && packet[0] & 0xb0 == 0x80
}
