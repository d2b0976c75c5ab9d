//! WebSocket and WSS: nodes over them, and bare clients and servers that do as they please.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use carrick::{
    Builder, ListenError, Multiaddr, Node, Stream,
    transport::{CertificateError, PipeRead, Transport, WebSocketTransport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpListener,
    time::timeout,
};

use crate::common::{
    certificates::Authority,
    raw::{Raw, socket},
    web::*,
    *,
};

const WS: &str = "/ip4/127.0.0.1/tcp/0/ws";
const WSS: &str = "/ip4/127.0.0.1/tcp/0/tls/ws";

/// Echoes, whatever else the builder says.
async fn echoing(builder: Builder) -> Node {
    let builder = builder.handle(
        ECHO,
        |mut stream: Stream| async move { stream.echo().await },
    );
    builder.spawn().await.expect("spawn")
}

/// A server on WSS with a certificate for these names, and a client that trusts its authority.
async fn secure(names: &[&str]) -> (Node, Node) {
    let authority = Authority::default();
    let (chain, key) = authority.issue(names);
    let server = Node::builder().wss_certificate(chain, key).unwrap();
    let client = Node::builder().wss_root(authority.root()).unwrap();
    (
        echoing(server.listen(WSS).unwrap()).await,
        client.spawn().await.unwrap(),
    )
}

/// The server's address with another text in it.
fn changed(server: &Node, from: &str, to: &str) -> Multiaddr {
    let text = server.address().to_string();
    assert!(text.contains(from), "{text}");
    text.replace(from, to).parse().unwrap()
}

async fn echo_at(client: &Node, address: Multiaddr) {
    let stream = soon(client.open_stream(address, ECHO)).await.unwrap();
    soon(echo_on(stream, b"through")).await.unwrap();
}

async fn failure(client: &Node, address: Multiaddr) -> String {
    soon(client.dial(address)).await.unwrap_err().to_string()
}

async fn serves_others(server: &Node) {
    soon(echo(&client().await, server, b"as ever"))
        .await
        .unwrap();
}

#[test]
fn nodes_talk_over_websocket_and_name_its_addresses() {
    run(async {
        let (server, client) = (server(WS).await, client().await);
        let address = server.address().to_string();
        assert!(address.contains("/ws/p2p/"), "{address}");
        let big = vec![5; 200_000];
        for text in [b"over the web".as_slice(), b"", b"1", &big] {
            soon(echo(&client, &server, text)).await.unwrap();
        }
        let there = back(&server, client.id()).await;
        assert!(there.address().to_string().ends_with("/ws"));
        soon(there.close()).await;
    });
}

