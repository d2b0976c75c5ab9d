//! A listener that is started here and that one case ends: that case is found out, and the others have their own verdicts.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::{io::Read, net::SocketAddr, time::Duration};

use carrick::Node;
use p2pspec::{
    case::{Case, Outcome},
    cases,
    listener::Listener,
    run::{Options, run},
    select::Selection,
    target::{Place, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const GUILTY: &str = "multistream/connection/upper-case";
const NODE: &str = "P2PSPEC_FRAGILE_NODE";

/// Carrick behind a road that breaks down, with the whole process, when someone asks for /NOISE.
async fn fragile(mut client: TcpStream, node: SocketAddr) {
    let mut server = TcpStream::connect(node).await.unwrap();
    let (mut from_client, mut from_node) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count @ 1..) => {
                    let said = &from_client[..count];
                    if said.windows(6).any(|six| six == b"/NOISE") {
                        std::process::exit(7);
                    }
                    if server.write_all(said).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            read = server.read(&mut from_node) => match read {
                Ok(count @ 1..) if client.write_all(&from_node[..count]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}

/// Not a test of its own: the program that the test below starts.
#[tokio::test]
async fn the_listener() {
    if std::env::var_os(NODE).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let node = Node::builder().listen("/ip4/127.0.0.1/tcp/0").unwrap();
    let node = node.spawn().await.unwrap();
    let address = node.address().to_string();
    let place = Place::parse(&address).await.unwrap();
    let road = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = road.local_addr().unwrap().port();
    println!(
        "\nlistening on /ip4/127.0.0.1/tcp/{port}/p2p/{}",
        place.peer
    );
    loop {
        let (client, _) = road.accept().await.unwrap();
        tokio::spawn(fragile(client, place.socket));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_ends_the_listener_is_found_out_and_no_other_suffers() {
    let program = std::env::current_exe().unwrap();
    let command = format!(
        "env {NODE}=1 '{}' --exact the_listener --nocapture",
        program.display()
    );
    let (_listener, places) = Listener::start(&command).await.unwrap();
    let options = Options {
        timeout: Duration::from_secs(30),
        pace: Duration::ZERO,
        jobs: 8,
        retries: 2,
        again: true,
        within: None,
    };
    let (target, _) = Target { places }.probe(&options).await.unwrap();
    let selection = Selection {
        only: vec![
            "multistream/connection/header*".to_owned(),
            GUILTY.to_owned(),
        ],
        level: p2pspec::case::Level::Practice,
    };
    let wanted: Vec<&'static Case> = cases::all().filter(|case| selection.wants(case)).collect();
    let report = run(&target, &wanted, &options, |_| {}).await;
    for done in &report.done {
        let guilty = done.case.id == GUILTY;
        assert_eq!(done.ended.is_some(), guilty, "{done:#?}");
        assert_eq!(
            matches!(done.outcome, Outcome::Fail(_)),
            guilty,
            "{done:#?}"
        );
    }
    assert!(report.restarts > 0 && report.is_alive(), "{report:#?}");
}

#[tokio::test]
async fn a_listener_that_does_not_start_is_told() {
    let told = Listener::start("false").await.unwrap_err();
    assert!(told.contains("`false` ended before"), "{told}");
}
