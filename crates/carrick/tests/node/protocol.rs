//! Protocols as objects: callbacks in order, whatever comes and goes, and no harm from those who panic or are slow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use carrick::{
    Changes, ConnectionEnd, ConnectionId, DialOptions, Node, PeerId, ProtocolHandler, Stream,
};
use tokio::sync::{Semaphore, mpsc};

use crate::common::*;

const NAME: &str = "/life/1.0.0";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Opened(ConnectionId),
    Identified,
    Stream(ConnectionId),
    Closed(ConnectionId),
    Missed(u64),
}

/// Writes down in which order it is called.
#[derive(Clone)]
struct Diary(mpsc::Sender<(PeerId, Told)>);

impl Diary {
    fn new() -> (Self, mpsc::Receiver<(PeerId, Told)>) {
        let (sender, told) = mpsc::channel(10_000);
        (Self(sender), told)
    }

    fn note(&self, peer: PeerId, told: Told) {
        self.0.try_send((peer, told)).unwrap();
    }
}

impl ProtocolHandler for Diary {
    async fn connection_opened(&self, _: Node, peer: PeerId, connection: ConnectionId) {
        self.note(peer, Told::Opened(connection));
        // Those that follow do not wait for it.
        tokio::task::yield_now().await;
    }

    async fn connection_closed(
        &self,
        _: Node,
        peer: PeerId,
        connection: ConnectionId,
        _: ConnectionEnd,
    ) {
        self.note(peer, Told::Closed(connection));
    }

    async fn peer_identified(&self, _: Node, peer: PeerId, changes: Changes) {
        assert!(changes.agent);
        self.note(peer, Told::Identified);
    }

    async fn inbound_stream(&self, _: Node, mut stream: Stream) {
        self.note(stream.peer(), Told::Stream(stream.connection().id()));
        let _ = stream.echo().await;
    }

    async fn missed(&self, node: Node, count: u64) {
        self.note(node.id(), Told::Missed(count));
    }
}

#[test]
fn callbacks_are_started_in_order_whatever_comes_and_goes() {
    on_all(|listen| async move {
        let (diary, mut told) = Diary::new();
        let server = Node::builder()
            .protocol(NAME, diary)
            .listen(listen)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let clients = futures::future::join_all((0..8).map(|_| client())).await;
        let churn = clients.iter().map(|client| async {
            for _ in 0..10 {
                let options = DialOptions {
                    force_new: true,
                    ..DialOptions::default()
                };
                let connection = client.dial_with(server.address(), options).await.unwrap();
                let stream = connection.open_stream(NAME).await.unwrap();
                echo_on(stream, b"hello").await.unwrap();
                connection.close().await;
            }
        });
        soon(futures::future::join_all(churn)).await;
        let mut states = BTreeMap::new();
        let mut closed = 0;
        while closed < 80 {
            let (_, told) = soon(told.recv()).await.unwrap();
            match told {
                Told::Opened(connection) => assert_eq!(states.insert(connection, "open"), None),
                Told::Stream(connection) => {
                    assert_eq!(states.insert(connection, "used"), Some("open"));
                }
                Told::Closed(connection) => {
                    assert!(states.insert(connection, "closed").is_some());
                    closed += 1;
                }
                Told::Identified => {}
                Told::Missed(count) => panic!("{count} events were missed"),
            }
        }
        assert_eq!(states.len(), 80);
    });
}

/// Panics whenever it can.
struct Mine;

impl ProtocolHandler for Mine {
    async fn connection_opened(&self, _: Node, _: PeerId, _: ConnectionId) {
        panic!("at once");
    }

    async fn peer_identified(&self, _: Node, _: PeerId, _: Changes) {
        tokio::task::yield_now().await;
        panic!("later");
    }

    async fn inbound_stream(&self, _: Node, mut stream: Stream) {
        let _ = stream.read_chunk().await;
        panic!("with a stream");
    }
}

#[test]
fn a_protocol_that_panics_harms_its_streams_only() {
    run(async {
        let (diary, mut told) = Diary::new();
        let server = Node::builder()
            .protocol("/mine/1.0.0", Mine)
            .protocol(NAME, diary)
            .listen(TCP)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        for _ in 0..3 {
            let mut stream = soon(client.open_stream(server.address(), "/mine/1.0.0"))
                .await
                .unwrap();
            soon(stream.write_all(b"boom")).await.unwrap();
            assert!(soon(stream.read_to_end(1)).await.is_err());
        }
        let stream = soon(client.open_stream(server.address(), NAME))
            .await
            .unwrap();
        soon(echo_on(stream, b"all is well")).await.unwrap();
        assert!(matches!(
            soon(told.recv()).await,
            Some((_, Told::Opened(_)))
        ));
    });
}

