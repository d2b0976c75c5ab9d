//! The table of advisories: each test that it names exists, and no crate is older than it says.

use std::collections::{BTreeMap, BTreeSet};

use xtask::source;

const PAGE: &str = "docs/advisories.md";

fn page() -> String {
    std::fs::read_to_string(source::root().join(PAGE)).expect("the page is there")
}

/// What stands between backticks in the last column of tables.
fn named_tests(page: &str) -> Vec<String> {
    let cells = page.lines().filter(|line| line.starts_with('|'));
    let last = cells.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let words = last.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words
        .filter(|word| word.contains('_'))
        .map(str::to_owned)
        .collect()
}

/// `crate ≥ version`, as the page has them.
fn floors(page: &str) -> Vec<(String, String)> {
    let parts: Vec<_> = page.split(" ≥ ").collect();
    let pairs = parts.windows(2).map(|pair| {
        let name = pair[0].rsplit([' ', ',']).next().unwrap_or_default();
        let version = pair[1].split([' ', ',', '\n']).next().unwrap_or_default();
        (name.to_owned(), version.trim().to_owned())
    });
    pairs.collect()
}

fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.')
        .map(|part| part.parse().expect("a version has numbers"))
        .collect()
}

#[test]
fn each_test_that_is_named_exists() {
    let tree = source::tree(&source::root()).unwrap();
    let functions: BTreeSet<&str> = tree
        .iter()
        .flat_map(|file| file.masked.split("fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .collect();
    let named = named_tests(&page());
    assert!(named.len() > 50, "{} tests are named", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !functions.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "{PAGE} names tests that are not there: {missing:#?}"
    );
}

#[test]
fn no_crate_is_older_than_the_advisories_allow() {
    let lock = std::fs::read_to_string(source::root().join("Cargo.lock")).unwrap();
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_matches(['=', ' ', '"']))
        };
        let name = field("name ").unwrap();
        versions
            .entry(name)
            .or_default()
            .push(field("version ").unwrap());
    }
    let floors = floors(&page());
    assert!(floors.len() > 10, "{floors:?}");
    for (name, floor) in floors {
        let there = versions.get(name.as_str());
        for version in there.unwrap_or_else(|| panic!("{name} is not in use any more")) {
            assert!(
                numbers(version) >= numbers(&floor),
                "{name} {version} is older than {floor}"
            );
        }
    }
}

#[test]
fn a_row_is_read_as_it_is_meant() {
    let row = "| `CVE_1` | x | `a_b`, snow ≥ 0.10.0, ring ≥ 0.17.14 |\n| l | rustls ≥ 0.23.46 |\n";
    assert_eq!(named_tests(row), ["a_b"]);
    let floors = floors(row);
    assert_eq!(floors[0], ("snow".to_owned(), "0.10.0".to_owned()));
    assert_eq!(floors.len(), 3);
    assert!(numbers("0.9.5") < numbers("0.10.0"));
}
