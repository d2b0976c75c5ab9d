//! Tests of `stored_peer`.

use proptest::prelude::*;

use super::*;
use crate::fixtures::keypair;

fn stored() -> StoredPeer {
    StoredPeer {
        saved_ms: 1_700_000_000_000,
        connected: true,
        seen_ms: Some(1_699_999_999_999),
        until_ms: 1_700_000_900_000,
        addresses: vec![StoredAddress {
            address: "/ip4/1.2.3.4/tcp/1".parse().unwrap(),
            expires_ms: u64::MAX,
            source: 3,
            reach: 2,
        }],
        protocols: vec![ProtocolId::from_static("/echo/1")],
        agent: Some("carrick".into()),
        key: Some(keypair("ed25519").public()),
        seq: Some((u64::MAX, 1)),
        rtt_us: Some(1500),
        values: vec![("color".into(), b"red".to_vec())],
    }
}

#[test]
fn what_is_written_is_read() {
    for peer in [stored(), StoredPeer::default()] {
        assert_eq!(StoredPeer::decode(&peer.encode()), Ok(peer));
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = stored().encode();
    assert_eq!(bytes[..2], [8, 1]);
    bytes[1] = 2;
    let refused = StoredPeer::decode(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "stored peer has another version");
    assert!(StoredPeer::decode(&[]).is_err());
}

#[test]
fn what_is_no_address_protocol_or_key_is_left_out() {
    let mut pb = PeerPb::decode(&*stored().encode()).unwrap();
    pb.addresses[0].address = vec![0xff];
    pb.protocols[0] = "\0".repeat(5000);
    pb.key = Some(vec![1, 2, 3]);
    let read = StoredPeer::decode(&pb.encode_to_vec()).unwrap();
    assert!(read.addresses.is_empty() && read.protocols.is_empty() && read.key.is_none());
    assert_eq!(read.values, stored().values);
}

#[test]
fn a_count_and_a_size_have_their_limits() {
    let many = |count| StoredPeer {
        values: vec![(String::new(), Vec::new()); count],
        ..StoredPeer::default()
    };
    assert!(StoredPeer::decode(&many(ITEMS_MAX).encode()).is_ok());
    assert!(StoredPeer::decode(&many(ITEMS_MAX + 1).encode()).is_err());
    let large = StoredPeer {
        values: vec![(String::new(), vec![0; LEN_MAX])],
        ..StoredPeer::default()
    };
    assert!(StoredPeer::decode(&large.encode()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = StoredPeer::decode(&bytes);
    }

    #[test]
    fn a_record_that_is_cut_or_changed_does_not_panic(cut in 0usize..200, at in 0usize..200, with in any::<u8>()) {
        let mut bytes = stored().encode();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = StoredPeer::decode(&bytes);
        bytes.truncate(cut);
        let _ = StoredPeer::decode(&bytes);
    }
}
