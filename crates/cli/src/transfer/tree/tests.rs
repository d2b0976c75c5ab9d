//! Files of every number of groups, whole and in parts, are what BLAKE3 says of them; false halves are not.

use super::*;

/// The values of a file's groups, of which the contents do not matter.
fn file(size: u64) -> (Vec<u8>, Vec<Hash>) {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let chunks = bytes.chunks(GROUP_LEN).enumerate();
    let values = chunks.map(|(at, group)| group_value(size, at as u64, group));
    let values = values.collect();
    (bytes, values)
}

/// The groups that a walk proves, if the other side tells the truth.
fn proven(size: u64, values: &[Hash], wanted: Range<u64>) -> Vec<u64> {
    let mut walk = Walk::new(size, file_hash(values), wanted);
    let mut proven = Vec::new();
    while let Some(part) = walk.next_part() {
        if part.groups == 1 {
            assert_eq!(part.value, values[part.first as usize]);
            proven.push(part.first);
            continue;
        }
        let begin = part.first as usize;
        let (left, right) = halves(&values[begin..begin + part.groups as usize]);
        assert!(walk.split(part, left, right), "{part:?}");
    }
    proven
}

#[test]
fn a_file_has_the_hash_that_others_compute() {
    let len = GROUP_LEN as u64;
    for size in [
        0,
        1,
        1024,
        len - 1,
        len,
        len + 1,
        2 * len,
        3 * len - 7,
        7 * len + 1,
    ] {
        let (bytes, values) = file(size);
        assert_eq!(values.len() as u64, groups(size));
        assert_eq!(
            file_hash(&values),
            *blake3::hash(&bytes).as_bytes(),
            "{size}"
        );
    }
}

#[test]
fn a_walk_proves_what_is_wanted_and_nothing_else() {
    for groups in 1..=9 {
        let size = groups * GROUP_LEN as u64 - 5;
        let (_, values) = file(size);
        for begin in 0..=groups {
            for end in begin..=groups + 1 {
                let wanted: Vec<_> = (begin..end.min(groups)).collect();
                assert_eq!(
                    proven(size, &values, begin..end),
                    wanted,
                    "{groups}: {begin}..{end}"
                );
            }
        }
    }
    assert!(proven(0, &[], 0..1).is_empty());
}

#[test]
fn false_halves_are_found_at_every_height() {
    let size = 5 * GROUP_LEN as u64;
    let (_, values) = file(size);
    for lie in 0..4 {
        let mut walk = Walk::new(size, file_hash(&values), 0..5);
        let mut nodes = 0;
        let found = loop {
            let part = walk.next_part().expect("the lie comes first");
            if part.groups == 1 {
                continue;
            }
            let begin = part.first as usize;
            let (mut left, right) = halves(&values[begin..begin + part.groups as usize]);
            left[0] ^= u8::from(nodes == lie);
            nodes += 1;
            if !walk.split(part, left, right) {
                break nodes - 1;
            }
        };
        assert_eq!(found, lie);
    }
}

#[test]
fn the_walk_of_the_largest_file_costs_as_much_as_the_tree_is_high() {
    let mut walk = Walk::new(i64::MAX as u64, [0; 32], 0..u64::MAX);
    let mut height = 0;
    while let Some(part) = walk.next_part().filter(|part| part.groups > 1) {
        walk.split(part, [0; 32], [0; 32]);
        height += 1;
        assert!(walk.parts.len() <= 64);
    }
    assert_eq!(height, 45, "2^63 bytes are 2^45 groups");
}

#[test]
fn groups_are_numbered_across_files_and_empty_ones_have_none() {
    let len = GROUP_LEN as u64;
    let numbering = Numbering::new([0, len + 1, 0, 1, 3 * len, 0]);
    assert_eq!(numbering.total(), 6);
    let files = |range| numbering.files(range).collect::<Vec<_>>();
    assert_eq!(files(0..6), [(1, 0..2), (3, 0..1), (4, 0..3)]);
    assert_eq!(files(1..4), [(1, 1..2), (3, 0..1), (4, 0..1)]);
    assert_eq!(files(5..6), [(4, 2..3)]);
    assert!(files(3..3).is_empty() && files(6..7).is_empty());
    let most = Numbering::new([i64::MAX as u64; 4]);
    assert_eq!(most.total(), 1 << 47);
}
