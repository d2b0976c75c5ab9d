//! When a change of counts fails, when it is only shown, and what is said of it.

use super::super::baseline::{Baseline, Environment};
use super::super::callgrind::Kind;
use super::{Drift, Report, Slope, rounds};

fn here() -> Environment {
    Environment {
        rustc: "rustc 1.95.0".to_owned(),
        machine: "x86_64 avx2 glibc 2.36".to_owned(),
    }
}

fn report(environment: &Environment, baseline: &[(&str, u64)], now: &[(&str, u64)]) -> Report {
    let baseline = baseline
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    let baseline = Baseline::new(here(), baseline);
    let now: Vec<_> = now
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count, 0.0))
        .collect();
    Report {
        drift: Drift::new(&baseline, environment, &now, true),
        slopes: Vec::new(),
        repeated: false,
    }
}

#[test]
fn five_percent_are_let_through_and_more_fails_with_path_and_command() {
    for within in [950, 1000, 1050] {
        let report = report(&here(), &[("open", 1000)], &[("open", within)]);
        assert_eq!(report.verdict(), Ok(()), "{within}");
        assert!(!report.table().contains("<--"));
    }
    for beyond in [949, 1051, 3000] {
        let report = report(
            &here(),
            &[("open", 1000), ("write", 1)],
            &[("open", beyond), ("write", 1)],
        );
        let error = report.verdict().unwrap_err();
        assert!(
            error.contains("open: ") && error.contains(&format!("(1000 → {beyond})")),
            "{error}"
        );
        assert!(error.contains("cargo xtask count --bless"), "{error}");
        assert!(!error.contains("write"), "{error}");
        assert_eq!(report.table().matches("<--").count(), 1);
    }
}

#[test]
fn a_path_without_a_baseline_and_a_baseline_without_a_path_fail() {
    let report = report(&here(), &[("old", 1)], &[("new", 1)]);
    let error = report.verdict().unwrap_err();
    assert!(
        error.contains("new has no baseline") && error.contains("old is gone"),
        "{error}"
    );
}

#[test]
fn another_compiler_or_machine_is_shown_and_does_not_fail() {
    let rustc = Environment {
        rustc: "rustc 1.96.0".to_owned(),
        ..here()
    };
    let machine = Environment {
        machine: "aarch64".to_owned(),
        ..here()
    };
    for other in [rustc, machine] {
        let report = report(&other, &[("open", 1000)], &[("open", 2000)]);
        assert_eq!(report.verdict(), Ok(()));
        let table = report.table();
        assert!(
            table.contains("+100.0 %") && table.contains("NOT COMPARABLE"),
            "{table}"
        );
        assert_eq!(report.json()["comparable"], false);
    }
}

fn slope(kind: Kind, counts: [u64; 4]) -> Report {
    let mut report = report(&Environment::default(), &[], &[]);
    let mut slope = Slope::new(kind, "a message", counts[0]);
    slope.counts = counts.to_vec();
    report.slopes = vec![slope];
    report
}

#[test]
fn a_flat_cost_that_grows_or_shrinks_with_what_is_idle_fails_on_any_machine() {
    for within in [900, 1100] {
        let report = slope(Kind::Flat, [1000, 5000, 1, within]);
        assert_eq!(report.verdict(), Ok(()), "{within}");
    }
    for beyond in [899, 1101] {
        let report = slope(Kind::Flat, [1000, 1000, 1000, beyond]);
        assert!(
            report.verdict().unwrap_err().contains("a message"),
            "{beyond}"
        );
        assert!(report.table().contains("<--"));
    }
}

#[test]
fn a_cost_may_grow_as_the_depth_of_a_tree_where_that_is_said_and_no_faster() {
    let depth = slope(Kind::Tree, [100, 200, 300, 399]);
    assert_eq!(depth.verdict(), Ok(()));
    let scan = slope(Kind::Tree, [100, 200, 300, 1200]);
    assert!(
        scan.verdict().unwrap_err().contains("4.00"),
        "{:?}",
        scan.verdict()
    );
}

#[test]
fn the_spread_is_that_of_all_rounds_and_the_count_that_of_the_first() {
    let (counts, spread) = rounds(&[vec![100, 7], vec![101, 7], vec![99, 7]]);
    assert_eq!(counts, [100, 7]);
    assert!((spread[0] - 2.0 / 99.0).abs() < 1e-9 && spread[1] == 0.0);
}
