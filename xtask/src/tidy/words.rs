//! Words that Rust code must not hold.

use super::Finding;
use crate::source::{File, has, is_word};

/// Nothing unfinished, no test that is not run, no queue without a bound.
pub fn no_panicking_shortcuts(files: &[File]) -> Vec<Finding> {
    let lines = |file: &File| [file.program_lines(), file.test_lines()].concat();
    search(
        files,
        lines,
        &[
            ("todo!", "finish it or leave it out"),
            ("unimplemented!", "finish it or leave it out"),
            ("dbg!", "log it as a field of a `debug!`, or delete it"),
            (
                "#[ignore",
                "a test that is not run says nothing; mend it or delete it",
            ),
            ("unbounded_channel", "every queue has a bound, in its name"),
            ("mpsc::unbounded", "every queue has a bound, in its name"),
            (
                "mpsc::channel()",
                "every queue has a bound, in its name: `sync_channel(max)`",
            ),
            (
                "thread::sleep",
                "wait for the event itself, with a deadline",
            ),
        ],
    )
}

/// A program handles what is missing; only a test may insist.
pub fn no_unwrap(files: &[File]) -> Vec<Finding> {
    let remedy = "return the error, or `expect` with the invariant that makes it impossible";
    search(
        files,
        File::program_lines,
        &[(".unwrap()", remedy), (".unwrap_err()", remedy)],
    )
}

/// A test that sleeps is slow when it passes and wrong when the machine is busy.
pub fn no_sleep_in_tests(files: &[File]) -> Vec<Finding> {
    let remedy =
        "wait for the event itself, with a deadline, or move a paused clock with `advance`";
    search(
        files,
        File::test_lines,
        &[("sleep(", remedy), ("sleep_until(", remedy)],
    )
}

/// The same thing has the same name everywhere.
pub fn one_vocabulary(files: &[File]) -> Vec<Finding> {
    let ours: Vec<&File> = files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.is_rust())
        .collect();
    let mut findings = Vec::new();
    for file in ours {
        let stem = file
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if VAGUE_FILES.contains(&stem) {
            let what = format!("`{stem}` names no subject; name the file after what it knows");
            findings.push(Finding::new(file, 1, what));
        }
        for (line, text) in file.program_lines() {
            let Some((_, name)) = text.split_once("fn ") else {
                continue;
            };
            let name: String = name.chars().take_while(|c| is_word(*c)).collect();
            let verb = VAGUE_VERBS.iter().find(|(verb, _)| name.starts_with(verb));
            if let Some((verb, remedy)) = verb {
                findings.push(Finding::new(
                    file,
                    line,
                    format!("`fn {name}`: not `{verb}`; {remedy}"),
                ));
            }
        }
    }
    findings
}

const VAGUE_FILES: [&str; 7] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager",
];

const VAGUE_VERBS: [(&str, &str); 3] = [
    ("get_", "name the value itself"),
    ("on_", "`handle_` what comes in"),
    ("process_", "`recv` bytes, `handle_` the rest"),
];

fn search(
    files: &[File],
    lines: impl Fn(&File) -> Vec<(usize, String)>,
    words: &[(&str, &str)],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (line, text) in lines(file) {
            for (word, remedy) in words.iter().filter(|(word, _)| has(&text, word)) {
                findings.push(Finding::new(file, line, format!("`{word}`: {remedy}")));
            }
        }
    }
    findings
}
