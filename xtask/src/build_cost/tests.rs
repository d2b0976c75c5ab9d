//! What is read out of Cargo's words, and how builds compare.

use super::*;

fn cost(cpu_seconds: f64) -> Cost {
    Cost {
        seconds: 2.0 * cpu_seconds,
        cpu_seconds,
        crates: 10,
        bytes: 1_000_000,
        slowest: vec![("syn".to_owned(), 3.0)],
    }
}

#[test]
fn a_package_counts_once_however_many_parts_it_has() {
    let messages = concat!(
        "{\"reason\":\"compiler-artifact\",\"package_id\":\"a\"}\n",
        "{\"reason\":\"build-script-executed\",\"package_id\":\"b\"}\n",
        "{\"reason\":\"compiler-artifact\",\"package_id\":\"a\"}\n",
        "not JSON\n",
        "{\"reason\":\"compiler-artifact\",\"package_id\":\"c\"}\n",
    );
    let packages = packages(messages.as_bytes());
    assert_eq!(packages.into_iter().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn the_slowest_crates_come_with_their_build_scripts() {
    let page = "x\nconst UNIT_DATA = [{\"name\":\"a\",\"duration\":1.0},{\"name\":\"b\",\"duration\":2.5},\
                {\"name\":\"a\",\"duration\":2.0}];\nconst CONCURRENCY_DATA = [];\n";
    assert_eq!(
        slowest(page),
        [("a".to_owned(), 3.0), ("b".to_owned(), 2.5)]
    );
    assert_eq!(slowest("another page"), []);
}

#[test]
fn the_median_build_counts() {
    let costs = [cost(3.0), cost(1.0), cost(2.0)];
    assert_eq!(median(&costs), Some(cost(2.0)));
    assert_eq!(median(&[]), None);
}

#[test]
fn programs_of_the_same_abilities_are_compared() {
    let programs = programs();
    let [carrick, libp2p, ..] = &programs;
    let rows = [(carrick, cost(1.0)), (libp2p, cost(4.0))];
    let table = table(&rows);
    let ratio = table.lines().find(|line| line.starts_with("ratio"));
    let ratio: Vec<&str> = ratio.unwrap_or_default().split_whitespace().collect();
    assert_eq!(ratio, ["ratio", "1.00", "0.25", "0.25", "1.00"]);
    assert!(table.contains("slowest in libp2p: syn 3 s"), "{table}");
}

#[test]
fn the_time_of_processes_that_have_ended_is_known_on_linux() {
    let before = cpu_of_children();
    assert!(before.is_finite() && cpu_of_children() >= before);
}
