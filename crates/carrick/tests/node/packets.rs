//! Packets between two nodes: both ways, their ends, what is dropped, and what happens where there are no datagrams.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use carrick::{
    AcceptError, Code, Config, ConnectionError, NoPackets, Node, Packets, PacketsError,
    PacketsOptions,
};
use tokio::sync::mpsc;

use crate::common::{link::UdpLink, *};

pub(crate) const STATE: &str = "/state/1.0.0";
const FALLBACK: PacketsOptions = PacketsOptions {
    fallback_to_stream: true,
};

/// Listens and hands out the flows that come in.
pub(crate) async fn taking(listen: &[&str]) -> (Node, mpsc::Receiver<Packets>) {
    let (sender, receiver) = mpsc::channel(1000);
    let mut builder = Node::builder().handle_packets(STATE, move |packets| {
        let sender = sender.clone();
        async move { drop(sender.send(packets).await) }
    });
    for address in listen {
        builder = builder.listen(*address).unwrap();
    }
    (builder.spawn().await.unwrap(), receiver)
}

/// Both ends of a flow.
struct Pair {
    here: Packets,
    there: Packets,
    client: Node,
    _server: Node,
}

impl Pair {
    async fn new(listen: &str) -> Self {
        let (server, mut flows) = taking(&[listen]).await;
        let client = client().await;
        let opening = client.packets_with(server.address(), STATE, FALLBACK);
        let here = soon(opening).await.unwrap();
        let there = soon(flows.recv()).await.unwrap();
        Self {
            here,
            there,
            client,
            _server: server,
        }
    }
}

#[test]
fn packets_go_both_ways() {
    on_all(|listen| async move {
        let pair = Pair::new(listen).await;
        let (here, there) = (&pair.here, &pair.there);
        assert_eq!(here.protocol().as_str(), STATE);
        assert_eq!(there.protocol().as_str(), STATE);
        assert_eq!(there.peer(), pair.client.id());
        assert_eq!(here.is_reliable(), listen != QUIC);
        assert_eq!(there.is_reliable(), listen != QUIC);
        for (from, to) in [(here, there), (there, here)] {
            for packet in ["one", "", "three"] {
                from.send(packet).unwrap();
                assert_eq!(soon(to.recv()).await.unwrap(), packet);
            }
            assert_eq!(from.stats().sent, 3);
            assert_eq!(to.stats().received, 3);
            assert_eq!(from.stats().dropped_send + to.stats().dropped_recv, 0);
        }
    });
}

#[test]
fn flows_of_one_connection_do_not_mix() {
    run(async {
        let (server, mut flows) = taking(&[QUIC]).await;
        let client = client().await;
        let mut pairs = Vec::new();
        for _ in 0..5 {
            let here = soon(client.packets(server.address(), STATE)).await;
            pairs.push((here.unwrap(), soon(flows.recv()).await.unwrap()));
        }
        // The other side may open flows, too, on the same connection.
        client
            .handle_packets(
                "/back/1",
                |packets: Packets| async move { packets.echo().await },
            )
            .unwrap();
        let back = soon(server.packets(client.id(), "/back/1")).await.unwrap();
        back.send("back").unwrap();
        for (number, (here, _)) in pairs.iter().enumerate() {
            here.send(number.to_string()).unwrap();
        }
        for (number, (_, there)) in pairs.iter().enumerate() {
            assert_eq!(soon(there.recv()).await.unwrap(), number.to_string());
        }
        assert_eq!(soon(back.recv()).await.unwrap(), "back");
        assert_eq!(client.peers().len(), 1);
    });
}

#[test]
fn the_largest_packet_arrives_and_one_more_byte_is_an_error() {
    on_all(|listen| async move {
        let pair = Pair::new(listen).await;
        let max = pair.here.max_payload();
        assert!(max >= 1100, "{max}");
        pair.here.send(vec![7; max]).unwrap();
        assert_eq!(soon(pair.there.recv()).await.unwrap(), vec![7; max]);
        let refused = pair.here.send(vec![7; 70_000]);
        let Err(PacketsError::TooLarge { len, max }) = refused else {
            panic!("{refused:?}");
        };
        // The path may have turned out to be wider meanwhile.
        assert!(len == 70_000 && max >= 1100);
        assert_eq!(pair.here.stats().sent, 1);
    });
}

