//! What the plan says about itself.

use super::*;

#[test]
fn every_row_names_stacks_that_exist() {
    for row in ROWS {
        assert_eq!(stacks(row, &[]).len(), row.stacks.len(), "{}", row.name);
    }
}

#[test]
fn a_start_means_all_rows_that_go_on_from_it() {
    let names = |only: &str| -> Vec<&str> {
        let rows = rows(&[only.into()], false).unwrap();
        rows.iter().map(|row| row.name).collect()
    };
    assert_eq!(names("quic-rr"), ["quic-rr-1", "quic-rr-100"]);
    assert_eq!(names("quic-rr-1"), ["quic-rr-1"]);
    assert_eq!(names("ws"), ["ws-up-1", "ws-down-1"]);
    assert!(rows(&["w".into()], false).is_err());
}

#[test]
fn a_quick_look_is_a_part_of_the_full_run_and_both_a_part_of_all() {
    let all = rows(&["all".into()], false).unwrap();
    let (full, quick) = (rows(&[], false).unwrap(), rows(&[], true).unwrap());
    assert_eq!(all.len(), ROWS.len());
    assert!(quick.len() < full.len() && full.len() < all.len());
    assert!(
        quick
            .iter()
            .all(|row| full.iter().any(|full| full.name == row.name))
    );
}

#[test]
fn names_are_used_once() {
    for (at, row) in ROWS.iter().enumerate() {
        assert!(
            ROWS[..at].iter().all(|other| other.name != row.name),
            "{}",
            row.name
        );
    }
    for (at, stack) in STACKS.iter().enumerate() {
        assert!(
            STACKS[..at].iter().all(|other| other.name != stack.name),
            "{}",
            stack.name
        );
    }
}
