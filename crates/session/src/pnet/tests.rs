//! The keystream: a known answer, and that it does not matter where it is cut.

use proptest::prelude::*;

use super::*;

/// From the tests of Go's `golang.org/x/crypto/salsa20`: XSalsa20 over zeros.
#[test]
fn the_stream_is_xsalsa20() {
    let mut bytes = *b"Hello world!";
    let key = Psk::new(*b"this is 32-byte key for xsalsa20");
    Keystream::new(&key, b"24-byte nonce for xsalsa").apply(&mut bytes);
    let wanted = [
        0x00, 0x2d, 0x45, 0x13, 0x84, 0x3f, 0xc2, 0x40, 0xc4, 0x01, 0xe5, 0x41,
    ];
    assert_eq!(bytes, wanted);
}

proptest! {
    #[test]
    fn wherever_it_is_cut_the_stream_is_the_same(key: [u8; 32], nonce: [u8; 24], text: Vec<u8>, cut: prop::sample::Index) {
        let key = Psk::new(key);
        let (mut whole, mut pieces) = (text.clone(), text.clone());
        Keystream::new(&key, &nonce).apply(&mut whole);
        let (front, back) = pieces.split_at_mut(cut.index(text.len() + 1));
        let mut stream = Keystream::new(&key, &nonce);
        stream.apply(front);
        stream.apply(back);
        prop_assert_eq!(&pieces, &whole);
        Keystream::new(&key, &nonce).apply(&mut whole);
        prop_assert_eq!(whole, text);
    }
}
