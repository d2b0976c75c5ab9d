//! The shape of a file: its first line, its length, its public types.

use super::Finding;
use crate::source::{File, is_word};

/// The first line of a Rust file says what the file is.
pub fn files_open_with_a_map(files: &[File]) -> Vec<Finding> {
    let without = |file: &&File| file.is_rust() && !file.text.starts_with("//!");
    let what =
        "the file opens without `//!`; say what it is, what goes in and out, and what always holds";
    files
        .iter()
        .filter(without)
        .map(|file| Finding::new(file, 1, what))
        .collect()
}

/// No program file has more than `CODE_LINES_MAX` lines of code.
pub fn files_are_short(files: &[File]) -> Vec<Finding> {
    let program = files.iter().filter(|file| file.is_rust() && !file.test);
    let long = program.filter(|file| file.code_lines() > CODE_LINES_MAX);
    long.map(|file| {
        let what = format!(
            "{} lines of code, more than {CODE_LINES_MAX}; split it by what it knows, while that is still cheap",
            file.code_lines()
        );
        Finding::new(file, 1, what)
    })
    .collect()
}

/// Above this a file has more than one subject.
const CODE_LINES_MAX: usize = 600;

/// A user never has to write our type parameters.
pub fn public_types_have_no_type_parameters(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with("crates/"))
    {
        for (line, text) in file.program_lines() {
            let text = text.trim_start();
            let rest = ["pub struct ", "pub enum "]
                .iter()
                .find_map(|start| text.strip_prefix(start));
            let Some((name, parameters)) = rest.and_then(|rest| rest.split_once('<')) else {
                continue;
            };
            let is_type = |parameter: &str| {
                let parameter = parameter.trim_start();
                parameter.starts_with(is_word) && !parameter.starts_with("const ")
            };
            if name.chars().all(is_word)
                && parameters
                    .split(['>', '{', '('])
                    .next()
                    .is_some_and(|p| p.split(',').any(is_type))
            {
                let what = format!(
                    "`{name}` is public and generic; close the set with an enum or erase the type with a box"
                );
                findings.push(Finding::new(file, line, what));
            }
        }
    }
    findings
}
