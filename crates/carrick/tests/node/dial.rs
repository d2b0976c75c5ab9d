//! Dialing by name, and with options.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use carrick::{
    AttemptError, Config, DialError, DialOptions, Multiaddr, Node, OpenError, Protocol, Stream,
    resolve::{Family, Resolver},
    transport::BoxFuture,
};

use crate::common::*;

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A name system of a test. What it does not know it never answers.
#[derive(Clone, Debug, Default)]
struct Names {
    texts: HashMap<String, Vec<String>>,
    ips: HashMap<String, IpAddr>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn txt(mut self, name: &str, addresses: &[String]) -> Self {
        let texts = addresses.iter().map(|address| format!("dnsaddr={address}"));
        self.texts
            .insert(format!("_dnsaddr.{name}"), texts.collect());
        self
    }

    fn here(mut self, name: &str) -> Self {
        self.ips.insert(name.to_owned(), Ipv4Addr::LOCALHOST.into());
        self
    }

    async fn node(&self) -> Node {
        let mut config = Config::default();
        config.swarm.name_timeout = Duration::from_secs(2);
        self.node_with(config).await
    }

    async fn node_with(&self, config: Config) -> Node {
        let builder = Node::builder().config(config).resolver(self.clone());
        builder.spawn().await.expect("spawn")
    }
}

impl Resolver for Names {
    fn ip(&self, name: String, _: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let known = self.ips.get(&name).copied();
        Box::pin(async move {
            match known {
                _ if name == "broken.example" => Err(io::Error::other("server failure")),
                // Without the hook, whose backtrace may take as long as the patience for a name.
                _ if name == "panic.example" => std::panic::resume_unwind(Box::new("as told")),
                Some(ip) => Ok(vec![ip]),
                None => std::future::pending().await,
            }
        })
    }

