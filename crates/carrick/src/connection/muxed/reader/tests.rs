//! When reads are short.

use super::{DENSE_FRAMES, DENSE_READ, SMALL_FRAME, Turn};

#[test]
fn reads_are_short_from_many_frames_on_until_frames_are_large() {
    let mut turn = Turn::default();
    turn.took(DENSE_FRAMES, DENSE_READ);
    assert!(!turn.is_dense);
    turn.took(DENSE_FRAMES + 1, 512 << 10);
    assert!(turn.is_dense);
    // A short read has few frames: what counts is how small they are.
    let few = DENSE_READ / SMALL_FRAME;
    turn.took(few as u64 + 1, DENSE_READ);
    assert!(turn.is_dense);
    turn.took(1, 0);
    assert!(turn.is_dense);
    turn.took(few as u64, DENSE_READ);
    assert!(!turn.is_dense);
    turn.took(few as u64 + 1, DENSE_READ);
    assert!(!turn.is_dense);
}
