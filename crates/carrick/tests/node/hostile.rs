//! Peers that mean harm: floods, and words that must not be answered. The node bears them and serves everybody else.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use carrick::{
    Config, Keypair, Multiaddr, Node, NodeEvent, OpenError,
    transport::{BoxFuture, Listener, MemoryTransport, Pipe, PipeRead, Transport},
};
use carrick_protocols::{identify, ping};
use carrick_session::{Key, Read, Role, StreamError};
use carrick_wire::{
    identify::Message,
    varint,
    yamux::{Flags, Header, Kind},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::common::{
    raw::{Raw, proposal, socket},
    *,
};

/// One frame's header; the peer's streams have odd ids.
fn frame(kind: Kind, flags: Flags, stream: u32, length: u32) -> [u8; 12] {
    Header {
        kind,
        flags,
        stream,
        length,
    }
    .encode()
}

/// `count` streams, each made by `each` from its id.
fn streams(count: u32, each: impl Fn(u32, &mut Vec<u8>)) -> Vec<u8> {
    let mut all = Vec::new();
    (0..count).for_each(|n| each(2 * n + 1, &mut all));
    all
}

/// Others are served as ever, while the hostile one is still there.
async fn serves_others(server: &Node) {
    soon(echo(&client().await, server, b"as ever"))
        .await
        .unwrap();
}

/// Reads to the end of the stream.
async fn read_to_end(raw: &mut Raw, key: Key) -> Result<Vec<u8>, StreamError> {
    let mut all = Vec::new();
    loop {
        match soon(raw.read(key)).await? {
            Read::Data(bytes) => all.extend_from_slice(&bytes),
            Read::End => return Ok(all),
            Read::Blocked => unreachable!("it waits"),
        }
    }
}

fn push(agent: &str) -> Vec<u8> {
    let message = Message {
        agent_version: Some(agent.to_owned()),
        ..Message::default()
    };
    let (body, mut out) = (message.encode(), Vec::new());
    varint::encode(body.len() as u64, &mut out);
    out.extend_from_slice(&body);
    out
}

#[test]
fn a_flood_of_streams_is_held_to_the_limit() {
    run(async {
        let mut config = Config::default();
        config.session.inbound_streams_max = 100;
        let server = server_with(TCP, config).await;
        let mut raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        let flood = streams(5000, |id, all| {
            all.extend(frame(Kind::WindowUpdate, Flags::SYN, id, 0));
        });
        assert!(raw.send(&flood).await);
        eventually("all that may come are there", || there.streams() >= 100).await;
        // One more may be identify's.
        assert!(there.streams() <= 101);
        serves_others(&server).await;
        drop(raw);
        eventually("all is released", || there.streams() == 0).await;
    });
}

#[test]
fn streams_that_are_reset_as_soon_as_they_are_opened_leave_nothing_behind() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        let hello = proposal(ECHO);
        let flood = streams(20_000, |id, all| {
            all.extend(frame(Kind::Data, Flags::SYN, id, hello.len() as u32));
            all.extend(&hello);
            all.extend(frame(Kind::WindowUpdate, Flags::RST, id, 0));
        });
        for part in flood.chunks(64 << 10) {
            // It may be told to go away.
            if !raw.send(part).await {
                break;
            }
        }
        serves_others(&server).await;
        eventually("nothing but identify is left", || there.streams() <= 1).await;
    });
}

#[test]
fn pings_whose_answers_are_not_read_stop_being_read_and_hurt_nobody() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let mut flood = Vec::new();
        (0..5000).for_each(|n| flood.extend(frame(Kind::Ping, Flags::SYN, 0, n)));
        // 100 MB would be answers of 100 MB.
        let mut sent = 0;
        while sent < 100 << 20 {
            match tokio::time::timeout(Duration::from_millis(200), raw.send(&flood)).await {
                Ok(true) => sent += flood.len(),
                Ok(false) | Err(_) => break,
            }
        }
        assert!(sent < 100 << 20, "it is held back by what it does not read");
        serves_others(&server).await;
    });
}