#[test]
fn megabytes_pass_both_ways_at_once() {
    for (listen, rounds) in [(WS, 64), (WSS, 64)] {
        run(async move {
            let (server, client) = match listen {
                WSS => secure(&["127.0.0.1"]).await,
                _ => (server(listen).await, client().await),
            };
            let stream = client.open_stream(server.address(), ECHO).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            let part: Vec<u8> = (0..100_003).map(|n| (n % 251) as u8).collect();
            let write = async {
                for _ in 0..rounds {
                    writer.write_all(&part).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let read = async {
                let mut back = vec![0; part.len()];
                for _ in 0..rounds {
                    reader.read_exact(&mut back).await.unwrap();
                    assert!(back == part);
                }
            };
            tokio::join!(write, read);
        });
    }
}

/// Waits until a reader says that a read would wait; until then reads give nothing.
async fn is_idle(reader: &mut dyn PipeRead) {
    let idle = poll_fn(|cx| {
        if reader.poll_readable(cx).is_pending() {
            return Poll::Ready(());
        }
        // TLS had something to say to itself.
        let mut byte = [0];
        let read = Pin::new(&mut *reader).poll_read(cx, &mut ReadBuf::new(&mut byte));
        assert!(read.is_pending(), "nothing was sent");
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    soon(idle).await;
}

#[test]
fn an_idle_pipe_needs_no_buffer_to_wait() {
    run(async {
        let authority = Authority::default();
        let (chain, key) = authority.issue(&["127.0.0.1"]);
        let transport = WebSocketTransport::new();
        let transport = transport.with_certificate(chain, key).unwrap();
        let transport = transport.with_root(authority.root()).unwrap();
        for address in [WS, WSS] {
            let mut listener = transport.listen(address.parse().unwrap()).await.unwrap();
            let address = listener.addresses().remove(0);
            let (near, far) = tokio::join!(transport.dial(address), listener.accept());
            let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
            for _ in 0..6 {
                is_idle(&mut *near.reader).await;
                is_idle(&mut *far.reader).await;
                near.writer.write_all(b"?").await.unwrap();
                near.writer.flush().await.unwrap();
                soon(poll_fn(|cx| far.reader.poll_readable(cx)))
                    .await
                    .unwrap();
                assert_eq!(soon(far.reader.read_u8()).await.unwrap(), b'?');
                std::mem::swap(&mut near, &mut far);
            }
            near.writer.shutdown().await.unwrap();
            soon(poll_fn(|cx| far.reader.poll_readable(cx)))
                .await
                .unwrap();
            assert_eq!(soon(far.reader.read(&mut [0; 1])).await.unwrap(), 0);
        }
    });
}

#[test]
fn only_the_path_of_the_address_is_served() {
    run(async {
        let server = server(&format!("{WS}/http-path/p2p%2Fin")).await;
        echo_at(&client().await, server.address()).await;
        for other in ["", "/http-path/p2p", "/http-path/P2P%2Fin"] {
            let text = failure(
                &client().await,
                changed(&server, "/http-path/p2p%2Fin", other),
            )
            .await;
            assert!(text.contains("404 Not Found"), "{text}");
        }
    });
}

#[test]
fn any_path_is_served_where_the_address_has_none() {
    run(async {
        let (server, client) = (server(WS).await, client().await);
        echo_at(
            &client,
            changed(&server, "/ws", "/ws/http-path/any%20where"),
        )
        .await;
    });
}

#[test]
fn wss_is_trusted_by_ip_and_by_name() {
    run(async {
        let (server, client) = secure(&["127.0.0.1", "carrick.example"]).await;
        assert!(server.address().to_string().contains("/tls/ws/p2p/"));
        echo_at(&client, server.address()).await;
        let there = back(&server, client.id()).await;
        assert!(there.address().to_string().ends_with("/tls/ws"));
        for same in ["/wss", "/tls/sni/carrick.example/ws"] {
            client.dial(server.id()).await.unwrap().close().await;
            echo_at(&client, changed(&server, "/tls/ws", same)).await;
        }
    });
}

#[test]
fn a_certificate_that_does_not_fit_is_refused_with_the_reason() {
    run(async {
        let (server, trusting) = secure(&["carrick.example"]).await;
        let named = changed(&server, "/tls/ws", "/tls/sni/carrick.example/ws");
        let text = failure(&client().await, named).await;
        assert!(
            text.contains("UnknownIssuer") && text.contains("wss_root"),
            "{text}"
        );
        for other in ["/tls/ws", "/tls/sni/other.example/ws"] {
            let text = failure(&trusting, changed(&server, "/tls/ws", other)).await;
            assert!(text.contains("not valid for name"), "{text}");
        }
        let text = failure(
            &trusting,
            changed(&server, "/tls/ws", "/tls/sni/no%name/ws"),
        )
        .await;
        assert!(text.contains("invalid dns name"), "{text}");
        // WebSocket without TLS where TLS is meant, and the reverse.
        let text = failure(&trusting, changed(&server, "/tls/ws", "/ws")).await;
        assert!(
            text.contains("HTTP answer") || text.contains("end of file"),
            "{text}"
        );
        let plain = crate::common::server(WS).await;
        let text = failure(&trusting, changed(&plain, "/ws", "/tls/ws")).await;
        assert!(text.contains("TLS with 127.0.0.1"), "{text}");
    });
}

#[test]
fn what_wss_lacks_is_named_with_its_file() {
    run(async {
        let error = client().await.listen(WSS).await.unwrap_err();
        assert!(matches!(error, ListenError::Io { .. }));
        assert!(error.to_string().contains("wss_certificate"), "{error}");
    });
    let authority = Authority::default();
    let (chain, key) = authority.issue(&["a.example"]);
    let (_, other_key) = authority.issue(&["b.example"]);
    let empty = authority.file("empty.pem", b"");
    let broken = authority.file(
        "broken.pem",
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    let strange = authority.file(
        "strange.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let missing = authority.path().join("missing.pem");
    let certify = |chain, key| Node::builder().wss_certificate(chain, key).unwrap_err();
    for (error, file) in [
        (certify(&missing, &key), &missing),
        (certify(&chain, &missing), &missing),
        (certify(&empty, &key), &empty),
        (certify(&key, &key), &key),
        (certify(&broken, &key), &broken),
        (certify(&strange, &key), &key),
        (certify(&chain, &empty), &empty),
        (certify(&chain, &chain), &chain),
        (certify(&chain, &other_key), &other_key),
        (Node::builder().wss_root(&missing).unwrap_err(), &missing),
        (Node::builder().wss_root(&empty).unwrap_err(), &empty),
        (Node::builder().wss_root(&strange).unwrap_err(), &strange),
    ] {
        let text = error.to_string();
        assert!(text.contains(&file.display().to_string()), "{text}");
    }
    assert!(matches!(
        certify(&chain, &chain),
        CertificateError::NoKey { .. }
    ));
    assert!(matches!(
        certify(&key, &key),
        CertificateError::NoCertificate { .. }
    ));
}

/// Reads on until a goodbye, and gives its code.
async fn goodbye(socket: &mut tokio::net::TcpStream) -> Option<u16> {
    loop {
        match soon(read_frame(socket)).await? {
            (CLOSE, payload) => return Some(u16::from_be_bytes(payload[..2].try_into().unwrap())),
            (BINARY, _) => {}
            (first, _) => panic!("{first:x}"),
        }
    }
}

#[test]
fn frames_that_are_not_allowed_close_their_connection_only() {
    run(async {
        let server = server(WS).await;
        let unmasked = [BINARY, 4, 1, 2, 3, 4];
        let endless = [&[BINARY, 0xff][..], &(1u64 << 63).to_be_bytes(), &[0; 8]].concat();
        let too_long = [
            &[BINARY, 0xff][..],
            &((1u64 << 20) + 1).to_be_bytes(),
            &[0; 8],
        ]
        .concat();
        for (sent, code) in [
            (unmasked.to_vec(), 1002),
            (endless, 1009),
            (too_long, 1009),
            (frame(TEXT, b"\x13/multistream/1.0.0\n"), 1003),
            (frame(PING, &[0; 126]), 1002),
            (frame(0xc2, b"deflated"), 1002),
            (frame(0x80, b"continues nothing"), 1002),
        ] {
            let mut socket = web(&server.address()).await;
            socket.write_all(&sent).await.unwrap();
            assert_eq!(goodbye(&mut socket).await, Some(code), "{sent:?}");
            assert!(
                soon(read_frame(&mut socket)).await.is_none(),
                "it is closed"
            );
        }
        serves_others(&server).await;
    });
}

#[test]
fn pings_and_a_goodbye_are_answered_before_and_between_data() {
    run(async {
        let server = server(WS).await;
        let mut socket = web(&server.address()).await;
        socket
            .write_all(&frame(PING, b"are you there"))
            .await
            .unwrap();
        let mut pong = None;
        while pong.is_none() {
            let (first, payload) = soon(read_frame(&mut socket)).await.unwrap();
            pong = (first == 0x8a).then_some(payload);
        }
        assert_eq!(pong.unwrap(), b"are you there");
        socket
            .write_all(&frame(CLOSE, &1000u16.to_be_bytes()))
            .await
            .unwrap();
        assert_eq!(goodbye(&mut socket).await, Some(1000));
    });
}

#[test]
fn a_flood_of_pings_and_empty_frames_hurts_nobody() {
    run(async {
        let server = server(WS).await;
        let mut socket = web(&server.address()).await;
        let mut flood = frame(PING, &[7; 125]).repeat(50);
        flood.extend(frame(BINARY, b"").repeat(50));
        flood.extend(frame(0x02, b""));
        flood.extend(frame(0x00, b"").repeat(50));
        flood.extend(frame(0x80, b""));
        for _ in 0..400 {
            // Its upgrade ends before it has read everything.
            if socket.write_all(&flood).await.is_err() {
                break;
            }
        }
        serves_others(&server).await;
    });
}

#[test]
fn frames_of_one_byte_carry_a_whole_session() {
    run(async {
        let server = server(WS).await;
        let socket = byte_by_byte(web(&server.address()).await).await;
        let mut raw = soon(Raw::upgrade(socket, carrick_session::Role::Dialer)).await;
        let key = raw.ask(ECHO, b"in single bytes").await;
        raw.mux.finish(key).unwrap();
        raw.flush().await;
        let mut all = Vec::new();
        while let carrick_session::Read::Data(bytes) = soon(raw.read(key)).await.unwrap() {
            all.extend_from_slice(&bytes);
        }
        assert!(all.ends_with(b"in single bytes"));
    });
}

#[test]
fn http_that_asks_for_something_else_is_answered_and_closed() {
    run(async {
        let server = server(WS).await;
        for (request, status) in [
            (REQUEST.replace("websocket", "h2c"), "400"),
            (REQUEST.replace("Sec-WebSocket-Key", "X"), "400"),
            (REQUEST.replace("Version: 13", "Version: 12"), "426"),
            (REQUEST.replace("GET", "POST"), "400"),
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "400"),
            (
                REQUEST.replace("Host: h", &format!("Host: {}", "h".repeat(9000))),
                "431",
            ),
        ] {
            let mut socket = socket(&server.address()).await;
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            soon(socket.read_to_string(&mut answer)).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        serves_others(&server).await;
    });
}

/// Sends this and no more; true when the other side closes.
async fn is_given_up(address: &Multiaddr, bytes: &[u8], finish: bool) -> bool {
    let mut socket = socket(address).await;
    // It may be closed before all is written.
    let _ = socket.write_all(bytes).await;
    if finish {
        let _ = socket.shutdown().await;
    }
    let closed = async { while matches!(socket.read(&mut [0; 4096]).await, Ok(1..)) {} };
    timeout(Duration::from_secs(15), closed).await.is_ok()
}

#[test]
fn garbage_of_every_length_is_given_up() {
    run(async {
        let (plain, (secure, _)) = (server(WS).await, secure(&["127.0.0.1"]).await);
        let shared = crate::shared_port::server().await;
        let mut garbage = Vec::new();
        for length in (0..64).chain([255, 256, 1000, 4096, 10_000]) {
            garbage.push(
                (0..length)
                    .map(|n| (n * 7 + length) as u8)
                    .collect::<Vec<u8>>(),
            );
            garbage.push(
                b"GET / HTTP/1.1\r\n"
                    .iter()
                    .copied()
                    .cycle()
                    .take(length)
                    .collect(),
            );
            garbage.push(
                b"\x16\x03\x01\x02\x00\x01"
                    .iter()
                    .copied()
                    .cycle()
                    .take(length)
                    .collect(),
            );
            garbage.push(
                b"\x13/multistream/1.0.0\n"
                    .iter()
                    .copied()
                    .cycle()
                    .take(length)
                    .collect(),
            );
        }
        for address in [plain.address(), secure.address(), shared.address()] {
            let all = garbage
                .iter()
                .map(|bytes| is_given_up(&address, bytes, true));
            assert!(
                futures::future::join_all(all)
                    .await
                    .into_iter()
                    .all(|closed| closed)
            );
        }
        serves_others(&plain).await;
        serves_others(&shared).await;
    });
}

#[test]
fn who_is_silent_or_slow_is_given_up_and_keeps_nobody_waiting() {
    run(async {
        let (server, (secure, trusting)) = (server(WS).await, secure(&["127.0.0.1"]).await);
        let mut slow = Vec::new();
        for address in [server.address(), secure.address()] {
            for _ in 0..100 {
                let address = address.clone();
                slow.push(tokio::spawn(async move {
                    is_given_up(&address, b"", false).await
                }));
            }
        }
        let half = server.address();
        slow.push(tokio::spawn(async move {
            is_given_up(&half, &REQUEST.as_bytes()[..50], false).await
        }));
        serves_others(&server).await;
        soon(echo(&trusting, &secure, b"as ever")).await.unwrap();
        for slow in slow {
            assert!(slow.await.unwrap());
        }
    });
}

#[test]
fn half_open_handshakes_keep_nobody_out_and_the_oldest_makes_room() {
    run(async {
        let server = server(WS).await;
        let mut sockets = Vec::new();
        for _ in 0..256 {
            sockets.push(socket(&server.address()).await);
        }
        // There is room for another as soon as the oldest has had a fair time, though none of them goes.
        let let_in =
            async { while soon(echo(&client().await, &server, b"room")).await.is_err() {} };
        soon(let_in).await;
        let oldest = soon(sockets[0].read(&mut [0; 1])).await;
        assert!(matches!(oldest, Ok(0) | Err(_)), "{oldest:?}");
        // And for one more as soon as one of them has gone.
        sockets.pop();
        let again = async { while soon(echo(&client().await, &server, b"room")).await.is_err() {} };
        soon(again).await;
    });
}

#[test]
fn a_server_that_is_none_is_named_with_its_status() {
    run(async {
        for (answer, says) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
            (
                "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\n\r\n",
                "redirects to \"/elsewhere\"",
            ),
            ("\x13/multistream/1.0.0\n", "HTTP answer"),
            ("", "end of file"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!("{}/ws", address_of(listener.local_addr().unwrap()));
            let serve = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                read_head(&mut socket).await;
                socket.write_all(answer.as_bytes()).await.unwrap();
            };
            let client = client().await;
            let (text, ()) = tokio::join!(failure(&client, address.parse().unwrap()), serve);
            assert!(text.contains(says), "{text}");
        }
    });
}
