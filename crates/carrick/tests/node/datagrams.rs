//! Datagrams of peers that are not us: raw `quinn`, which says what it likes. The draft's MUSTs, and floods.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use carrick::{Code, Keypair, NoPackets, Node, PacketsError, PeerId};
use carrick_session::TlsIdentity;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig,
    crypto::rustls::QuicClientConfig,
};

use super::packets::{STATE, taking};
use crate::common::{link::udp_address, *};

/// What opens a control stream, without waiting for an answer.
fn opening(protocol: &str) -> Vec<u8> {
    let mut bytes = b"\x13/multistream/1.0.0\n\x06/dg/1\n".to_vec();
    bytes.push(protocol.len() as u8);
    bytes.extend_from_slice(protocol.as_bytes());
    bytes
}

/// A peer over raw `quinn`.
struct Raw {
    connection: Connection,
    id: PeerId,
    _endpoint: Endpoint,
}

impl Raw {
    async fn connect(node: &Node) -> Self {
        Self::connect_with(node, TransportConfig::default()).await
    }

    async fn connect_with(node: &Node, transport: TransportConfig) -> Self {
        let key = Keypair::generate_ed25519();
        let tls = TlsIdentity::new(&key, Vec::new()).unwrap();
        let (remote, peer) = udp_address(&node.address());
        let (tls, _) = tls.client_config(Some(peer), vec![b"libp2p".to_vec()]);
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, remote, "libp2p").unwrap();
        Self {
            connection: soon(connecting).await.unwrap(),
            id: key.public().to_peer_id(),
            _endpoint: endpoint,
        }
    }

    /// Opens a control stream.
    async fn flow(&self, protocol: &str) -> (SendStream, RecvStream) {
        let (mut send, recv) = soon(self.connection.open_bi()).await.unwrap();
        send.write_all(&opening(protocol)).await.unwrap();
        (send, recv)
    }

    fn send(&self, bytes: &[u8]) {
        let datagram = Bytes::copy_from_slice(bytes);
        self.connection.send_datagram(datagram).unwrap();
    }

    /// The connection is ended by the node, with this code.
    async fn is_closed_with(&self, code: u32) {
        let reason = soon(self.connection.closed()).await;
        let quinn::ConnectionError::ApplicationClosed(close) = reason else {
            panic!("{reason}");
        };
        assert_eq!(close.error_code, code.into(), "{close}");
    }
}

async fn reset_code(mut recv: RecvStream) -> u64 {
    let error = soon(recv.read_to_end(1000)).await.expect_err("a reset");
    match error {
        quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)) => code.into_inner(),
        error => panic!("{error}"),
    }
}

/// A server, a raw peer, and a flow between them, whose id is 0.
macro_rules! flowing {
    ($server:ident, $raw:ident, $there:ident, $control:ident) => {
        let ($server, mut flows) = taking(&[QUIC]).await;
        let $raw = Raw::connect(&$server).await;
        let $control = $raw.flow(STATE).await;
        let $there = soon(flows.recv()).await.unwrap();
    };
}

#[test]
fn a_datagram_is_the_streams_id_and_the_packet() {
    run(async {
        flowing!(server, raw, there, _control);
        raw.send(b"\x00from outside");
        assert_eq!(soon(there.recv()).await.unwrap(), "from outside");
        raw.send(b"\x40\x00in a longer form");
        assert_eq!(soon(there.recv()).await.unwrap(), "in a longer form");
        there.send("from within").unwrap();
        let datagram = soon(raw.connection.read_datagram()).await.unwrap();
        assert_eq!(datagram, &b"\x00from within"[..]);
        assert_eq!(there.peer(), raw.id);
        drop(server);
    });
}

#[test]
fn a_datagram_that_is_too_short_ends_the_connection() {
    run(async {
        for short in [&b""[..], b"\x40", b"\x80\0\0", b"\xc0\0\0\0\0\0\0"] {
            flowing!(server, raw, there, _control);
            raw.send(short);
            raw.is_closed_with(0x1003).await;
            let ended = soon(there.recv()).await;
            assert!(matches!(ended, Err(PacketsError::Lost(_))), "{ended:?}");
            assert!(ended.unwrap_err().to_string().contains("too short"));
            drop(server);
        }
    });
}

#[test]
fn a_datagram_for_a_stream_beyond_the_limit_ends_the_connection() {
    run(async {
        // The largest id, and one that no node allows at once.
        for id in [
            &b"\xff\xff\xff\xff\xff\xff\xff\xfc"[..],
            b"\xbf\xff\xff\xfc",
        ] {
            flowing!(server, raw, _there, _control);
            raw.send(id);
            raw.is_closed_with(0x1003).await;
            drop(server);
        }
    });
}

#[test]
fn datagrams_for_unknown_streams_are_dropped_and_counted() {
    run(async {
        flowing!(server, raw, there, _control);
        // A unidirectional stream, and one that the server would have to open.
        for id in [2, 3, 1, 0x3d] {
            raw.send(&[id, 1, 2, 3]);
        }
        raw.send(b"\x00known");
        assert_eq!(soon(there.recv()).await.unwrap(), "known");
        let connection = back(&server, raw.id).await;
        eventually("all are counted", || connection.stray_packets() == 4).await;
        assert_eq!(there.stats().received, 1);
    });
}