#[test]
fn pushes_beyond_their_pace_are_not_read() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let mut events = server.events();
        // So that pushes are known to be changes: who it is.
        let mut told = false;
        while !told {
            for key in std::mem::take(&mut raw.incoming) {
                let mut answer = proposal("/ipfs/id/1.0.0");
                answer.extend(push("agent 0"));
                raw.mux.write(key, &[], &answer).unwrap();
                raw.mux.finish(key).unwrap();
                told = true;
            }
            raw.flush().await;
            if !told {
                assert!(soon(raw.recv()).await);
            }
        }
        let id = raw.id;
        let knows = |agent: &str| {
            let info = server.peer(&id);
            info.is_some_and(|info| info.agent.as_deref() == Some(agent))
        };
        eventually("it is known", || knows("agent 0")).await;
        let (since, mut count, mut last) = (Instant::now(), 0, 0);
        for n in 1..=50 {
            let agent = format!("agent {n}");
            let key = raw.ask("/ipfs/id/push/1.0.0", &push(&agent)).await;
            raw.mux.finish(key).unwrap();
            raw.flush().await;
            let heard = read_to_end(&mut raw, key).await.is_ok();
            // One more for each five seconds that this has taken.
            let most = 10 + since.elapsed().as_secs() / 5;
            assert!(heard || n > 10, "{n}");
            if heard {
                count += 1;
                assert!(count <= most, "{n}");
                last = n;
                eventually("it is heard", || knows(&agent)).await;
            }
        }
        assert!(knows(&format!("agent {last}")));
        let mut identified = 0;
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(50), events.next()).await {
            identified += u64::from(matches!(event, Some(NodeEvent::Identified { .. })));
        }
        assert!(identified <= count + 1);
    });
}

#[test]
fn a_thousand_questions_who_we_are_are_answered_a_few_at_a_time() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        // No credit: no answer can leave, so all of them are asked at once.
        let hello = proposal("/ipfs/id/1.0.0");
        let flood = streams(1000, |id, all| {
            all.extend(frame(Kind::Data, Flags::SYN, id, hello.len() as u32));
            all.extend(&hello);
        });
        assert!(raw.send(&flood).await);
        serves_others(&server).await;
        drop(raw);
        eventually("all is released", || there.streams() == 0).await;
    });
}

#[test]
fn an_identify_bomb_is_cut_to_what_is_kept() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let bomb = Message {
            agent_version: Some("x".repeat(1000)),
            protocols: (0..1000).map(|n| format!("/{n}")).collect(),
            ..Message::default()
        };
        let body = bomb.encode();
        assert!(body.len() <= identify::PART_MAX);
        let mut answer = proposal("/ipfs/id/1.0.0");
        (0..identify::PARTS_MAX).for_each(|_| {
            varint::encode(body.len() as u64, &mut answer);
            answer.extend_from_slice(&body);
        });
        while raw.incoming.is_empty() {
            assert!(soon(raw.recv()).await);
        }
        let key = raw.incoming[0];
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let written = raw.mux.write(key, &[], rest).unwrap().unwrap();
            rest = &rest[written..];
            raw.flush().await;
        }
        raw.mux.finish(key).unwrap();
        raw.flush().await;
        eventually("it is identified", || server.peer(&raw.id).is_some()).await;
        let info = server.peer(&raw.id).unwrap();
        assert_eq!(info.protocols.len(), identify::PROTOCOLS_MAX);
        assert_eq!(info.agent.as_ref().unwrap().len(), identify::AGENT_MAX);
    });
}

#[test]
fn more_ping_streams_than_two_are_refused() {
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        let payload = [7; ping::PAYLOAD_LEN];
        let mut keys = Vec::new();
        for _ in 0..ping::INBOUND_MAX {
            let key = raw.ask("/ipfs/ping/1.0.0", &payload).await;
            let mut all = Vec::new();
            while !all.ends_with(&payload) {
                let Ok(Read::Data(bytes)) = soon(raw.read(key)).await else {
                    panic!("ended")
                };
                all.extend_from_slice(&bytes);
            }
            keys.push(key);
        }
        let surplus = raw.ask("/ipfs/ping/1.0.0", &payload).await;
        assert!(read_to_end(&mut raw, surplus).await.is_err());
        // One that ends makes room for another.
        raw.mux.finish(keys[0]).unwrap();
        raw.flush().await;
        read_to_end(&mut raw, keys[0]).await.unwrap();
        let next = raw.ask("/ipfs/ping/1.0.0", &payload).await;
        raw.mux.finish(next).unwrap();
        raw.flush().await;
        assert!(
            read_to_end(&mut raw, next)
                .await
                .unwrap()
                .ends_with(&payload)
        );
    });
}

