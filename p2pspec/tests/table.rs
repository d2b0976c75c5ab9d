//! The table of cases as a whole.

use std::collections::BTreeSet;

use p2pspec::cases;

#[test]
fn every_id_is_there_once() {
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        assert!(seen.insert(case.id), "{} is there twice", case.id);
    }
}

#[test]
fn every_case_says_what_it_stands_on() {
    for case in cases::all() {
        let rule = &case.rule;
        let texts = [
            case.title,
            case.sends,
            case.accepts,
            rule.document,
            rule.section,
            rule.says,
        ];
        assert!(texts.iter().all(|text| !text.is_empty()), "{case:?}");
    }
}

#[test]
fn there_are_enough_of_them() {
    assert!(cases::all().count() >= 350, "{}", cases::all().count());
}