/// Never finishes a callback until it may.
struct Slow {
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    missed: Arc<Mutex<Vec<u64>>>,
}

impl ProtocolHandler for Slow {
    async fn connection_opened(&self, _: Node, _: PeerId, _: ConnectionId) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _permit = self.gate.acquire().await;
    }

    async fn missed(&self, _: Node, count: u64) {
        self.missed.lock().unwrap().push(count);
    }
}

#[test]
fn a_slow_protocol_holds_up_itself_alone_and_is_told_what_it_missed() {
    run(async {
        let gate = Arc::new(Semaphore::new(0));
        let (begun, missed) = (
            Arc::<AtomicUsize>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let slow = Slow {
            gate: gate.clone(),
            begun: begun.clone(),
            missed: missed.clone(),
        };
        let (diary, mut told) = Diary::new();
        let node = Node::builder()
            .protocol("/slow/1.0.0", slow)
            .protocol(NAME, diary)
            .spawn()
            .await
            .unwrap();
        let server = server("/memory/0").await;
        // Five events each: connected, opened, identified perhaps, closed, disconnected.
        let rounds = 256 + 1024;
        for _ in 0..rounds {
            soon(soon(node.dial(server.address())).await.unwrap().close()).await;
        }
        let mut opened = 0;
        while opened < rounds {
            opened += usize::from(matches!(
                soon(told.recv()).await,
                Some((_, Told::Opened(_)))
            ));
        }
        eventually("as many as may be under way", || {
            begun.load(Ordering::Relaxed) == 256
        })
        .await;
        assert!(missed.lock().unwrap().is_empty());
        gate.add_permits(rounds);
        eventually("it is told", || !missed.lock().unwrap().is_empty()).await;
        assert!(missed.lock().unwrap().iter().sum::<u64>() >= 1024);
        assert!(begun.load(Ordering::Relaxed) < rounds);
    });
}

#[cfg(feature = "quic")]
struct Packeteer;

#[cfg(feature = "quic")]
impl ProtocolHandler for Packeteer {
    fn takes_packets(&self) -> bool {
        true
    }

    async fn inbound_packets(&self, _: Node, packets: carrick::Packets) {
        let _ = packets.echo().await;
    }
}

#[cfg(feature = "quic")]
#[test]
fn a_protocol_takes_packets_if_it_says_so() {
    run(async {
        let server = Node::builder()
            .protocol(NAME, Packeteer)
            .listen(QUIC)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        let packets = soon(client.packets(server.address(), NAME)).await.unwrap();
        let echoed = soon(async {
            loop {
                packets.send(&b"hello"[..]).unwrap();
                if let Ok(packet) =
                    tokio::time::timeout(std::time::Duration::from_millis(100), packets.recv())
                        .await
                {
                    return packet.unwrap();
                }
            }
        });
        assert_eq!(echoed.await, &b"hello"[..]);
    });
}

/// Calls the node.
struct Caller(mpsc::Sender<usize>);

impl ProtocolHandler for Caller {
    async fn peer_identified(&self, node: Node, peer: PeerId, _: Changes) {
        let listening = node.listen("/memory/0").await.unwrap();
        let options = DialOptions {
            force_new: true,
            ..DialOptions::default()
        };
        let again = node.dial_with(peer, options).await;
        let mut stream = node.open_stream(peer, ECHO).await.unwrap();
        stream.finish().await.unwrap();
        drop(again);
        self.0.try_send(listening.len()).unwrap();
    }
}

#[test]
fn a_protocol_calls_its_node_and_does_not_keep_it_alive() {
    run(async {
        let (sender, mut called) = mpsc::channel(10_000);
        let server = server("/memory/0").await;
        let node = Node::spawn().await.unwrap();
        node.protocol(NAME, Caller(sender)).unwrap();
        assert!(node.protocol(NAME, Mine).is_err(), "it is taken");
        let mut events = node.events();
        soon(node.dial(server.address())).await.unwrap();
        assert_eq!(soon(called.recv()).await, Some(1));
        let weak = node.downgrade();
        drop(node);
        soon(async { while events.next().await.is_some() {} }).await;
        assert!(soon(weak.dial(server.address())).await.is_err());
    });
}
