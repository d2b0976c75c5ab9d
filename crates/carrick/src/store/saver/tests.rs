//! What waits while nothing can be written.

use super::*;

fn change(n: usize, len: usize) -> Change {
    (format!("peer/{n}"), Some(vec![0; len]))
}

#[test]
fn what_waits_is_bounded_in_bytes_and_in_records() {
    let mut waiting = Unwritten::default();
    for n in 0..64 {
        waiting.add(change(n, 1 << 20));
    }
    waiting.add(change(64, 1));
    assert_eq!((waiting.records.len(), waiting.bytes), (64, 64 << 20));
    // A newer record takes the place of the older one, and a removal makes room.
    waiting.add(change(0, 1 << 20));
    waiting.add(("peer/1".to_owned(), None));
    waiting.add(change(64, 1));
    assert_eq!(waiting.records.len(), 65);

    let mut waiting = Unwritten::default();
    for n in 0..=RECORDS_MAX {
        waiting.add(change(n, 0));
    }
    assert_eq!(waiting.changes().len(), RECORDS_MAX);
}
