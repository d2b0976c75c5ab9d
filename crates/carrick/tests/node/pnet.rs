//! Private networks: who has the key is in, and nobody else learns anything.

use std::{process::Command, time::Duration};

use carrick::{AttemptError, Config, DialError, ListenError, Node, OpenError, Stream, SwarmKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{ECHO, TCP, on_both, raw::socket, run, soon};

/// Upgrades soon fail, for tests that wait for that.
fn impatient() -> Config {
    let mut config = Config::default();
    config.session.upgrade_timeout = Duration::from_secs(3);
    config
}

async fn node(key: Option<&SwarmKey>, listen: Option<&str>) -> Node {
    let mut builder =
        Node::builder()
            .config(impatient())
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            );
    if let Some(key) = key {
        builder = builder.private_network(key.clone());
    }
    if let Some(listen) = listen {
        builder = builder.listen(listen).expect("an address");
    }
    builder.spawn().await.expect("spawn")
}

fn attempts(error: OpenError) -> Vec<AttemptError> {
    let OpenError::Dial(DialError::Failed { attempts, .. }) = error else {
        panic!("{error}");
    };
    attempts.into_iter().map(|(_, error)| error).collect()
}

#[test]
fn who_has_the_key_can_talk() {
    on_both(|listen| async move {
        let key = SwarmKey::generate();
        let server = node(Some(&key), Some(listen)).await;
        let client = node(Some(&key), None).await;
        let mut stream = soon(client.open_stream(server.address(), ECHO))
            .await
            .expect("open");
        let sent: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut back = vec![0; sent.len()];
        let (wrote, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
        wrote.expect("write");
        read.expect("read");
        assert_eq!(back, sent);
        // What was negotiated in a public network in one round trip is so here, too.
        let connection = client.dial(server.address()).await.expect("dial");
        assert_eq!(connection.summary().round_trips, 1);
    });
}

#[test]
fn with_another_key_no_plaintext_of_libp2p_leaves_and_the_error_hints_at_the_key() {
    run(async {
        let (ours, theirs) = (SwarmKey::generate(), SwarmKey::generate());
        let server = node(Some(&theirs), Some(TCP)).await;
        let spy = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = spy.local_addr().expect("bound").port();
        let upstream = server.address();
        let relay = async {
            let (mut client, _) = spy.accept().await.expect("accept");
            let mut server = socket(&upstream).await;
            tee(&mut client, &mut server).await
        };
        let client = node(Some(&ours), None).await;
        let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", server.id());
        let (dialed, seen) = tokio::join!(soon(client.dial(address)), relay);
        let errors = attempts(dialed.expect_err("there is another network"));
        assert!(errors[0].to_string().contains("swarm key"), "{errors:?}");
        assert!(seen.len() > 24, "nonce and proposal");
        for word in [&b"multistream"[..], b"noise", b"libp2p", b"tls"] {
            assert!(!seen.windows(word.len()).any(|seen| seen == word));
        }
        assert!(server.peers().is_empty());
    });
}

/// Passes bytes on both ways until one side ends; what the first one said.
async fn tee(client: &mut TcpStream, server: &mut TcpStream) -> Vec<u8> {
    let (mut seen, mut up, mut down) = (Vec::new(), [0; 4096], [0; 4096]);
    loop {
        let (bytes, to) = tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(read @ 1..) => {
                    seen.extend_from_slice(&up[..read]);
                    (&up[..read], &mut *server)
                }
                _ => return seen,
            },
            read = server.read(&mut down) => match read {
                Ok(read @ 1..) => (&down[..read], &mut *client),
                _ => return seen,
            },
        };
        if to.write_all(bytes).await.is_err() {
            return seen;
        }
    }
}

#[test]
fn a_peer_without_the_key_is_refused_whoever_dials() {
    run(async {
        let key = SwarmKey::generate();
        for (server, client) in [(Some(&key), None), (None, Some(&key))] {
            let server = node(server, Some(TCP)).await;
            let client = node(client, None).await;
            let dialed = soon(client.dial(server.address())).await;
            let errors = attempts(dialed.expect_err("one of them is outside"));
            assert!(
                matches!(errors[..], [AttemptError::Upgrade(_)]),
                "{errors:?}"
            );
            assert!(server.peers().is_empty() && client.peers().is_empty());
        }
    });
}

#[test]
fn a_peer_that_ends_within_its_nonce_is_gone_and_the_next_one_is_served() {
    run(async {
        let key = SwarmKey::generate();
        let server = node(Some(&key), Some(TCP)).await;
        for len in [0, 1, 23, 24] {
            let mut peer = socket(&server.address()).await;
            peer.write_all(&vec![1; len]).await.expect("write");
            peer.shutdown().await.expect("shutdown");
            let mut rest = Vec::new();
            // However it ends, it ends.
            let _ = soon(peer.read_to_end(&mut rest)).await;
        }
        let client = node(Some(&key), None).await;
        soon(client.ping(server.address())).await.expect("ping");
    });
}

#[test]
fn quic_is_refused_by_name_when_a_key_is_set() {
    run(async {
        let key = SwarmKey::generate();
        let client = node(Some(&key), None).await;
        for address in [
            "/ip4/127.0.0.1/udp/4001/quic-v1",
            "/ip4/127.0.0.1/udp/4001/quic-v1/webtransport",
        ] {
            let dialed = soon(client.dial(address)).await;
            let errors = attempts(dialed.expect_err("no key covers it"));
            assert_eq!(errors, [AttemptError::PrivateNetwork], "{address}");
            let bound = client.listen(address).await;
            assert!(matches!(bound, Err(ListenError::PrivateNetwork(_))));
        }
    });
}

/// Environment variables are the process's, so another process has this one.
#[test]
fn when_the_environment_demands_a_private_network_a_node_without_key_is_refused() {
    if std::env::var_os("LIBP2P_FORCE_PNET").is_none() {
        for (value, spawns) in [("1", false), ("0", true), ("", true)] {
            let name = "pnet::when_the_environment_demands_a_private_network_a_node_without_key_is_refused";
            let again = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", name])
                .env("LIBP2P_FORCE_PNET", value)
                .env("SPAWNS", spawns.to_string())
                .output();
            let output = again.expect("it runs");
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        }
        return;
    }
    run(async {
        let spawned = Node::spawn().await;
        assert_eq!(
            spawned.is_ok(),
            std::env::var("SPAWNS").as_deref() == Ok("true")
        );
        if let Err(error) = spawned {
            assert!(matches!(error, ListenError::NoSwarmKey));
            assert!(error.to_string().contains("LIBP2P_FORCE_PNET"));
        }
        let with_key = Node::builder().private_network(SwarmKey::generate());
        with_key.spawn().await.expect("it has a key");
    });
}

#[test]
fn a_key_file_is_read_back_and_what_is_none_is_an_error() {
    let folder = std::env::temp_dir().join(format!("carrick-pnet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("swarm.key");
    let key = SwarmKey::generate();
    std::fs::write(&file, key.encode()).expect("write");
    assert_eq!(SwarmKey::load(&file), Ok(key));
    std::fs::write(&file, vec![b'x'; 1 << 20]).expect("write");
    let long = SwarmKey::load(&file).expect_err("no key");
    assert!(long.to_string().contains("above the limit"), "{long}");
    let missing = SwarmKey::load(folder.join("none")).expect_err("no file");
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