#[test]
fn half_open_connections_beyond_the_limit_are_closed_unread() {
    run(async {
        let mut config = Config::default();
        config.swarm.pending_inbound_max = 10;
        // Time enough to see them all.
        config.session.upgrade_timeout = Duration::from_secs(8);
        let spy = Spy::default();
        let builder = Node::builder().config(config).transport(spy.clone());
        let server = builder.listen(TCP).unwrap().spawn().await.unwrap();
        let mut sockets = Vec::new();
        for _ in 0..100 {
            sockets.push(socket(&server.address()).await);
        }
        eventually("all are met", || spy.pipes() == 100).await;
        eventually("the surplus is closed", || spy.live() == 2 * 10).await;
        assert_eq!(spy.in_bytes(), 0);
        eventually("the others, too, in time", || spy.live() == 0).await;
        soon(client().await.ping(server.address())).await.unwrap();
    });
}

#[test]
fn half_open_connections_keep_nobody_out() {
    run(async {
        let mut config = Config::default();
        config.swarm.pending_inbound_max = 4;
        // Nobody is let in because they are given up.
        config.session.upgrade_timeout = Duration::from_secs(3600);
        let spy = Spy::default();
        let builder = Node::builder().config(config).transport(spy.clone());
        let server = builder.listen(TCP).unwrap().spawn().await.unwrap();
        let mut sockets = Vec::new();
        for _ in 0..4 {
            sockets.push(socket(&server.address()).await);
        }
        eventually("they have all places", || spy.live() == 2 * 4).await;
        let client = client().await;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let served = async {
            while client.ping(server.address()).await.is_err() {
                ticks.tick().await;
            }
        };
        soon(served).await;
        drop(sockets);
    });
}

#[test]
fn a_connection_beyond_the_limit_of_its_peer_is_gone_at_once() {
    run(async {
        let mut config = Config::default();
        config.swarm.connections_per_peer_max = 1;
        let spy = Spy::default();
        let builder = Node::builder().config(config).transport(spy.clone());
        let server = builder.listen(TCP).unwrap().spawn().await.unwrap();
        let keypair = Keypair::generate_ed25519();
        let mut raws = Vec::new();
        for _ in 0..20 {
            let socket = socket(&server.address()).await;
            raws.push(soon(Raw::upgrade_as(socket, Role::Dialer, &keypair)).await);
        }
        let since = Instant::now();
        // They do not close their side, and need not.
        eventually("one is left", || spy.pipes() == 20 && spy.live() == 2).await;
        assert!(since.elapsed() < Duration::from_secs(4));
    });
}

#[test]
fn a_peer_that_never_reads_is_not_written_to_without_end() {
    run(async {
        let server = server(TCP).await;
        server
            .handle("/source/1.0.0", |mut stream: carrick::Stream| async move {
                loop {
                    stream.write_all(&[0; 64 << 10]).await?;
                }
                #[expect(unreachable_code, reason = "tells the type")]
                Ok::<_, carrick::StreamError>(())
            })
            .unwrap();
        let mut raw = Raw::connect(&server.address()).await;
        for _ in 0..100 {
            raw.ask("/source/1.0.0", &[]).await;
        }
        serves_others(&server).await;
        let there = back(&server, raw.id).await;
        eventually("all are served", || there.streams() >= 100).await;
        serves_others(&server).await;
        drop(raw);
        eventually("all is released", || there.streams() == 0).await;
    });
}

