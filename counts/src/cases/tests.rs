//! Every case does what it says, once or so.

use super::CASES;
use std::collections::BTreeSet;

#[test]
fn every_case_runs_in_company_and_alone() {
    for case in CASES {
        (case.run)(0, 2);
        (case.run)(3, 2);
    }
}

#[test]
fn names_are_told_apart() {
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    assert!(names.iter().all(|name| !name.contains('\t')));
}
