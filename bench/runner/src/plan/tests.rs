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
        let rows = rows(&[only.into()]).unwrap();
        rows.iter().map(|row| row.name).collect()
    };
    assert_eq!(names("quic-rr"), ["quic-rr-1", "quic-rr-100"]);
    assert_eq!(names("quic-rr-1"), ["quic-rr-1"]);
    assert_eq!(names("ws"), ["ws-up-1", "ws-down-1"]);
    assert!(rows(&["w".into()]).is_err());
}