    fn txt(&self, name: String) -> BoxFuture<'static, io::Result<Vec<String>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let known = self.texts.get(&name).cloned();
        Box::pin(async move { known.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

/// The address with a name for its IP.
fn named(name: &str, address: &Multiaddr) -> Multiaddr {
    let name = Protocol::Dns4(name.to_owned().into());
    std::iter::once(name)
        .chain(address.iter().skip(1))
        .collect()
}

fn failed<T: std::fmt::Debug>(dialed: Result<T, OpenError>) -> Vec<(Multiaddr, AttemptError)> {
    match dialed {
        Err(OpenError::Dial(DialError::Failed { attempts, .. })) => attempts,
        other => panic!("not a failed dial: {other:?}"),
    }
}

#[test]
fn a_name_leads_to_its_peer_over_every_transport() {
    run(async {
        let names = Names::default().here("server.example");
        let client = names.node().await;
        for listen in [TCP, "/ip4/127.0.0.1/tcp/0/ws", QUIC] {
            let server = server(listen).await;
            let target = named("server.example", &server.address());
            assert_eq!(echo_at(&client, target).await, "named");
            server.close().await;
        }
    });
}

#[test]
fn wss_by_name_asks_for_the_names_certificate() {
    run(async {
        let folder = std::env::temp_dir().join(format!("carrick-{}-wss", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        let made = rcgen::generate_simple_self_signed(["server.example".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(&chain, made.cert.pem()).expect("write");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("write");
        let server = Node::builder()
            .wss_certificate(&chain, &key)
            .expect("a certificate")
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .listen("/ip4/127.0.0.1/tcp/0/tls/ws")
            .expect("an address")
            .spawn()
            .await
            .expect("spawn");
        let names = Names::default()
            .here("server.example")
            .here("other.example");
        let client = Node::builder()
            .resolver(names)
            .wss_root(&chain)
            .expect("a root")
            .spawn()
            .await
            .expect("spawn");
        let _ = std::fs::remove_dir_all(&folder);
        let wrong = named("other.example", &server.address());
        let attempts = failed(soon(client.dial(wrong)).await);
        let said = attempts[0].1.to_string();
        assert!(
            said.contains("not valid for name \"other.example\""),
            "{said}"
        );
        let right = named("server.example", &server.address());
        assert_eq!(echo_at(&client, right).await, "named");
    });
}

async fn echo_at(client: &Node, target: Multiaddr) -> String {
    let mut stream = soon(client.open_stream(target, ECHO)).await.expect("open");
    soon(stream.write_all(b"named")).await.expect("write");
    soon(stream.finish()).await.expect("finish");
    let reply = soon(stream.read_to_end(100)).await.expect("read");
    String::from_utf8(reply.to_vec()).expect("text")
}

#[test]
fn of_all_addresses_behind_a_dnsaddr_quic_wins_where_it_works() {
    run(async {
        let server = Node::builder()
            .listen(TCP)
            .and_then(|builder| builder.listen(QUIC))
            .expect("addresses")
            .spawn()
            .await
            .expect("spawn");
        // UDP that nobody answers.
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("it is bound").port();
        let dead = format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{}", server.id());
        let all = server.addresses();
        let by = |carrier: &str| {
            let mut texts = all.iter().map(ToString::to_string);
            texts
                .find(|text| text.contains(carrier))
                .expect("one of each")
        };
        let names = Names::default()
            .txt("both.example", &[by("/tcp/"), by("/udp/")])
            .txt("dead.example", &[by("/tcp/"), dead]);
        // The head start is long enough for a busy machine where QUIC is to win, and short where it cannot.
        let cases = [
            ("both.example", "/quic-v1", 5000),
            ("dead.example", "/tcp/", 30),
        ];
        for (name, wins, head_start) in cases {
            let mut config = Config::default();
            config.swarm.dial_delay_local = Duration::from_millis(head_start);
            let client = names.node_with(config).await;
            let target = format!("/dnsaddr/{name}/p2p/{}", server.id());
            let connection = soon(client.dial(target)).await.expect("dial");
            let address = connection.address().to_string();
            assert!(address.contains(wins), "{address}");
        }
    });
}

#[test]
fn a_dnsaddr_leads_to_the_peer_that_is_asked_for() {
    run(async {
        let (wanted, other) = (server(TCP).await, server(TCP).await);
        let names = Names::default()
            .here("other.example")
            .txt(
                "all.example",
                &[
                    format!("/dnsaddr/one.example/p2p/{}", wanted.id()),
                    format!("/dnsaddr/two.example/p2p/{}", other.id()),
                ],
            )
            .txt("one.example", &[wanted.address().to_string()])
            .txt(
                "two.example",
                &[named("other.example", &other.address()).to_string()],
            );
        let client = names.node().await;
        for server in [&wanted, &other] {
            let target = format!("/dnsaddr/all.example/p2p/{}", server.id());
            let connection = soon(client.dial(target)).await.expect("dial");
            assert_eq!(connection.peer(), server.id());
        }
        assert_eq!(names.asked.load(Ordering::SeqCst), 5, "nobody else's names");
        let stranger = carrick::Keypair::generate_ed25519().public().to_peer_id();
        let target = format!("/dnsaddr/all.example/p2p/{stranger}");
        let error = soon(client.dial(target)).await.expect_err("nobody");
        assert!(
            error.to_string().contains("no address of this peer"),
            "{error}"
        );
    });
}

#[test]
fn a_resolver_that_fails_hangs_or_panics_costs_its_name_only() {
    run(async {
        let server = server(TCP).await;
        let client = Names::default().node().await;
        let bad = ["broken.example", "panic.example", "silent.example"];
        let bad = bad.map(|name| named(name, &server.address()));
        let attempts = failed(soon(client.dial(bad.to_vec())).await);
        let told: Vec<_> = attempts
            .iter()
            .map(|(_, error)| error.to_string())
            .collect();
        for words in [
            "server failure",
            "the resolver panicked",
            "no answer in time",
        ] {
            let words = format!("name lookup failed: {words}");
            assert!(told.contains(&words), "{told:?}");
        }
        let mut all = bad.to_vec();
        all.push(server.address());
        soon(client.dial(all)).await.expect("the IP address works");
    });
}

#[test]
fn the_system_knows_localhost() {
    run(async {
        let server = server(TCP).await;
        let target = named("localhost", &server.address());
        let connection = soon(client().await.dial(target)).await.expect("dial");
        assert_eq!(connection.peer(), server.id());
        let seen = connection.address().to_string();
        assert!(seen.starts_with("/ip4/127.0.0.1/tcp/"), "{seen}");
    });
}

#[test]
fn a_forced_dial_makes_another_connection_that_lives_as_long_as_its_handle() {
    on_both(|listen| async move {
        let mut config = Config::default();
        config.swarm.duplicate_idle_timeout = Duration::from_millis(20);
        let server = server_with(listen, config.clone()).await;
        let client = node_with(config).await;
        let first = soon(client.dial(server.address())).await.expect("dial");
        let options = DialOptions {
            force_new: true,
            ..DialOptions::default()
        };
        let second = soon(client.dial_with(server.address(), options))
            .await
            .expect("dial");
        // Longer than a superfluous connection would live.
        keeps_its_peers(&client, Duration::from_millis(1500)).await;
        for connection in [&first, &second] {
            assert_eq!(connection.lost(), None);
            soon(connection.ping()).await.expect("ping");
        }
        // Closing one leaves the other.
        soon(second.close()).await;
        soon(first.ping()).await.expect("ping");
        assert_eq!(client.peers(), [server.id()]);
    });
}

#[test]
fn only_these_addresses_are_tried() {
    run(async {
        let server = server(TCP).await;
        let client = client().await;
        client.add_addresses(server.address()).await.expect("add");
        let nowhere: Multiaddr = "/memory/4711".parse().expect("an address");
        let target = || (server.id(), vec![nowhere.clone()]);
        let options = DialOptions {
            only_given: true,
            ..DialOptions::default()
        };
        let attempts = failed(soon(client.dial_with(target(), options)).await);
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].0, nowhere);
        soon(client.dial(target())).await.expect("what is known");
        soon(client.dial_with(target(), options))
            .await
            .expect("a connection that is there will do");
    });
}

#[test]
fn a_dead_address_is_tried_as_often_as_it_is_given() {
    run(async {
        let client = client().await;
        let peer = carrick::Keypair::generate_ed25519().public().to_peer_id();
        for _ in 0..3 {
            let attempts = failed(soon(client.dial(format!("/memory/4712/p2p/{peer}"))).await);
            assert!(
                matches!(attempts[0].1, AttemptError::Transport(_)),
                "{attempts:?}"
            );
        }
        // Known only, it rests.
        let known = format!("/memory/4712/p2p/{peer}");
        client.add_addresses(known).await.expect("add");
        let error = soon(client.dial(peer)).await.expect_err("it rests");
        assert!(
            error.to_string().contains("failed shortly before"),
            "{error}"
        );
    });
}
