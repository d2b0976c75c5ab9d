//! Records from one end to the other, without a socket.

use super::*;

fn ends(suite: Suite) -> (Records, Records) {
    let records = |dialer: bool| Records::new(suite, dialer).unwrap();
    (records(true), records(false))
}

#[test]
fn any_length_arrives_in_any_pieces() {
    for suite in [NOISE, TLS] {
        let (mut dialer, mut listener) = ends(suite);
        let data: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut wire = BytesMut::new();
        for chunk in [&data[..1], &data[1..65_520], &data[65_520..]] {
            dialer.encode(chunk, &mut wire).unwrap();
        }
        let (mut inbox, mut arrived) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(10_007) {
            inbox.extend_from_slice(piece);
            while let Some(plain) = listener.decode(&mut inbox).unwrap() {
                arrived.extend_from_slice(&plain);
            }
        }
        assert!(arrived == data && inbox.is_empty());
    }
}

#[test]
fn a_changed_byte_is_refused() {
    let (mut dialer, mut listener) = ends(NOISE);
    let mut wire = BytesMut::new();
    dialer.encode(b"hello", &mut wire).unwrap();
    wire[4] ^= 1;
    let refused = listener.decode(&mut wire).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
}
