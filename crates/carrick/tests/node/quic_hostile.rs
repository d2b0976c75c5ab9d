//! QUIC under attack: what comes out for what goes in before anybody has proven to be where he says, floods of first packets,
//! garbage. The others are served as ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use carrick::{Config, Node};
use tokio::{net::UdpSocket, sync::Semaphore, time::timeout};

use crate::common::{
    path::{Path, target},
    quic::{ALPN, RawQuic, first_packets},
    *,
};

fn is_retry(packet: &[u8]) -> bool {
    packet[0] & 0xb0 == 0xb0
}

/// All that comes until there was silence for this long.
async fn heard(socket: &UdpSocket, silence: Duration) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut packet = [0; 65_536];
    while let Ok(received) = timeout(silence, socket.recv(&mut packet)).await {
        // A refusal that the kernel passes on is no packet.
        all.extend(received.ok().map(|n| packet[..n].to_vec()));
    }
    all
}

async fn towards(server: &Node) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(target(&server.address())).await.unwrap();
    socket
}

async fn serves_others(server: &Node) {
    soon(echo(&client().await, server, b"as ever"))
        .await
        .unwrap();
}

#[test]
fn who_has_not_proven_his_address_is_sent_nothing_more_after_three_times_what_he_sent() {
    run(async {
        let server = server(QUIC).await;
        let socket = towards(&server).await;
        let packets = first_packets(2).await;
        socket.send(&packets[0]).await.unwrap();
        // Long enough for the certificate, and for asking again what was not acknowledged.
        let answers = heard(&socket, Duration::from_secs(3)).await;
        let sent: usize = answers.iter().map(Vec::len).sum();
        // `quinn` begins no datagram beyond three times, but ends the one that it has begun.
        let (limit, last) = (3 * packets[0].len(), answers.last().unwrap().len());
        assert!(sent - last < limit && last <= 1200, "{sent} bytes");
        serves_others(&server).await;
    });
}

#[test]
fn a_flood_of_first_packets_is_told_to_prove_itself() {
    run(async {
        const FLOOD: usize = 1500;
        let server = server(QUIC).await;
        let packets = first_packets(FLOOD).await;
        let socket = towards(&server).await;
        let mut retries = 0;
        for packet in &packets {
            socket.send(packet).await.unwrap();
            // One after the other: what the kernel drops would show nothing.
            let mut answer = [0; 2000];
            let answered = timeout(Duration::from_millis(200), socket.recv(&mut answer)).await;
            let mut next = answered.ok().and_then(Result::ok);
            while let Some(n) = next {
                retries += usize::from(is_retry(&answer[..n]));
                next = socket.try_recv(&mut answer).ok();
            }
        }
        assert!(retries > FLOOD * 3 / 4, "{retries} retries");
        // In the middle of it everybody else is served, with one more round trip.
        for _ in 0..5 {
            serves_others(&server).await;
        }
    });
}

#[test]
fn packets_with_somebody_elses_address_do_not_keep_him_out() {
    run(async {
        let mut config = Config::default();
        config.swarm.loopback_exempt = false;
        config.swarm.connection_interval_per_ip = DEADLINE;
        let server = server_with(QUIC, config).await;
        let socket = towards(&server).await;
        // More than may come at once; none of these ever answers.
        for packet in first_packets(40).await {
            socket.send(&packet).await.unwrap();
            soon(socket.readable()).await.unwrap();
            let mut answer = [0; 2000];
            while socket.try_recv(&mut answer).is_ok() {}
        }
        for _ in 0..4 {
            serves_others(&server).await;
        }
    });
}

#[test]
fn an_unknown_version_is_answered_with_the_one_that_is_known() {
    run(async {
        let server = server(QUIC).await;
        let socket = towards(&server).await;
        let mut packet = first_packets(1).await.remove(0);
        for version in [0x1a2a_3a4a_u32, 0xff00_001d, 0x6b33_43cf] {
            packet[1..5].copy_from_slice(&version.to_be_bytes());
            socket.send(&packet).await.unwrap();
            let mut answer = [0; 2000];
            let n = soon(socket.recv(&mut answer)).await.unwrap();
            assert!(answer[0] & 0x80 != 0, "a long header");
            assert_eq!(answer[1..5], [0; 4], "version negotiation");
            let ids = 6 + usize::from(answer[5]);
            let ids = ids + 1 + usize::from(answer[ids]);
            let versions: Vec<_> = answer[ids..n].chunks(4).collect();
            // Besides it there may be one that exists to be ignored.
            assert!(versions.contains(&[0, 0, 0, 1].as_slice()), "{versions:?}");
            assert!(!versions.contains(&version.to_be_bytes().as_slice()));
            assert!(
                !versions.contains(&[0xff, 0, 0, 0x1d].as_slice()),
                "the draft"
            );
        }
        serves_others(&server).await;
    });
}

