//! Codes and reasons: what QUIC says, in libp2p's words.

use quinn::{ApplicationClose, VarInt};

use super::*;

#[test]
fn a_code_of_more_than_32_bits_is_out_of_range_and_all_others_are_themselves() {
    assert_eq!(code(VarInt::from_u32(0)), Code::NONE);
    assert_eq!(code(VarInt::from_u32(u32::MAX)), Code(u32::MAX));
    let large = VarInt::from_u64(1 << 32).unwrap();
    assert_eq!(code(large), Code::OUT_OF_RANGE);
    assert_eq!(code(VarInt::MAX), Code::OUT_OF_RANGE);
    assert_eq!(varint(Code(u32::MAX)), VarInt::from_u32(u32::MAX));
}

#[test]
fn a_peers_close_is_clean_or_says_why() {
    for (by, expected) in [
        (0, ConnectionError::ClosedByPeer),
        (0x1005, ConnectionError::ClosedWith(Code::TRIMMED)),
        (0x1006, ConnectionError::ClosedWith(Code::SHUTDOWN)),
        (0x1001, ConnectionError::ClosedWith(Code::LIMIT)),
        (77, ConnectionError::ClosedWith(Code(77))),
    ] {
        let close = ApplicationClose {
            error_code: VarInt::from_u32(by),
            reason: bytes::Bytes::new(),
        };
        assert_eq!(
            connection_error(quinn::ConnectionError::ApplicationClosed(close)),
            expected
        );
    }
    assert_eq!(
        connection_error(quinn::ConnectionError::TimedOut),
        ConnectionError::TimedOut
    );
}
