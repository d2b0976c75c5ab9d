//! Who misbehaves is disconnected, banned, refused and forgiven; who is not admitted gets no further.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use carrick::{
    AttemptError, Ban, Because, Behaviour, Change, CloseReason, Code, ConnectionEnd,
    ConnectionError, DialError, Fault, Keypair, Network, Node, NodeEvent, OpenError, Stage, Store,
    StoreError, Stream, StreamError, Subject, Verdict,
};

use crate::common::*;

const EXPELLED: StreamError =
    StreamError::ConnectionLost(ConnectionError::Expelled(CloseReason::Banned));
const TOLD: StreamError = StreamError::ConnectionLost(ConnectionError::ClosedWith(Code::GATED));

/// Counts the streams that its handler sees.
async fn counting(listen: &str) -> (Node, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let node = Node::builder()
        .handle(ECHO, move |mut stream: Stream| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { stream.echo().await }
        })
        .listen(listen)
        .unwrap()
        .spawn()
        .await
        .unwrap();
    (node, served)
}

#[test]
fn a_malicious_peer_is_out_at_once_with_all_that_it_has_open() {
    on_all(|listen| async move {
        let (server, served) = counting(listen).await;
        let mut incoming = server.accept("/wait/1.0.0").unwrap();
        let client = client().await;
        let mut events = server.events();
        let mut theirs = agreed(&client, server.address(), "/wait/1.0.0").await;
        let mut ours = soon(incoming.next()).await.unwrap();
        soon(echo(&client, &server, b"hello")).await.unwrap();
        let seen = served.load(Ordering::Relaxed);

        let reading = tokio::spawn(async move { ours.read_chunk().await });
        let connection = theirs.connection();
        server
            .record_behaviour(&client.id(), Behaviour::Malicious, "test")
            .await;
        let ended = soon(reading).await.unwrap();
        assert_eq!(ended.unwrap_err(), EXPELLED);
        let told = soon(theirs.read_chunk()).await.unwrap_err();
        assert_eq!(told, TOLD);
        assert!(soon(connection.open_stream(ECHO)).await.is_err());
        loop {
            if let Some(NodeEvent::Banned {
                subject, reason, ..
            }) = soon(events.next()).await
            {
                assert_eq!(subject, Subject::Peer(client.id()));
                assert_eq!(reason, "malicious (test)");
                break;
            }
        }

        // It gets through the handshake, and no handler hears of it.
        for _ in 0..3 {
            if let Ok(connection) = soon(client.dial(server.address())).await {
                let stream = soon(connection.open_stream(ECHO)).await;
                if let Ok(stream) = stream {
                    soon(echo_on(stream, b"again")).await.unwrap_err();
                }
                soon(connection.close()).await;
            }
        }
        assert_eq!(served.load(Ordering::Relaxed), seen);
        assert!(server.is_banned(client.id()).await);
        assert_eq!(server.score(&client.id()).await, -100.0);

        assert!(server.unban(client.id()).await);
        soon(echo(&client, &server, b"forgiven")).await.unwrap();
        assert_eq!(server.score(&client.id()).await, 0.0);
    });
}

#[test]
fn a_ban_ends_streams_and_waiting_dials_within_10_ms() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let client = client().await;
        let mut stream = agreed(&client, server.address(), ECHO).await;
        let waiting = tokio::spawn(async move { stream.read_chunk().await });
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let mut stream = agreed(&client, server.address(), ECHO).await;
            let waiting = tokio::spawn(async move {
                let end = stream.read_chunk().await;
                (end, std::time::Instant::now())
            });
            tokio::task::yield_now().await;
            let begun = std::time::Instant::now();
            client.ban(server.id(), None, "a test").await;
            let (end, at) = soon(waiting).await.unwrap();
            assert_eq!(end.unwrap_err(), EXPELLED);
            fastest = fastest.min(at.duration_since(begun));
            let refused = soon(client.open_stream(server.address(), ECHO)).await;
            let Err(OpenError::Dial(DialError::Banned { peer, until: None })) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(peer, server.id());
            client.unban(server.id()).await;
        }
        // The machine may be busy; not every time.
        assert!(fastest < Duration::from_millis(10), "{fastest:?}");
        assert_eq!(soon(waiting).await.unwrap().unwrap_err(), EXPELLED);
    });
}

