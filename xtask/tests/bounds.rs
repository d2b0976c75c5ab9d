//! The table of bounds: each place, bound and test that it names is there, and no bound of the product is missing from it.

use std::collections::{BTreeMap, BTreeSet};

use xtask::source::{self, File};

const PAGE: &str = "docs/bounds.md";
const CRATES: [&str; 6] = ["wire", "session", "protocols", "swarm", "carrick", "cli"];

/// A row that says where something is read, and what bounds it.
#[derive(Debug, PartialEq)]
struct Row {
    places: Vec<String>,
    bounds: Vec<String>,
    /// `None`: it is one of those that nobody else's number reaches.
    tests: Option<Vec<String>>,
}

/// What stands between backticks.
fn words(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

fn rows(page: &str) -> Vec<Row> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines.filter_map(row).collect()
}

/// `None`: the head of a table, which names no place.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<_> = line.trim_matches('|').split('|').collect();
    let (places, bounds, tests) = match cells[..] {
        [_, places, bounds, _, tests] => (places, bounds, Some(words(tests))),
        [places, bounds] => (places, bounds, None),
        _ => return None,
    };
    places.contains('`').then(|| Row {
        places: words(places),
        bounds: words(bounds),
        tests,
    })
}

fn page() -> Vec<Row> {
    let page = std::fs::read_to_string(source::root().join(PAGE)).expect("the page is there");
    rows(&page)
}

/// Whether the text has this word, with nothing of a name beside it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(source::is_word) && !after.is_some_and(source::is_word)
    })
}

/// The constants of a file that are called as bounds are.
fn bounds(file: &File) -> Vec<String> {
    let lines = file.program_lines();
    let names = lines.iter().filter_map(|(_, line)| {
        let (head, rest) = line.split_once("const ")?;
        let is_item = head.trim().is_empty() || head.trim().starts_with("pub");
        let (name, _) = rest.split_once(':').filter(|_| is_item)?;
        let last = name.rsplit('_').next()?;
        matches!(last, "MAX" | "TIMEOUT" | "DEADLINE").then(|| name.to_owned())
    });
    names.collect()
}

fn product(tree: &[File]) -> BTreeMap<&str, &File> {
    let of = |file: &File| {
        let (of, path) = file.path.strip_prefix("crates/")?.split_once('/')?;
        Some(CRATES.contains(&of) && path.starts_with("src/") && file.is_rust() && !file.test)
    };
    let files = tree.iter().filter(|file| of(file) == Some(true));
    let keyed = files.map(|file| (file.path.trim_start_matches("crates/"), file));
    keyed.collect()
}

#[test]
fn each_place_bound_and_test_is_there() {
    let tree = source::tree(&source::root()).unwrap();
    let product = product(&tree);
    let functions: BTreeSet<&str> = tree
        .iter()
        .flat_map(|file| file.masked.split("fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .collect();
    let (rows, mut faults) = (page(), Vec::new());
    assert!(rows.len() > 80, "{} rows", rows.len());
    for row in &rows {
        let files: Vec<_> = row
            .places
            .iter()
            .map(|place| product.get(&**place))
            .collect();
        if files.iter().any(Option::is_none) {
            faults.push(format!("not all of {:?} are files", row.places));
        }
        let is_there = |name: &str| {
            files
                .iter()
                .flatten()
                .any(|file| has_word(&file.text, name))
        };
        // A name with an ellipsis stands for several.
        let names = row.bounds.iter().filter(|name| !name.contains('…'));
        let missing = names.filter(|name| !is_there(name));
        faults.extend(missing.map(|name| format!("no {name} in {:?}", row.places)));
        let tests = row.tests.iter();
        faults.extend(
            tests
                .clone()
                .filter(|tests| tests.is_empty())
                .map(|_| format!("nothing holds {:?}", row.bounds)),
        );
        let missing = tests.flatten().filter(|test| !functions.contains(&***test));
        faults.extend(missing.map(|test| format!("there is no test {test}")));
    }
    assert!(faults.is_empty(), "{PAGE}: {faults:#?}");
}

#[test]
fn no_bound_is_missing() {
    let tree = source::tree(&source::root()).unwrap();
    let rows = page();
    let named = |place: &str, bound: &String| {
        let mut of_place = rows
            .iter()
            .filter(|row| row.places.iter().any(|p| p == place));
        of_place.any(|row| row.bounds.contains(bound))
    };
    let mut count = 0;
    let mut missing = Vec::new();
    for (place, file) in product(&tree) {
        let bounds = bounds(file);
        count += bounds.len();
        let unnamed = bounds.into_iter().filter(|bound| !named(place, bound));
        missing.extend(unnamed.map(|bound| format!("{place}: {bound}")));
    }
    assert!(count > 180, "{count} bounds were found");
    assert!(missing.is_empty(), "{PAGE} lacks: {missing:#?}");
}

#[test]
fn a_row_is_read_as_it_is_meant() {
    let page = "| what | read in | bound | beyond | held |\n|---|---|---|---|---|\n\
        | x | `a/b.rs`, `c.rs` | `D_MAX` 9, `e_max` | error | `f`, `g` |\n| `a/b.rs` | `H_MAX` |\n";
    let texts = |all: &[&str]| {
        all.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let with = Row {
        places: texts(&["a/b.rs", "c.rs"]),
        bounds: texts(&["D_MAX", "e_max"]),
        tests: Some(texts(&["f", "g"])),
    };
    let without = Row {
        places: texts(&["a/b.rs"]),
        bounds: texts(&["H_MAX"]),
        tests: None,
    };
    assert_eq!(rows(page), [with, without]);
    assert!(has_word("x LEN_MAX;", "LEN_MAX") && !has_word("KEY_LEN_MAX", "LEN_MAX"));
    let file = File::new(
        "crates/wire/src/a.rs",
        "pub const A_MAX: usize = 1;\n    const MAX: u8 = 2;\nfn f<const N_MAX: usize>() {}\nconst B_MAXIMUM: u8 = 3;\n",
    );
    assert_eq!(bounds(&file), ["A_MAX", "MAX"]);
}
