//! Records and receive queues.

use super::*;

const LAYOUT: Layout = Layout {
    head: 2,
    body_max: 10,
    tail: 3,
};

/// What is in the records: the bodies, each framed by `<<` and `>>>`.
fn sealed(records: &mut Records) -> Vec<u8> {
    let seal = |head: &mut [u8], rest: &mut [u8]| {
        let (body, tail) = rest.split_at_mut(rest.len() - LAYOUT.tail);
        assert!(!body.is_empty() && body.len() <= LAYOUT.body_max);
        head.copy_from_slice(b"<<");
        tail.copy_from_slice(b">>>");
        Ok::<_, ()>(())
    };
    records.seal(seal).unwrap();
    records.as_slice().to_vec()
}

#[test]
fn plaintext_of_any_length_fills_records_one_after_the_other() {
    for len in 0..50_u8 {
        let plain: Vec<_> = (0..len).map(|i| b'a' + i % 26).collect();
        let expected: Vec<_> = plain
            .chunks(10)
            .flat_map(|body| [b"<<", body, b">>>"].concat())
            .collect();
        for step in 1..=12 {
            let mut records = Records::new(LAYOUT);
            plain.chunks(step).for_each(|piece| records.push(piece));
            assert_eq!(records.is_empty(), len == 0);
            assert_eq!(
                sealed(&mut records),
                expected,
                "{len} bytes in steps of {step}"
            );
        }
    }
}

#[test]
fn cleared_records_start_over() {
    let mut records = Records::new(LAYOUT);
    for _ in 0..3 {
        records.push(b"abc");
        assert_eq!(sealed(&mut records), b"<<abc>>>");
        records.clear();
        assert!(records.is_empty());
    }
    records.push(b"x");
    assert_eq!(records.take_memory().capacity(), 0, "it is in use");
    let small = records.give_memory(Vec::with_capacity(1 << 10));
    assert!(small.capacity() > 0 && small.capacity() < 1 << 10);
    assert_eq!(sealed(&mut records), b"<<x>>>");
    records.clear();
    assert_eq!(records.take_memory().capacity(), 1 << 10);
    assert_eq!(records.spare_capacity(), 0);
}

#[test]
fn a_queue_gives_back_what_it_got_in_order_and_copies_only_small_pieces() {
    let mut queue = RecvQueue::default();
    let large = Bytes::from(vec![b'L'; SLICE_MIN]);
    let pieces = [
        Bytes::from("ab"),
        Bytes::from("cd"),
        large.clone(),
        large.clone(),
        Bytes::from("ef"),
    ];
    let len: usize = pieces.iter().map(Bytes::len).sum();
    pieces.into_iter().for_each(|piece| queue.push(piece));
    assert_eq!(queue.len(), len);
    let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(
        popped,
        [
            Bytes::from("abcd"),
            large.clone(),
            large.clone(),
            Bytes::from("ef")
        ]
    );
    assert_eq!(popped[1].as_ptr(), large.as_ptr(), "not copied");
    assert_eq!(queue.len(), 0);
}