#[test]
fn either_side_ends_the_flow_for_both() {
    on_all(|listen| async move {
        for there_first in [false, true] {
            for by_drop in [false, true] {
                let Pair {
                    mut here,
                    mut there,
                    client,
                    _server,
                } = Pair::new(listen).await;
                if there_first {
                    std::mem::swap(&mut here, &mut there);
                }
                here.send("last").unwrap();
                assert_eq!(soon(there.recv()).await.unwrap(), "last");
                there.send("unread").unwrap();
                let mine = here.clone();
                eventually("it came", || mine.stats().received == 1).await;
                drop(mine);
                if by_drop {
                    drop(here);
                } else {
                    here.close();
                    assert_eq!(here.send("x"), Err(PacketsError::Closed));
                    // What came before the end can still be read.
                    assert_eq!(soon(here.recv()).await.unwrap(), "unread");
                    assert_eq!(soon(here.recv()).await, Err(PacketsError::Closed));
                    assert_eq!(here.stats().received, 1);
                }
                let ended = Err(PacketsError::ClosedByPeer(Code::NONE));
                assert_eq!(soon(there.recv()).await, ended);
                assert_eq!(there.send("x"), ended.map(|_: Bytes| ()));
                drop(there);
                let connection = back(&client, _server.id()).await;
                settled(&connection).await;
            }
        }
    });
}

#[test]
fn a_flow_ends_with_its_connection() {
    on_all(|listen| async move {
        let Pair {
            here,
            there,
            client,
            _server,
        } = Pair::new(listen).await;
        let connection = back(&client, _server.id()).await;
        soon(connection.close()).await;
        let ended = soon(here.recv()).await;
        assert_eq!(ended, Err(PacketsError::Lost(ConnectionError::Closed)));
        let ended = soon(there.recv()).await;
        assert!(matches!(ended, Err(PacketsError::Lost(_))), "{ended:?}");
    });
}

#[test]
fn a_reader_who_does_not_keep_up_loses_the_oldest_and_it_is_counted() {
    run(async {
        let pair = Pair::new(QUIC).await;
        for number in 0..2000u32 {
            pair.here.send(number.to_be_bytes().to_vec()).unwrap();
            // As they come; the link is not what is tested.
            eventually("it came", || {
                pair.there.stats().received > u64::from(number)
            })
            .await;
        }
        let stats = pair.there.stats();
        assert_eq!((stats.received, stats.dropped_recv), (2000, 2000 - 512));
        for number in 2000 - 512..2000u32 {
            let packet = soon(pair.there.recv()).await.unwrap();
            assert_eq!(packet, number.to_be_bytes().to_vec());
        }
    });
}

#[test]
fn when_the_link_stalls_the_oldest_packets_are_dropped_and_sending_never_waits() {
    run(async {
        let (server, mut flows) = taking(&[QUIC]).await;
        let (link, client) = (UdpLink::to(&server).await, client().await);
        let here = soon(client.packets(&link.address, STATE)).await.unwrap();
        let there = soon(flows.recv()).await.unwrap();
        link.stalled.store(true, Ordering::Relaxed);
        for number in 0..3000u32 {
            let mut packet = number.to_be_bytes().to_vec();
            packet.resize(1000, 0);
            here.send(packet).unwrap();
        }
        let stats = here.stats();
        assert!(stats.dropped_send > 1000, "{stats:?}");
        // What neither left nor was dropped waits in the flow's queue.
        let queued = 3000 - stats.sent - stats.dropped_send;
        assert!((1..=128).contains(&queued), "{stats:?}");
        link.stalled.store(false, Ordering::Relaxed);
        // A burst may overrun a socket, so fresh ones follow until one of them is there.
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        let mut total = 3000;
        let fresh = async {
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        here.send(3000u32.to_be_bytes().to_vec()).unwrap();
                        total += 1;
                    }
                    packet = there.recv() => {
                        if packet.unwrap() == 3000u32.to_be_bytes().to_vec() {
                            return;
                        }
                    }
                }
            }
        };
        soon(fresh).await;
        let accounted = || here.stats().sent + here.stats().dropped_send;
        eventually("the queue is empty", || accounted() == total).await;
        assert!(there.stats().received <= here.stats().sent);
    });
}

#[test]
fn who_waits_until_the_queue_is_empty_drops_nothing() {
    on_all(|listen| async move {
        let pair = Pair::new(listen).await;
        for _ in 0..5000 {
            soon(pair.here.ready()).await.unwrap();
            pair.here.send(vec![0; 1000]).unwrap();
        }
        soon(pair.here.ready()).await.unwrap();
        let stats = pair.here.stats();
        assert_eq!((stats.sent, stats.dropped_send), (5000, 0));
        pair.here.close();
        assert_eq!(soon(pair.here.ready()).await, Err(PacketsError::Closed));
    });
}