#[test]
fn packets_that_come_before_their_control_stream_are_delivered() {
    run(async {
        let (server, mut flows) = taking(&[QUIC]).await;
        let raw = Raw::connect(&server).await;
        // The first flow starts the reading, the second is one that is overtaken.
        let _first = raw.flow(STATE).await;
        let _there = soon(flows.recv()).await.unwrap();
        raw.send(b"\x04early");
        let _second = raw.flow(STATE).await;
        let there = soon(flows.recv()).await.unwrap();
        assert_eq!(soon(there.recv()).await.unwrap(), "early");
    });
}

#[test]
fn a_flood_of_datagrams_for_nobody_holds_up_nothing_and_keeps_nothing() {
    run(async {
        flowing!(server, raw, there, control);
        let connection = back(&server, raw.id).await;
        // Ids that could become flows, so that they are held for a while.
        let mut sent = 0u64;
        for round in 0..200 {
            for id in 1..16u8 {
                raw.send(&[[id << 2].as_slice(), &[0; 1000]].concat());
                sent += 1;
            }
            raw.send(&[0, round]);
            // As fast as they are taken.
            let last = async { while soon(there.recv()).await.unwrap() != [round][..] {} };
            soon(last).await;
        }
        // All but the 64 that may still be held.
        let strays = || connection.stray_packets();
        eventually("the flood is counted", || strays() >= sent / 2).await;
        assert!(strays() <= sent);
        assert_eq!(there.ended(), None);
        drop(control);
    });
}

#[test]
fn the_end_of_the_control_stream_is_the_flows_and_later_packets_are_dropped() {
    run(async {
        for reset in [false, true] {
            flowing!(server, raw, there, control);
            let (mut send, recv) = control;
            let connection = back(&server, raw.id).await;
            let code = if reset {
                send.reset(77u32.into()).unwrap();
                Code(77)
            } else {
                send.finish().unwrap();
                Code::NONE
            };
            assert_eq!(
                soon(there.recv()).await,
                Err(PacketsError::ClosedByPeer(code))
            );
            raw.send(b"\x00late");
            eventually("it is counted", || connection.stray_packets() == 1).await;
            drop(recv);
        }
    });
}

#[test]
fn what_is_on_the_control_stream_is_ignored() {
    run(async {
        flowing!(server, raw, there, control);
        let (mut send, _recv) = control;
        send.write_all(&[0xff; 10_000]).await.unwrap();
        raw.send(b"\x00after");
        assert_eq!(soon(there.recv()).await.unwrap(), "after");
        drop(server);
    });
}

#[test]
fn a_protocol_that_nobody_handles_resets_the_control_stream() {
    run(async {
        let (server, _flows) = taking(&[QUIC]).await;
        let raw = Raw::connect(&server).await;
        let (_send, recv) = raw.flow("/other/1").await;
        assert_eq!(reset_code(recv).await, 0x1001);
        // As does what is no protocol.
        let (mut send, recv) = soon(raw.connection.open_bi()).await.unwrap();
        let garbage = [&opening("")[..], &[0xff; 20]].concat();
        send.write_all(&garbage).await.unwrap();
        assert_eq!(reset_code(recv).await, 0x1001);
        assert!(raw.connection.close_reason().is_none());
    });
}

#[test]
fn a_control_stream_that_says_nothing_is_reset_in_time() {
    run(async {
        let config = carrick::Config {
            negotiation_timeout: Duration::from_millis(50),
            ..carrick::Config::default()
        };
        let builder = Node::builder().config(config);
        let builder = builder.handle_packets(STATE, |_| async {});
        let server = builder.listen(QUIC).unwrap().spawn().await.unwrap();
        let raw = Raw::connect(&server).await;
        let (mut send, recv) = soon(raw.connection.open_bi()).await.unwrap();
        let whole = opening(STATE);
        send.write_all(&whole[..whole.len() - 1]).await.unwrap();
        assert_eq!(reset_code(recv).await, 0x1001);
    });
}

#[test]
fn there_are_no_more_flows_than_a_connection_may_have() {
    run(async {
        let (server, mut flows) = taking(&[QUIC]).await;
        let raw = Raw::connect(&server).await;
        let (mut controls, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..256 {
            controls.push(raw.flow(STATE).await);
            taken.push(soon(flows.recv()).await.unwrap());
        }
        let (_send, recv) = raw.flow(STATE).await;
        assert_eq!(reset_code(recv).await, 0x1002);
        // One that has ended makes room for another.
        drop(controls.pop());
        let last = taken.pop().unwrap();
        assert!(soon(last.recv()).await.is_err());
        let _again = raw.flow(STATE).await;
        assert!(soon(flows.recv()).await.is_some());
    });
}

#[test]
fn a_peer_that_takes_no_datagrams_is_told_from_one_that_does() {
    run(async {
        let (server, _flows) = taking(&[QUIC]).await;
        let mut transport = TransportConfig::default();
        transport.datagram_receive_buffer_size(None);
        let raw = Raw::connect_with(&server, transport).await;
        back(&server, raw.id).await;
        // It does not answer identify either, so that no address of its is known.
        let refused = soon(server.packets(raw.id, STATE)).await;
        let peer = raw.id;
        let reason = NoPackets::Disabled;
        let expected = PacketsError::Unsupported { peer, reason };
        assert_eq!(refused.expect_err("no datagrams"), expected);
    });
}