#[test]
fn a_ping_stream_that_the_peer_has_ended_is_replaced() {
    run(async {
        let (listener, address) = silent().await;
        let client = client().await;
        let peer = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut raw = Raw::upgrade(socket, Role::Listener).await;
            // Each ping stream is answered once and then reset; other streams are left alone.
            let ping = proposal("/ipfs/ping/1.0.0");
            let mut heard = std::collections::BTreeMap::<Key, Vec<u8>>::new();
            while raw.recv().await {
                for key in raw.incoming.clone() {
                    let Ok(Read::Data(bytes)) = raw.mux.read(Instant::now(), key) else {
                        continue;
                    };
                    let all = heard.entry(key).or_default();
                    let before = all.len();
                    all.extend_from_slice(&bytes);
                    if before == 0 {
                        raw.mux
                            .write(key, &[], &all[..all.len().min(ping.len())])
                            .unwrap();
                    }
                    if all.starts_with(&ping) && all.len() == ping.len() + ping::PAYLOAD_LEN {
                        raw.mux.write(key, &[], &all[ping.len()..]).unwrap();
                        raw.flush().await;
                        raw.mux.reset(key, carrick::Code(0));
                    }
                    raw.flush().await;
                }
            }
        });
        let connection = soon(client.dial(address)).await.unwrap();
        for _ in 0..3 {
            soon(connection.ping()).await.unwrap();
        }
        peer.abort();
    });
}

/// Memory, whose accepted pipes panic when they are read, unless told otherwise.
#[derive(Clone, Debug, Default)]
struct Mines(Arc<AtomicBool>);

#[derive(Debug)]
struct MinesListener(Box<dyn Listener>, Mines);

struct MinedRead(Box<dyn PipeRead>, Mines);

impl Transport for Mines {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        MemoryTransport.can_handle(address)
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        MemoryTransport.dial(address)
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let mines = self.clone();
        Box::pin(async move {
            let listener = MemoryTransport.listen(address).await?;
            Ok(Box::new(MinesListener(listener, mines)) as Box<dyn Listener>)
        })
    }
}

impl Listener for MinesListener {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.0.addresses()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let (mut pipe, remote) = self.0.accept().await?;
            pipe.reader = Box::new(MinedRead(pipe.reader, self.1.clone()));
            Ok((pipe, remote))
        })
    }
}

impl PipeRead for MinedRead {}

impl AsyncRead for MinedRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(self.1.0.load(Ordering::SeqCst), "a mine");
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

#[test]
fn a_transport_that_panics_loses_its_connection_and_nothing_else() {
    run(async {
        let mut config = Config::default();
        config.swarm.pending_inbound_max = 1;
        let mines = Mines::default();
        let builder = Node::builder().config(config).transport(mines.clone());
        let server = builder.listen("/memory/0").unwrap().spawn().await.unwrap();
        std::panic::set_hook(Box::new(|_| {}));
        for _ in 0..3 {
            let error = soon(client().await.dial(server.address())).await;
            assert!(matches!(error, Err(OpenError::Dial(_))));
        }
        mines.0.store(true, Ordering::SeqCst);
        let client = client().await;
        let connection = soon(client.dial(server.address())).await.unwrap();
        eventually("it is up", || !server.peers().is_empty()).await;
        mines.0.store(false, Ordering::SeqCst);
        let _ = soon(connection.ping()).await;
        eventually("it is gone", || server.peers().is_empty()).await;
        drop(std::panic::take_hook());
        mines.0.store(true, Ordering::SeqCst);
        soon(client.dial(server.address())).await.unwrap();
        soon(server.close()).await;
    });
}

#[test]
fn durations_without_end_are_no_trap() {
    run(async {
        let never = Duration::MAX;
        let mut config = Config {
            idle_timeout: Some(never),
            negotiation_timeout: never,
            drain_timeout: never,
            ..Config::default()
        };
        config.session.keep_alive_interval = never;
        config.session.keep_alive_timeout = never;
        config.session.upgrade_timeout = never;
        config.session.linger = never;
        config.swarm.attempt_timeout = never;
        config.swarm.dial_timeout = never;
        config.swarm.address_ttl = never;
        config.swarm.disconnected_ttl = never;
        let server = server_with(TCP, config.clone()).await;
        let client = node_with(config).await;
        let connection = identified(&client, &server).await;
        soon(echo(&client, &server, b"as ever")).await.unwrap();
        soon(connection.close()).await;
        soon(client.close()).await;
    });
}

#[test]
fn what_a_peer_has_not_said_is_not_waited_for_once_it_is_gone() {
    run(async {
        let server = server(TCP).await;
        let raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        let since = Instant::now();
        let asking = tokio::spawn(async move { there.info().await });
        drop(raw);
        assert_eq!(soon(asking).await.unwrap(), None);
        assert!(since.elapsed() < Duration::from_secs(4));
    });
}