#[test]
fn a_banned_address_is_refused_before_any_handshake() {
    for listen in every_link().filter(|listen| *listen != "/memory/0") {
        run(async move {
            let (server, served) = counting(listen).await;
            let network: Network = "127.0.0.0/8".parse().unwrap();
            server.ban(network, Duration::from_secs(60), "a test").await;
            assert!(server.is_banned(IpAddr::from([127, 0, 0, 1])).await);
            let client = client().await;
            let dialed = soon(client.dial(server.address())).await;
            let Err(OpenError::Dial(DialError::Failed { .. })) = dialed else {
                panic!("{dialed:?}")
            };
            assert_eq!(served.load(Ordering::Relaxed), 0);
            assert!(server.unban(network).await);
            client
                .add_peer(server.address(), Default::default())
                .await
                .unwrap();
            soon(echo(&client, &server, b"forgiven")).await.unwrap();
        });
    }
}

#[test]
fn the_user_admits_by_address_by_peer_and_by_what_it_says() {
    on_all(|listen| async move {
        let friend = Keypair::generate_ed25519();
        let (id, stranger) = (friend.public().to_peer_id(), client().await);
        let served = Arc::new(AtomicUsize::new(0));
        let count = served.clone();
        let server = Node::builder()
            .admit(move |stage| match stage {
                Stage::Address {
                    validated: false, ..
                } => Verdict::Retry,
                Stage::Peer { peer, .. } if peer != id => Verdict::reject("a stranger"),
                Stage::Identified {
                    agent: Some(agent), ..
                } if agent.starts_with("bad") => Verdict::reject("a bad program"),
                _ => Verdict::Accept,
            })
            .handle(ECHO, move |mut stream: Stream| {
                count.fetch_add(1, Ordering::Relaxed);
                async move { stream.echo().await }
            })
            .listen(listen)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let refused = soon(echo(&stranger, &server, b"in?")).await;
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(served.load(Ordering::Relaxed), 0);

        let with_agent = |agent: &str| Node::builder().identity(friend.clone()).agent(agent);
        let good = with_agent("good/1.0").spawn().await.unwrap();
        soon(echo(&good, &server, b"in")).await.unwrap();
        good.close().await;

        let bad = with_agent("bad/1.0").spawn().await.unwrap();
        let mut events = server.events();
        let connection = soon(bad.dial(server.address())).await.unwrap();
        while !matches!(
            soon(events.next()).await,
            Some(NodeEvent::Disconnected { .. })
        ) {}
        eventually("it hears of it", || connection.lost().is_some()).await;
        let told = ConnectionError::ClosedWith(Code::GATED);
        assert_eq!(connection.lost(), Some(told));
    });
}

#[test]
fn a_panic_in_the_users_admission_lets_nobody_in_and_the_node_goes_on() {
    run(async {
        let server = Node::builder()
            .admit(|stage| match stage {
                Stage::Peer { .. } => panic!("a user's bug"),
                _ => Verdict::Accept,
            })
            .listen(TCP)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        for _ in 0..2 {
            if let Ok(connection) = soon(client.dial(server.address())).await {
                eventually("it is closed", || connection.lost().is_some()).await;
            }
        }
        let mine = soon(server.dial(client.address())).await;
        assert!(mine.is_err());
        assert_eq!(server.peers(), []);
    });
}

#[test]
fn a_node_that_dials_admits_by_peer_as_well() {
    run(async {
        let server = server(TCP).await;
        let client = Node::builder()
            .admit(|stage| match stage {
                Stage::Peer { .. } => Verdict::reject("nobody"),
                _ => Verdict::Accept,
            })
            .spawn()
            .await
            .unwrap();
        let dialed = soon(client.dial(server.address())).await;
        let Err(OpenError::Dial(DialError::Failed { attempts, .. })) = dialed else {
            panic!("{dialed:?}")
        };
        let expected = AttemptError::Rejected(Verdict::reject("nobody"));
        assert_eq!(attempts[0].1, expected);
        assert_eq!(attempts[0].1.to_string(), "not admitted: rejected: nobody");
    });
}

/// A store in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Store for Shelf {
    fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        let shelf = self.0.lock().unwrap();
        shelf.iter().for_each(|(key, value)| take(key, value));
        Ok(())
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        for (key, value) in changes.iter().cloned() {
            match value {
                Some(value) => drop(shelf.insert(key, value)),
                None => drop(shelf.remove(&key)),
            }
        }
        Ok(())
    }
}