#[test]
fn who_waits_for_an_empty_queue_hears_of_the_flows_end() {
    run(async {
        let (server, mut flows) = taking(&[QUIC]).await;
        let (link, client) = (UdpLink::to(&server).await, client().await);
        let here = soon(client.packets(&link.address, STATE)).await.unwrap();
        let _there = soon(flows.recv()).await.unwrap();
        link.stalled.store(true, Ordering::Relaxed);
        while here.stats().dropped_send == 0 {
            here.send(vec![0; 1000]).unwrap();
        }
        let mut ready = std::pin::pin!(here.ready());
        assert!(futures::poll!(&mut ready).is_pending());
        here.close();
        assert_eq!(soon(ready).await, Err(PacketsError::Closed));
    });
}

#[test]
fn without_datagrams_the_error_says_why_and_what_helps() {
    on_both(|listen| async move {
        let (server, _flows) = taking(&[listen]).await;
        let client = client().await;
        let refused = soon(client.packets(server.address(), STATE)).await;
        let error = refused.expect_err("there are no datagrams");
        let reason = matches!(
            error,
            PacketsError::Unsupported {
                reason: NoPackets::Transport(_),
                ..
            }
        );
        assert!(reason, "{error:?}");
        let text = error.to_string();
        for part in ["no datagrams", "quic-v1", "fallback to a stream"] {
            assert!(text.contains(part), "{text}");
        }
    });
}

#[test]
fn a_peer_without_a_handler_refuses() {
    on_all(|listen| async move {
        let (with, _flows) = taking(&[listen]).await;
        let without = server(listen).await;
        let client = client().await;
        let opened = soon(client.packets_with(with.address(), "/other/1", FALLBACK)).await;
        let refused = match opened {
            Ok(packets) => soon(packets.recv()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let protocol = "/other/1".parse().unwrap();
        let peer = with.id();
        assert_eq!(refused, Err(PacketsError::Refused { peer, protocol }));
        let refused = soon(client.packets_with(without.address(), STATE, FALLBACK)).await;
        let unsupported = matches!(
            refused,
            Err(PacketsError::Unsupported {
                reason: NoPackets::Protocol(_),
                ..
            })
        );
        assert!(unsupported, "{refused:?}");
    });
}

#[test]
fn beside_a_connection_without_datagrams_one_with_them_is_dialed() {
    run(async {
        let (server, mut flows) = taking(&[TCP, QUIC]).await;
        let client = client().await;
        let tcp = server
            .addresses()
            .into_iter()
            .find(|a| a.to_string().contains("tcp"));
        let connection = soon(client.dial(tcp.unwrap())).await.unwrap();
        assert!(connection.address().to_string().contains("tcp"));
        let mut kept = Vec::new();
        for _ in 0..3 {
            // The QUIC address is known from identify.
            let here = soon(client.packets(server.id(), STATE)).await.unwrap();
            let there = soon(flows.recv()).await.unwrap();
            assert!(!here.is_reliable());
            here.send("x").unwrap();
            assert_eq!(soon(there.recv()).await.unwrap(), "x");
            kept.push((here, there));
        }
        assert_eq!(connection.lost(), None);
    });
}

#[test]
fn a_protocol_has_one_handler_and_nodes_say_that_they_take_packets() {
    run(async {
        let (server, _flows) = taking(&[QUIC]).await;
        let again = server.handle_packets(STATE, |_: Packets| async {});
        assert!(matches!(again, Err(AcceptError::AlreadyRegistered(_))));
        server
            .handle_packets("/other/1", |_: Packets| async {})
            .unwrap();
        let taken = server.handle("/dg/1", |_| async {});
        assert!(matches!(taken, Err(AcceptError::AlreadyRegistered(_))));
        let client = client().await;
        let connection = identified(&client, &server).await;
        let info = connection.info().await.unwrap();
        assert!(info.protocols.iter().any(|each| each.as_str() == "/dg/1"));
    });
}

#[test]
fn a_node_that_closes_ends_its_flows() {
    on_all(|listen| async move {
        let config = Config {
            drain_timeout: Duration::from_millis(10),
            ..Config::default()
        };
        let (server, mut flows) = taking(&[listen]).await;
        let client = node_with(config).await;
        let opening = client.packets_with(server.address(), STATE, FALLBACK);
        let here = soon(opening).await.unwrap();
        let there = soon(flows.recv()).await.unwrap();
        soon(client.close()).await;
        assert!(soon(here.recv()).await.is_err());
        assert!(soon(there.recv()).await.is_err());
    });
}
