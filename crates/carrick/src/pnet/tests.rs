//! The hidden pipe by itself: what leaves, what is refused, what is kept.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const NONCE: usize = Keystream::NONCE_LEN;

fn pair() -> (Pipe, DuplexStream, SwarmKey) {
    let key = SwarmKey::generate();
    let (ours, theirs) = duplex(1 << 20);
    (protect(Some(&key), Pipe::new(ours)), theirs, key)
}

fn shown(key: &SwarmKey, wire: &[u8]) -> Vec<u8> {
    let (nonce, hidden) = wire.split_first_chunk().expect("a nonce");
    let mut plain = hidden.to_vec();
    Keystream::new(&key.0, nonce).apply(&mut plain);
    plain
}

#[tokio::test]
async fn the_nonce_leaves_with_the_first_bytes_and_is_new_for_each_pipe_and_direction() {
    let mut nonces = Vec::new();
    for _ in 0..8 {
        let (mut pipe, mut theirs, key) = pair();
        pipe.writer.write_all(b"hello").await.unwrap();
        let mut wire = vec![0; 100];
        let read = theirs.read(&mut wire).await.unwrap();
        // No answer was needed in between.
        assert_eq!(shown(&key, &wire[..read]), b"hello");
        nonces.push(wire[..NONCE].to_vec());
        pipe.writer.write_all(b"again").await.unwrap();
        assert_eq!(theirs.read(&mut wire).await.unwrap(), 5);
    }
    let (mut one, theirs, key) = pair();
    let mut two = protect(Some(&key), Pipe::new(theirs));
    one.writer.write_all(b"a").await.unwrap();
    two.writer.write_all(b"a").await.unwrap();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 8);
    assert_eq!(one.reader.read_u8().await.unwrap(), b'a');
    assert_eq!(two.reader.read_u8().await.unwrap(), b'a');
}

#[tokio::test]
async fn a_nonce_that_ends_short_is_an_error_and_no_nonce_at_all_an_end() {
    for len in 0..=NONCE {
        let (mut pipe, mut theirs, _) = pair();
        theirs.write_all(&vec![7; len]).await.unwrap();
        theirs.shutdown().await.unwrap();
        let read = pipe.reader.read(&mut [0; 10]).await;
        match len {
            0 | NONCE => assert_eq!(read.unwrap(), 0, "{len}"),
            _ => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
        }
    }
}

#[tokio::test]
async fn bytes_arrive_whole_through_pipes_that_take_and_give_little() {
    for size in [1, 7, NONCE, 1000] {
        let key = SwarmKey::generate();
        let (one, two) = duplex(size);
        let mut one = protect(Some(&key), Pipe::new(one));
        let mut two = protect(Some(&key), Pipe::new(two));
        let sent: Vec<u8> = (0..=250).cycle().take(WRITE_MAX + 3).collect();
        let write = async {
            one.writer.write_all(&sent).await.unwrap();
            one.writer.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(write, two.reader.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(got, sent, "{size}");
    }
}

#[test]
fn what_brings_its_own_security_is_beyond_a_private_network() {
    for (address, beyond) in [
        ("/ip4/127.0.0.1/udp/1/quic-v1", true),
        ("/ip4/127.0.0.1/udp/1/quic", true),
        ("/dns4/example.org/udp/1/quic-v1/webtransport", true),
        ("/ip4/127.0.0.1/udp/1/webrtc-direct", true),
        ("/ip4/127.0.0.1/tcp/1", false),
        ("/ip4/127.0.0.1/tcp/1/tls/ws", false),
        ("/memory/1", false),
        ("/unix/tmp%2Fx", false),
    ] {
        assert_eq!(is_beyond(&address.parse().unwrap()), beyond, "{address}");
    }
}

#[test]
fn neither_debug_nor_an_error_shows_the_key() {
    let key = SwarmKey::generate();
    let digits = key.encode().lines().nth(2).unwrap().to_owned();
    assert_eq!(
        format!("{key:?}"),
        format!("SwarmKey({})", key.fingerprint())
    );
    let bad = key.encode().replace("base16", "base64");
    let error = SwarmKey::decode(bad.as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&digits));
}
