//! The file that holds the counts.

use super::{Baseline, Environment};

#[test]
fn what_is_written_is_read_again() {
    let environment = Environment {
        rustc: "rustc 1.95.0 (59807616e 2026-04-14)".to_owned(),
        machine: "x86_64 avx2 glibc 2.36".to_owned(),
    };
    let counts = [("yamux/open", 1234), ("noise/upgrade", 5_000_000_000)];
    let counts = counts.map(|(name, count)| (name.to_owned(), count));
    let baseline = Baseline::new(environment, counts);
    assert_eq!(baseline.to_string().parse(), Ok(baseline));
}

#[test]
fn a_file_that_is_not_there_is_a_baseline_without_paths() {
    assert_eq!("".parse(), Ok(Baseline::default()));
}

#[test]
fn a_line_without_a_count_is_an_error_that_quotes_it() {
    for line in ["yamux/open", "yamux/open many"] {
        let error = line.parse::<Baseline>().unwrap_err();
        assert!(error.contains(line), "{error}");
    }
}
