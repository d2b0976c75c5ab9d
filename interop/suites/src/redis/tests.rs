//! Replies from a script instead of Redis: what is understood, and that nonsense is an error and not a wait.

use super::*;
use tokio::net::TcpListener;

/// The reply to one command when Redis answers with these bytes and ends.
async fn reply_to(bytes: &'static [u8]) -> io::Result<Reply> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let script = async {
        let (mut stream, _) = listener.accept().await?;
        let mut command = [0; 14];
        stream.read_exact(&mut command).await?;
        assert_eq!(&command, b"*1\r\n$4\r\nPING\r\n");
        stream.write_all(bytes).await?;
        stream.shutdown().await
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let client = async {
        Redis::connect(&address, deadline)
            .await?
            .run(&["PING"])
            .await
    };
    let (scripted, reply) = tokio::join!(script, client);
    scripted?;
    reply
}

#[tokio::test]
async fn every_kind_of_reply_is_understood() {
    let text = |text: &str| Reply::Text(text.to_owned());
    for (bytes, wanted) in [
        (&b"+PONG\r\n"[..], text("PONG")),
        (b":-3\r\n", Reply::Number(-3)),
        (b"$5\r\na\r\nbc\r\n", text("a\r\nbc")),
        (b"$0\r\n\r\n", text("")),
        (b"$-1\r\n", Reply::Nothing),
        (b"*-1\r\n", Reply::Nothing),
        (
            b"*2\r\n$1\r\nk\r\n:1\r\n",
            Reply::List(vec![text("k"), Reply::Number(1)]),
        ),
        (b"-ERR no\r\n", Reply::Error("ERR no".to_owned())),
    ] {
        assert_eq!(reply_to(bytes).await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn what_is_no_reply_is_an_error() {
    for bytes in [
        &b""[..],
        b"\r\n",
        b"PONG\r\n",
        b"+PONG",
        b"$x\r\n",
        b"$-2\r\n",
        b"$99999999999\r\n",
        b"$5\r\nabc\r\n",
        b"$1\r\nabcd",
        b"*17\r\n",
        b"*1\r\n*1\r\n",
        b":1.5\r\n",
        b"+\xff\r\n",
        &[b'+'; 5000],
    ] {
        let reply = reply_to(bytes).await;
        assert!(
            reply.is_err(),
            "{reply:?} {}",
            String::from_utf8_lossy(bytes)
        );
    }
}
