//! What happens around a node: addresses of the machine that come and go, in a network namespace of the test's own, and a
//! process that is stopped for a while.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use carrick::{Config, ConnectionEnd, ConnectionError, Events, Multiaddr, Node, NodeEvent};

use crate::common::*;

const INSIDE: &str = "CARRICK_TEST_INSIDE";
const ADDRESS: &str = "10.99.0.1";

/// Runs the test that calls this once more, in a process with a network of its own.
fn in_a_network_of_its_own(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return run(test);
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--net"]);
        unshare
    };
    let may = unshare().args(["ip", "link", "set", "lo", "up"]).status();
    if !may.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED {name}: no network namespaces here (unshare and ip are needed)");
    }
    let again = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{said}");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().unwrap();
    assert!(status.success(), "ip {args:?}");
}

fn add_address() {
    ip(&["address", "add", &format!("{ADDRESS}/24"), "dev", "lo"]);
}

fn remove_address() {
    ip(&["address", "del", &format!("{ADDRESS}/24"), "dev", "lo"]);
}

fn watchful() -> Config {
    Config {
        watch_interval: Some(Duration::from_millis(20)),
        ..Config::default()
    }
}

fn is_there(address: &Multiaddr) -> bool {
    address.to_string().starts_with(&format!("/ip4/{ADDRESS}/"))
}

#[test]
fn a_wildcard_stands_for_the_addresses_that_the_machine_has_now() {
    let name = "network::a_wildcard_stands_for_the_addresses_that_the_machine_has_now";
    in_a_network_of_its_own(name, async {
        let links = [TCP, QUIC, "/ip4/127.0.0.1/tcp/0/ws"];
        let node = node_with(watchful()).await;
        let mut links: Vec<_> = links
            .iter()
            .map(|at| at.replace("127.0.0.1", "0.0.0.0"))
            .collect();
        links.retain(|at| !at.ends_with("ws") || cfg!(feature = "websocket"));
        for at in &links {
            soon(node.listen(at.as_str())).await.unwrap();
        }
        let client = client().await;
        identified(&client, &node).await;
        assert_eq!(node.addresses().len(), links.len());
        let told = || {
            let info = client.peer(&node.id()).unwrap();
            info.addresses
                .iter()
                .filter(|address| is_there(address))
                .count()
        };
        for _ in 0..2 {
            let mut events = node.events();
            add_address();
            for _ in &links {
                let new = |event: &NodeEvent| matches!(event, NodeEvent::Listening { address } if is_there(address));
                wait_for(&mut events, new).await;
            }
            assert_eq!(node.addresses().len(), 2 * links.len());
            eventually("peers are told", || told() == links.len()).await;
            let there = node.addresses().into_iter().find(is_there).unwrap();
            soon(client.dial_with(there, only_new())).await.unwrap();
            remove_address();
            for _ in &links {
                let gone = |event: &NodeEvent| matches!(event, NodeEvent::ListenerClosed { address } if is_there(address));
                wait_for(&mut events, gone).await;
            }
            assert_eq!(node.addresses().len(), links.len());
            eventually("peers are told", || told() == 0).await;
        }
    });
}

fn only_new() -> carrick::DialOptions {
    carrick::DialOptions {
        force_new: true,
        only_given: true,
    }
}

async fn wait_for(events: &mut Events, wanted: impl Fn(&NodeEvent) -> bool) -> NodeEvent {
    soon(async {
        loop {
            let event = events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

#[test]
fn a_connection_whose_address_is_gone_is_given_up_and_the_peer_is_found_again() {
    let name =
        "network::a_connection_whose_address_is_gone_is_given_up_and_the_peer_is_found_again";
    in_a_network_of_its_own(name, async {
        add_address();
        let (server, client) = (node_with(watchful()).await, node_with(watchful()).await);
        let mut events = client.events();
        let there = format!("/ip4/{ADDRESS}/tcp/0");
        soon(server.listen(there)).await.unwrap();
        let cut = identified(&client, &server).await;
        // This one has nothing to do with it.
        let other = self::server(TCP).await;
        let kept = identified(&client, &other).await;
        remove_address();
        let closed = |event: &NodeEvent| matches!(event, NodeEvent::ConnectionClosed { .. });
        let NodeEvent::ConnectionClosed {
            connection, reason, ..
        } = wait_for(&mut events, closed).await
        else {
            unreachable!()
        };
        assert_eq!(connection, cut.id());
        // Long before the muxer's own keep-alive would find out.
        assert_eq!(reason, ConnectionEnd::Lost(ConnectionError::TimedOut));
        assert_eq!(kept.lost(), None);
        assert!(soon(client.dial(server.address())).await.is_err());
        add_address();
        let known = (server.id(), Vec::new());
        soon(client.add_addresses(server.address())).await.unwrap();
        // Failures are forgotten when the network changes, so an address that is only known is tried again at once.
        soon(async { while client.dial(known.clone()).await.is_err() {} }).await;
    });
}

/// The other process of the next test: a node that asks for a sign of life all the time.
fn nervous_server() {
    run(async {
        let mut config = Config::default();
        // At any moment some of its questions are on their way.
        config.session.keep_alive_interval = Duration::from_millis(1);
        config.session.keep_alive_timeout = Duration::from_secs(3);
        let server = server_with(TCP, config).await;
        println!("at {}", server.address());
        // Until the test is over.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()))
            .await
            .unwrap()
            .unwrap();
    });
}

struct Stopped<'a>(&'a Child);

impl<'a> Stopped<'a> {
    fn new(child: &'a Child) -> Self {
        signal(child, "-STOP");
        Self(child)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

fn signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_process_that_was_stopped_gives_nobody_up_for_it() {
    if std::env::var_os(INSIDE).is_some() {
        return nervous_server();
    }
    let name = "network::a_process_that_was_stopped_gives_nobody_up_for_it";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| Some(line.unwrap().split_once("at ")?.1.to_owned()));
    let address: Multiaddr = address.unwrap().parse().unwrap();
    run(async {
        let clients = futures::future::join_all((0..8).map(|_| client())).await;
        for client in &clients {
            let stream = soon(client.open_stream(&address, ECHO)).await.unwrap();
            soon(echo_on(stream, b"before")).await.unwrap();
        }
        // More than twice as long as the server has patience.
        for _ in 0..2 {
            let stopped = Stopped::new(&child);
            let watched = clients
                .iter()
                .map(|client| keeps_its_peers(client, Duration::from_secs(7)));
            futures::future::join_all(watched).await;
            drop(stopped);
            let watched = clients
                .iter()
                .map(|client| keeps_its_peers(client, Duration::from_millis(4500)));
            futures::future::join_all(watched).await;
        }
        for client in &clients {
            let stream = soon(client.open_stream(&address, ECHO)).await.unwrap();
            soon(echo_on(stream, b"after")).await.unwrap();
        }
    });
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_node_may_be_told_not_to_look_around() {
    run(async {
        let node = node_with(Config {
            watch_interval: None,
            ..Config::default()
        })
        .await;
        let other: Node = server(TCP).await;
        soon(node.dial(other.address())).await.unwrap();
    });
}
