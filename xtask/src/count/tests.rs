//! Which cases `--only` leaves.

use super::*;

fn names(only: &[&str]) -> Result<Vec<String>, String> {
    let case = |name: &str| Case {
        kind: Kind::Path,
        name: name.to_owned(),
        times: 1,
    };
    let only: Vec<_> = only.iter().map(|word| (*word).to_owned()).collect();
    let cases = ["noise seal", "noise open", "yamux recv"].map(case).into();
    let left = chosen(cases, &only)?;
    Ok(left.into_iter().map(|case| case.name).collect())
}

#[test]
fn words_of_only_are_alternatives_in_the_order_of_the_cases() {
    assert_eq!(names(&[]).unwrap().len(), 3);
    assert_eq!(
        names(&["yamux", "open"]).unwrap(),
        ["noise open", "yamux recv"]
    );
}

#[test]
fn a_word_of_only_that_fits_no_path_is_an_error_with_their_names() {
    let why = "no path has `quic` in its name; there are: noise seal, noise open, yamux recv";
    assert_eq!(names(&["quic"]).unwrap_err(), why);
    assert_eq!(names(&["noise", "quic"]).unwrap_err(), why);
}
