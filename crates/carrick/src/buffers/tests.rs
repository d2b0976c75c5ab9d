//! Blocks with slow readers and fast ones.

use super::*;

/// Receives `len` bytes as the reader does, and keeps them.
fn receive(blocks: &mut Blocks, len: usize) -> Bytes {
    blocks.make_room();
    blocks.current().extend_from_slice(&vec![7; len]);
    let bytes = blocks.current().split_to(len).freeze();
    if blocks.must_copy() {
        copy(&bytes)
    } else {
        bytes
    }
}

#[test]
fn slow_readers_hold_a_bounded_number_of_blocks_also_when_the_peer_pauses() {
    let mut blocks = Blocks::new(BytesMut::new());
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(receive(&mut blocks, 20_000));
        blocks.rest();
        assert!(blocks.lent.len() <= LENT_MAX);
    }
    assert!(blocks.must_copy());
    held.truncate(50);
    // Copies hold no block; what is held now are the slices of the first ones.
    assert!(held.iter().all(|bytes| bytes[..] == [7; 20_000]));
    drop(held);
    blocks.rest();
    assert!(blocks.lent.is_empty() && blocks.current.capacity() == 0);
}

#[test]
fn a_block_that_is_free_again_is_used_again() {
    let mut blocks = Blocks::new(BytesMut::from(&b"from before"[..]));
    blocks.current().clear();
    for _ in 0..100 {
        let held = receive(&mut blocks, 200_000);
        drop(held);
    }
    assert!(blocks.lent.len() <= 1);
    let held = receive(&mut blocks, 10);
    blocks.rest();
    assert_eq!(blocks.lent.len(), 1);
    drop(held);
    blocks.rest();
    assert!(blocks.lent.is_empty());
}
