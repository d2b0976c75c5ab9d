//! What is missing of a manifest with as many files as one may have.

use std::slice;

use carrick::transfer::ENTRIES_MAX;

use super::*;

/// So many files of one group each.
fn place(count: u64) -> Place {
    let hash = Hash::default();
    let kind = EntryKind::File {
        size: 1,
        hash,
        executable: false,
    };
    let path = |at| EntryPath::parse(&format!("{at:06}")).expect("a path");
    let entries = (0..count).map(|at| Entry {
        path: path(at),
        kind: kind.clone(),
    });
    let files = (0..count as usize).map(|entry| FileEntry {
        entry,
        size: 1,
        hash,
    });
    Place {
        output: PathBuf::new(),
        part: PathBuf::new(),
        numbering: Numbering::new((0..count).map(|_| 1)),
        entries: entries.collect(),
        files: files.collect(),
        present: BTreeSet::new(),
        missing: Vec::new(),
        record: None,
    }
}

/// With a walk over all groups for each file this takes minutes, on a thread that nobody can stop.
#[test]
fn what_is_missing_of_the_most_files_is_found_in_one_go() {
    let place = place(ENTRIES_MAX);
    let mut have = vec![true; ENTRIES_MAX as usize];
    assert_eq!(place.missing_without(&have), []);
    have.pop();
    let last = ENTRIES_MAX - 1..ENTRIES_MAX;
    assert_eq!(place.missing_without(&have), slice::from_ref(&last));
    have[1] = false;
    let wanted = [1..2, last];
    assert_eq!(place.missing_without(&have), wanted);
    let all = 0..ENTRIES_MAX;
    assert_eq!(place.missing_without(&[]), slice::from_ref(&all));
}

#[test]
fn of_more_ranges_than_are_asked_for_the_rest_is_one() {
    let count = 2 * RANGES_MAX as u64 + 4;
    let have: Vec<_> = (0..count).map(|at| at % 2 == 1).collect();
    let missing = place(count).missing_without(&have);
    assert_eq!(missing.len(), RANGES_MAX);
    assert_eq!(missing[0], 0..1);
    let last = 2 * (RANGES_MAX as u64 - 1);
    assert_eq!(missing.last(), Some(&(last..count - 1)));
}
