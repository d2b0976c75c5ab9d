//! The table of ids beside a map that is known to be right, and what it holds at most.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{DIGITS, Ids};

/// Ids as they are given one after the other, and as a peer may choose them.
fn any_id() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..40_u32,
        0..5000_u32,
        any::<u32>(),
        (u32::MAX - 40)..=u32::MAX
    ]
}

proptest! {
    #[test]
    fn it_finds_what_a_map_finds(steps in proptest::collection::vec((any_id(), any::<Option<u16>>()), 0..400)) {
        let (mut ids, mut map) = (Ids::default(), BTreeMap::new());
        for (id, value) in steps {
            match value {
                Some(value) => {
                    ids.insert(id, usize::from(value));
                    map.insert(id, usize::from(value));
                }
                None => {
                    ids.remove(id);
                    map.remove(&id);
                }
            }
            prop_assert_eq!(ids.get(id), map.get(&id).copied());
            prop_assert!(ids.nodes.len() <= DIGITS * map.len());
        }
        for (id, value) in &map {
            prop_assert_eq!(ids.get(*id), Some(*value));
        }
        for id in map.keys() {
            ids.remove(*id);
        }
        prop_assert!(ids.nodes.is_empty() && ids.height == 0);
    }
}

#[test]
fn an_empty_table_that_was_large_gives_its_memory_back() {
    let mut ids = Ids::default();
    (0..1000).for_each(|id| ids.insert(id << 16, 1));
    assert!(ids.nodes.capacity() > 1000);
    (0..1000).for_each(|id| ids.remove(id << 16));
    assert_eq!(ids.nodes.capacity(), 0);
}
