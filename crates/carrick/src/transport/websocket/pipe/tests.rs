//! Two pipes joined, and one pipe with a bare peer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    time::timeout,
};

use super::*;

struct Half(ReadHalf<DuplexStream>);

impl PipeRead for Half {}

impl AsyncRead for Half {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

fn over(end: End, stream: DuplexStream) -> Pipe {
    let (reader, writer): (_, WriteHalf<_>) = split(stream);
    pipe(end, Half(reader), writer, BytesMut::new())
}

/// A server's pipe and the client's end of its stream.
fn bare(size: usize) -> (DuplexStream, Pipe) {
    let (client, server) = duplex(size);
    (client, over(End::Server, server))
}

/// A client's frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("hangs")
}

#[tokio::test]
async fn bytes_of_any_amount_pass_through_any_stream_both_ways() {
    for (stream, size, count) in [
        (1, 1, 300),
        (7, 100, 50),
        (4096, 70_000, 20),
        (1 << 20, 600_000, 3),
    ] {
        let (here, there) = duplex(stream);
        let (client, server) = (over(End::Client, here), over(End::Server, there));
        let one_way = |mut writer: Box<dyn AsyncWrite + Send + Unpin>,
                       mut reader: Box<dyn PipeRead>| async move {
            let sent: Vec<u8> = (0..size * count).map(|n| (n % 251) as u8).collect();
            let send = async {
                for part in sent.chunks(size) {
                    writer.write_all(part).await.unwrap();
                    writer.flush().await.unwrap();
                }
            };
            let mut all = vec![0; sent.len()];
            let ((), read) = tokio::join!(send, reader.read_exact(&mut all));
            read.unwrap();
            assert_eq!(all, sent);
        };
        soon(async {
            tokio::join!(
                one_way(client.writer, server.reader),
                one_way(server.writer, client.reader)
            )
        })
        .await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_whoever_is_there() {
    let (mut client, mut server) = bare(1 << 10);
    client.write_all(&frame(0x89, b"idle")).await.unwrap();
    client.write_all(&frame(0x82, b"data")).await.unwrap();
    let mut read = [0; 4];
    soon(server.reader.read_exact(&mut read)).await.unwrap();
    let mut answer = [0; 6];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, *b"\x8a\x04idle");
    // The writer is in the middle of a frame: the answer comes after it.
    let long = vec![9; 2000];
    let (mut all, mut writer) = (vec![0; 4 + 2000 + 6], server.writer);
    let write = async {
        writer.write_all(&long).await.unwrap();
        writer.flush().await.unwrap();
    };
    let talk = async {
        client.write_all(&frame(0x89, b"busy")).await.unwrap();
        client.write_all(&frame(0x82, b"data")).await.unwrap();
        client.read_exact(&mut all).await.unwrap();
    };
    soon(async { tokio::join!(write, server.reader.read_exact(&mut read), talk) })
        .await
        .1
        .unwrap();
    assert_eq!(all[2004..], *b"\x8a\x04busy");
}

#[tokio::test]
async fn pings_whose_answers_are_not_read_pile_up_nowhere() {
    let (client, server) = duplex(1 << 10);
    let (mut peer, flood) = split(client);
    let (reader, writer) = split(server);
    let output = Arc::new(Mutex::new(Output::new(End::Server, writer)));
    let mut reader = Reader::new(End::Server, Half(reader), BytesMut::new(), output.clone());
    let send = async move {
        let mut flood = flood;
        for _ in 0..20_000 {
            flood.write_all(&frame(0x89, &[7; 125])).await.unwrap();
        }
        flood.write_all(&frame(0x82, b"!")).await.unwrap();
    };
    let mut read = [0; 1];
    let (read, ()) = soon(async { tokio::join!(reader.read_exact(&mut read), send) }).await;
    read.unwrap();
    assert!(lock(&output).pending.capacity() <= 256);
    // And who reads again gets the last answer whole.
    let mut some = vec![0; 127];
    soon(peer.read_exact(&mut some)).await.unwrap();
    assert_eq!(some[..2], [0x8a, 125]);
}

#[tokio::test]
async fn a_million_continuations_hold_nothing() {
    let (mut client, mut server) = bare(64 << 10);
    let send = async {
        client.write_all(&frame(0x02, b"<")).await.unwrap();
        let some = frame(0x00, b"").repeat(10_000);
        for _ in 0..100 {
            client.write_all(&some).await.unwrap();
        }
        client.write_all(&frame(0x80, b">")).await.unwrap();
    };
    let mut read = [0; 2];
    let (read_all, ()) =
        soon(async { tokio::join!(server.reader.read_exact(&mut read), send) }).await;
    read_all.unwrap();
    assert_eq!(&read, b"<>");
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_so_does_who_hears_it() {
    let (mut client, mut server) = bare(1 << 10);
    server.writer.write_all(b"last").await.unwrap();
    server.writer.shutdown().await.unwrap();
    assert!(server.writer.write_all(b"more").await.is_err());
    let mut all = Vec::new();
    soon(client.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"\x82\x04last\x88\x02\x03\xe8");

    let (mut client, mut server) = bare(1 << 10);
    client
        .write_all(&frame(0x88, &[3, 233, b'b']))
        .await
        .unwrap();
    assert_eq!(soon(server.reader.read(&mut [0; 10])).await.unwrap(), 0);
    assert_eq!(soon(server.reader.read(&mut [0; 10])).await.unwrap(), 0);
    let mut answer = [0; 4];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, *b"\x88\x02\x03\xe9");
    assert!(server.writer.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_end() {
    for end in [&b""[..], &[0x82], &frame(0x82, b"half")[..7]] {
        let (mut client, mut server) = bare(1 << 10);
        client.write_all(end).await.unwrap();
        drop(client);
        let mut all = Vec::new();
        soon(server.reader.read_to_end(&mut all)).await.unwrap();
        assert!(all.len() < 4);
    }
}

#[tokio::test]
async fn a_violation_is_an_error_and_the_peer_is_told() {
    for (sent, code) in [
        (frame(0x81, b"text"), 1003u16),
        (b"\x82\x04bare".to_vec(), 1002),
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), 1009),
    ] {
        let (mut client, mut server) = bare(1 << 10);
        client.write_all(&sent).await.unwrap();
        let error = soon(server.reader.read(&mut [0; 10])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut answer = [0; 4];
        soon(client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..2], [0x88, 2]);
        assert_eq!(answer[2..], code.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_between_data_cost_no_byte_and_the_last_one_is_answered() {
    for size in [16, 300, 20_000] {
        let (client, server) = bare(size);
        let (mut from_server, mut to_server) = split(client);
        let (mut reader, mut writer) = (server.reader, server.writer);
        let send = tokio::spawn(async move {
            for n in 0..1000u16 {
                let mut frames = frame(0x82, &n.to_be_bytes());
                frames.extend(frame(0x89, &n.to_be_bytes()));
                to_server.write_all(&frames).await.unwrap();
            }
            to_server
        });
        let read = tokio::spawn(async move {
            let mut all = vec![0; 2000];
            reader.read_exact(&mut all).await.unwrap();
            // A reader is polled on, and so it answers.
            let end = reader.read(&mut [0; 1]).await;
            (all, end.unwrap())
        });
        let write = tokio::spawn(async move {
            for _ in 0..1000 {
                writer.write_all(&[7; 100]).await.unwrap();
                writer.flush().await.unwrap();
            }
            writer
        });
        let (mut data, mut last) = (0, Vec::new());
        while data < 100_000 || last != 999u16.to_be_bytes() {
            let (first, length) = (
                soon(from_server.read_u8()).await.unwrap(),
                from_server.read_u8().await.unwrap(),
            );
            let mut payload = vec![0; usize::from(length)];
            soon(from_server.read_exact(&mut payload)).await.unwrap();
            match first {
                0x82 => data += payload.len(),
                0x8a => last = payload,
                first => panic!("{first:x}"),
            }
        }
        drop((soon(send).await.unwrap(), from_server));
        let (all, end) = soon(read).await.unwrap();
        assert!(
            all.chunks(2)
                .enumerate()
                .all(|(n, bytes)| bytes == (n as u16).to_be_bytes())
        );
        assert_eq!((data, end), (100_000, 0));
        drop(soon(write).await.unwrap());
    }
}