/// Datagrams of every length, with every kind of first byte.
fn garbage() -> impl Iterator<Item = Vec<u8>> {
    (0..1500_usize).map(|len| {
        let byte = |at: usize| (at.wrapping_mul(167) ^ len.wrapping_mul(31)) as u8;
        let mut datagram: Vec<u8> = (0..len).map(byte).collect();
        // Half of them look like a first packet of this version, as far as that goes.
        if len % 2 == 0 && len > 5 {
            datagram[0] = 0xc0 | byte(0) & 0x3f;
            datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        datagram
    })
}

#[test]
fn garbage_of_every_length_to_a_listener_and_to_a_dialer_is_nothing() {
    run(async {
        let server = server(QUIC).await;
        let client = Node::builder().listen(QUIC).unwrap().spawn().await.unwrap();
        let mut stream = agreed(&client, server.address(), ECHO).await;
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut answered = [0; 2000];
        for datagram in garbage() {
            for node in [&server, &client] {
                let to = target(&node.address());
                stranger.send_to(&datagram, to).await.unwrap();
            }
            while stranger.try_recv(&mut answered).is_ok() {}
        }
        stream.write_all(b"alive").await.unwrap();
        assert_eq!(soon(stream.read_chunk()).await.unwrap().unwrap(), "alive");
        assert_eq!(server.peers(), [client.id()]);
        serves_others(&server).await;
    });
}

#[test]
fn garbage_on_the_path_of_a_connection_from_its_first_packet_on_is_nothing() {
    run(async {
        let server = server(QUIC).await;
        // The server sees garbage and the dialer's packets come from one address, and so does the dialer.
        let path = Path::udp(&server.address(), Duration::ZERO).await;
        let client = client().await;
        let injecting = inject(&path);
        let dialed =
            soon(async { tokio::join!(client.open_stream(path.address.clone(), ECHO), injecting) });
        let mut stream = dialed.await.0.unwrap();
        inject(&path).await;
        for _ in 0..10 {
            stream.write_all(b"alive").await.unwrap();
            let mut answer = [0; 5];
            soon(stream.read_exact(&mut answer)).await.unwrap();
        }
        assert_eq!(server.peers(), [client.id()]);
    });
}

async fn inject(path: &Path) {
    for datagram in garbage() {
        path.inject(&datagram).await;
        if datagram.len() % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_peer_that_opens_and_resets_streams_without_end_holds_no_more_than_its_share() {
    run(async {
        let mut config = Config::default();
        config.session.inbound_streams_max = 32;
        let server = server_with(QUIC, config).await;
        // Handlers that look at nothing: they outlive what the peer does to their streams.
        let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, gate) = (most.clone(), Arc::new(Semaphore::new(0)));
        let closed = gate.clone();
        server
            .handle("/stubborn/1.0.0", move |stream| {
                let (busy, seen, gate) = (busy.clone(), seen.clone(), closed.clone());
                async move {
                    seen.fetch_max(busy.fetch_add(1, SeqCst) + 1, SeqCst);
                    let _ = gate.acquire().await;
                    busy.fetch_sub(1, SeqCst);
                    drop(stream);
                }
            })
            .unwrap();
        let raw = RawQuic::new(ALPN);
        let connection = soon(raw.connect(&server.address())).await.unwrap();
        let since = Instant::now();
        let words = raw::proposal("/stubborn/1.0.0");
        while since.elapsed() < Duration::from_millis(1500) || most.load(SeqCst) < 32 {
            let opened = timeout(Duration::from_millis(100), connection.open_bi()).await;
            let Ok(Ok((mut send, mut recv))) = opened else {
                continue;
            };
            let _ = send.write_all(&words).await;
            let mut answer = vec![0; words.len()];
            let _ = soon(recv.read_exact(&mut answer)).await;
            let _ = send.reset(7_u32.into());
            let _ = recv.stop(7_u32.into());
        }
        assert_eq!(most.load(SeqCst), 32, "no more, and no fewer");
        gate.close();
        serves_others(&server).await;
    });
}
