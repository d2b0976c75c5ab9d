//! Requests and answers that are refused, and how.

use tokio::io::{DuplexStream, duplex};

use super::*;

const GOOD: &str = "GET /a%2fb HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// What a server answers, and what came behind the request.
async fn ask(request: &[u8], path: Option<&str>) -> (String, io::Result<BytesMut>) {
    let (mut client, mut server) = duplex(64 << 10);
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let accepted = accept(&mut server, path).await;
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    (answer, accepted)
}

#[tokio::test]
async fn a_request_is_answered_and_what_follows_it_is_kept() {
    for path in [None, Some("/a/b"), Some("/a%2Fb")] {
        let (answer, accepted) = ask(format!("{GOOD}\r\nframes").as_bytes(), path).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // The example of RFC 6455 §1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert_eq!(accepted.unwrap(), "frames");
    }
}

#[tokio::test]
async fn deflate_and_subprotocols_may_be_offered_and_are_not_agreed_to() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n";
    let (answer, accepted) = ask(format!("{GOOD}{offer}\r\n").as_bytes(), None).await;
    accepted.unwrap();
    assert!(
        !answer.contains("deflate") && !answer.contains("chat"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_that_is_none_gets_its_status() {
    let lines = |n| "X: y\r\n".repeat(n);
    for (request, path, status) in [
        (
            GOOD.replace("Upgrade: WebSocket", "Upgrade: h2c"),
            None,
            400,
        ),
        (GOOD.replace("keep-alive, Upgrade", "keep-alive"), None, 400),
        (GOOD.replace("Sec-WebSocket-Key", "Key"), None, 400),
        (GOOD.replace("Version: 13", "Version: 8"), None, 426),
        (GOOD.replace("Sec-WebSocket-Version: 13\r\n", ""), None, 426),
        (GOOD.replace("HTTP/1.1", "HTTP/1.0"), None, 400),
        (GOOD.replace("HTTP/1.1", "HTTP/7"), None, 400),
        (GOOD.replace("GET", "POST"), None, 400),
        (GOOD.replace("/a%2fb", "/"), Some("/a/b"), 404),
        (GOOD.replace("/a%2fb", "no path"), None, 400),
        (format!("{GOOD}{}", lines(200)), None, 400),
        (format!("{GOOD}X: {}\r\n", "y".repeat(10_000)), None, 431),
        ("\u{13}/multistream/1.0.0\n".to_owned(), None, 400),
    ] {
        let (answer, accepted) = ask(format!("{request}\r\n").as_bytes(), path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains("Connection: close"), "{answer}");
        assert!(
            accepted
                .unwrap_err()
                .to_string()
                .contains(&status.to_string())
        );
        assert_eq!(status == 426, answer.contains("Sec-WebSocket-Version: 13"));
    }
}

#[tokio::test]
async fn a_head_in_single_bytes_is_read_and_half_a_head_is_not() {
    let request = format!("{GOOD}\r\n");
    let (mut client, mut server) = duplex(1);
    let (mut answers, sender) = (String::new(), async {
        client.write_all(request.as_bytes()).await.unwrap();
        client
    });
    let (client, accepted) = tokio::join!(
        async {
            let mut client = sender.await;
            client.read_to_string(&mut answers).await.unwrap();
        },
        async {
            let accepted = accept(&mut server, None).await;
            drop(server);
            accepted
        }
    );
    let () = client;
    assert_eq!(accepted.unwrap(), "");
    assert!(answers.starts_with("HTTP/1.1 101 "));
    for end in 0..GOOD.len() {
        let (answer, accepted) = ask(&GOOD.as_bytes()[..end], None).await;
        assert_eq!(answer, "");
        assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

/// A server that answers with this, `ACCEPT` being replaced by what it should be.
async fn served(answer: &str) -> io::Result<BytesMut> {
    let (mut client, server) = duplex(64 << 10);
    let (connected, _server) =
        tokio::join!(connect(&mut client, "h", "/p"), respond(server, answer));
    connected
}

async fn respond(mut server: DuplexStream, answer: &str) -> DuplexStream {
    let mut head = BytesMut::new();
    let request: Request = read_head(&mut server, b"GET /p ", &mut head)
        .await
        .unwrap()
        .unwrap();
    let accept = derive_accept_key(request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes());
    let answer = answer.replace("ACCEPT", &accept);
    server.write_all(answer.as_bytes()).await.unwrap();
    server.shutdown().await.unwrap();
    server
}

const YES: &str = "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: x, upgrade\r\nsec-websocket-accept: ACCEPT\r\n";

#[tokio::test]
async fn a_client_takes_what_follows_the_answer() {
    assert_eq!(
        served(&format!("{YES}\r\n\u{2}\u{0}")).await.unwrap(),
        "\u{2}\u{0}"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_agreement_says_what_it_is() {
    for (answer, says) in [
        ("HTTP/1.1 404 Not Found\r\n".to_owned(), "404 Not Found"),
        ("HTTP/1.1 503 Busy\r\n".to_owned(), "503"),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://else.example/\r\n".to_owned(),
            "https://else.example/",
        ),
        ("HTTP/1.1 301 Moved\r\n".to_owned(), "not followed"),
        (
            YES.replace("ACCEPT", "dGhlIHNhbXBsZSBub25jZQ=="),
            "another request",
        ),
        (
            YES.replace("upgrade: websocket", "upgrade: h2c"),
            "something else",
        ),
        (
            format!("{YES}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "not offered",
        ),
        (
            format!("{YES}Sec-WebSocket-Protocol: chat\r\n"),
            "not offered",
        ),
        ("\u{13}/multistream/1.0.0\n".to_owned(), "not one"),
        (format!("HTTP/1.1 101 {}", "x".repeat(10_000)), "not one"),
        ("HTTP/1.1 101".to_owned(), "unexpected end"),
    ] {
        let error = served(&format!("{answer}\r\n")).await.unwrap_err();
        assert!(error.to_string().contains(says), "{answer}: {error}");
    }
}