#[test]
fn bans_outlive_a_restart_and_so_does_forgiveness() {
    run(async {
        let (shelf, client) = (Shelf::default(), client().await);
        let network: Network = "10.0.0.0/8".parse().unwrap();
        let start = || {
            let builder = Node::builder().store_with(shelf.clone()).listen(TCP);
            builder.unwrap().spawn()
        };
        let first = start().await.unwrap();
        first
            .record_behaviour(&client.id(), Behaviour::Malicious, "test")
            .await;
        first.ban(network, None, "another test").await;
        let bans = first.bans().await;
        first.close().await;

        let second = start().await.unwrap();
        let again = second.bans().await;
        let millis = |until: SystemTime| until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let plain = |ban: &Ban| {
            let until = ban.until.map(|until| millis(until).as_millis());
            (ban.subject, until, ban.reason.clone(), ban.repeats)
        };
        let sorted = |bans: &[Ban]| {
            let mut all: Vec<_> = bans.iter().map(plain).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&bans), sorted(&again));
        assert_eq!(again.len(), 2);
        if let Ok(connection) = soon(client.dial(second.address())).await {
            eventually("it is closed", || connection.lost().is_some()).await;
        }
        assert!(second.unban(client.id()).await);
        second.close().await;

        let third = start().await.unwrap();
        assert_eq!(third.bans().await.len(), 1);
        soon(client.ping(third.address())).await.unwrap();
    });
}

#[test]
fn a_handlers_error_says_what_its_peer_has_done() {
    on_all(|listen| async move {
        let server = Node::builder()
            .handle("/strict/1.0.0", |mut stream: Stream| async move {
                let bytes = stream.read_to_end(4).await?;
                let text = std::str::from_utf8(&bytes).because(Behaviour::Spam)?;
                Err::<(), Fault>(std::io::Error::other(text.to_owned()).into())
            })
            .handle("/plain/1.0.0", |mut stream: Stream| async move {
                drop(stream.read_to_end(9).await);
                Err::<(), _>("a text")
            })
            .listen(listen)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        // To what the peer's score falls, and what it was before.
        let sends = async |protocol: &str, bytes: &'static [u8]| {
            let mut stream = agreed(&client, server.address(), protocol).await;
            let sent = stream.write_all(bytes).await;
            let sent = sent.and(stream.finish().await);
            // It may be over before all is said.
            drop((sent, soon(stream.read_to_end(9)).await));
        };
        let falls_to = async |expected: f64| {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            let falls = async {
                while (server.score(&client.id()).await - expected).abs() > 0.1 {
                    looks.tick().await;
                }
            };
            soon(falls).await;
        };
        sends("/plain/1.0.0", b"ok").await;
        sends("/strict/1.0.0", b"ok").await;
        sends("/strict/1.0.0", b"too long").await;
        falls_to(-5.0).await;
        let mut events = server.events();
        sends("/strict/1.0.0", b"\xff").await;
        falls_to(-15.0).await;
        sends("/strict/1.0.0", b"\xff").await;
        falls_to(-25.0).await;
        loop {
            if let Some(NodeEvent::ConnectionClosed { reason, .. }) = soon(events.next()).await {
                let misbehaved = ConnectionEnd::Ours(CloseReason::Misbehaved);
                break assert_eq!(reason, misbehaved);
            }
        }
        assert_eq!(server.bans().await, []);
    });
}

#[test]
fn another_peer_than_the_one_dialed_costs_the_address_and_leaves_no_trace() {
    on_all(|listen| async move {
        let (found, client) = (server(listen).await, client().await);
        let mut events = client.events();
        let expected = Keypair::generate_ed25519().public().to_peer_id();
        let mut address = found.address();
        address.pop();
        client
            .add_addresses((expected, vec![address]))
            .await
            .unwrap();
        let dialed = soon(client.dial(expected)).await;
        let Err(OpenError::Dial(DialError::Failed { attempts, .. })) = dialed else {
            panic!("{dialed:?}")
        };
        let wrong = AttemptError::WrongPeer {
            expected,
            found: found.id(),
        };
        assert_eq!(attempts[0].1, wrong);
        // It is not tried again of itself.
        let again = soon(client.dial(expected)).await.unwrap_err();
        assert!(!again.to_string().contains("wrong peer"), "{again}");
        let seen = soon(events.next()).await;
        assert!(
            matches!(seen, Some(NodeEvent::DialFailed { .. })),
            "{seen:?}"
        );
        assert_eq!(client.peers(), []);
        assert!(client.peer_metadata(&found.id()).await.is_none());
        assert_eq!(client.score(&found.id()).await, 0.0);
    });
}
