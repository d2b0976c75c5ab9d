//! What stands in manifests, settings and prose.

use super::Finding;
use super::layers::FENCED;
use crate::source::{File, has};

/// Every member of the workspace takes the workspace's lints.
pub fn lints_are_inherited(files: &[File]) -> Vec<Finding> {
    let members = files.iter().filter(|file| {
        let folder = file.path.strip_suffix("/Cargo.toml");
        folder.is_some_and(|folder| folder.starts_with("crates/") || MEMBERS.contains(&folder))
    });
    let without = members.filter(|file| !file.text.contains("[lints]\nworkspace = true"));
    without
        .map(|file| Finding::new(file, 1, "add `[lints]` with `workspace = true`"))
        .collect()
}

const MEMBERS: [&str; 3] = ["interop/carrick", "interop/suites", "xtask"];

/// No package of any workspace of ours may have `unsafe`: its lints say so, or its crates' first lines.
pub fn unsafe_is_forbidden(files: &[File]) -> Vec<Finding> {
    let says = |file: &File| file.text.contains("unsafe_code = \"forbid\"");
    let manifests = files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"));
    manifests
        .flat_map(|manifest| {
            let has = |what| manifest.text.contains(what);
            if says(manifest) || !has("[package]") && !has("[workspace.lints") {
                return Vec::new();
            }
            if has("[lints]\nworkspace = true") {
                return Vec::new();
            }
            let folder = manifest.path.trim_end_matches("Cargo.toml");
            let roots = files.iter().filter(|file| {
                let root = file.path.strip_prefix(folder);
                root.is_some_and(|root| ["src/lib.rs", "src/main.rs"].contains(&root))
                    && !file.text.contains("#![forbid(unsafe_code)]")
            });
            let what = "forbid unsafe_code: here, or in the `[lints.rust]` of the manifest";
            roots.map(|root| Finding::new(root, 1, what)).collect()
        })
        .collect()
}

/// Each sans-IO crate has a clippy.toml that bans clocks and random order and repeats the root's settings.
pub fn fences_stand(files: &[File]) -> Vec<Finding> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let Some(root) = find("clippy.toml") else {
        return Vec::new();
    };
    let settings: Vec<&str> = root
        .text
        .lines()
        .filter(|line| line.contains('='))
        .collect();
    let mut findings = Vec::new();
    for name in FENCED {
        let path = format!("crates/{name}/clippy.toml");
        let Some(fence) = find(&path) else {
            let what = format!(
                "{path} is missing; without it nothing keeps clocks and random order out of `{name}`"
            );
            findings.push(Finding::new(root, 1, what));
            continue;
        };
        for wanted in BANNED_PATHS
            .iter()
            .chain(&settings)
            .filter(|wanted| !fence.text.contains(**wanted))
        {
            let what =
                format!("does not say `{wanted}`; it replaces the root's file, so it has to");
            findings.push(Finding::new(fence, 1, what));
        }
    }
    findings
}

const BANNED_PATHS: [&str; 3] = [
    "\"std::time::Instant::now\"",
    "\"std::time::SystemTime::now\"",
    "\"std::collections::HashMap\"",
];

/// A path in backticks in our guides leads to a file.
pub fn named_paths_exist(files: &[File]) -> Vec<Finding> {
    let known: Vec<String> = files.iter().map(|file| format!("/{}", file.path)).collect();
    let exists = |path: &str| {
        let path = format!("/{}", path.trim_end_matches('/'));
        // `wire/yamux.rs` is short for `crates/wire/src/yamux.rs`.
        known.iter().any(|file| {
            [file.clone(), file.replace("/src/", "/")]
                .iter()
                .any(|file| {
                    file.match_indices(&path).any(|(at, _)| {
                        matches!(file[at + path.len()..].chars().next(), None | Some('/'))
                    })
                })
        })
    };
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| GUIDES.contains(&file.path.as_str()))
    {
        let mut fenced = false;
        for (at, line) in file.text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            let names = line.split('`').skip(1).step_by(2).filter(|_| !fenced);
            for name in names.filter(|name| is_path(name) && !exists(name)) {
                let what = format!("`{name}` does not exist; name the file that does its work now");
                findings.push(Finding::new(file, at + 1, what));
            }
        }
    }
    findings
}

const GUIDES: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];

/// Whether a word in backticks means a file of ours, not a protocol, a command or an example.
fn is_path(name: &str) -> bool {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let ours = TOP_FOLDERS.iter().any(|folder| name.starts_with(folder));
    let file = SUFFIXES
        .iter()
        .any(|suffix| name.len() > suffix.len() && name.ends_with(suffix));
    plain && !name.starts_with(['/', '.', '-']) && !is_made_later(name) && (ours || file)
}

/// What builds leave behind, and the names that stand for any name.
fn is_made_later(name: &str) -> bool {
    name.starts_with("target")
        || name.contains(".build")
        || name.split(['/', '.']).any(|part| part == "foo")
}

const TOP_FOLDERS: [&str; 6] = ["crates/", "interop/", "bench/", "fuzz/", "xtask/", "docs/"];
const SUFFIXES: [&str; 9] = [
    ".rs", ".toml", ".md", ".go", ".mjs", ".py", ".json", ".lock", ".sh",
];

/// No file names a package registry's host: which registry serves a build is the machine's own affair.
pub fn no_registry_hosts(files: &[File]) -> Vec<Finding> {
    let hosts = [
        concat!("crates", ".io"),
        concat!("npmjs", ".org"),
        concat!("npmjs", ".com"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("proxy", ".golang.org"),
        concat!("arti", "factory"),
    ];
    // Cargo writes this name into every lock file, whichever host it asks.
    let index = concat!(
        "source = \"registry+https://github.com/rust-lang/crates",
        ".io-index\""
    );
    let mut findings = Vec::new();
    for file in files {
        let lock = file.path.ends_with("Cargo.lock");
        for (at, line) in file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| !(lock && *line == index))
        {
            for host in hosts.iter().filter(|host| line.contains(**host)) {
                let what = format!(
                    "names the registry host {host}; leave the choice to the machine's settings"
                );
                findings.push(Finding::new(file, at + 1, what));
            }
        }
    }
    findings
}

/// The tree says what the software is, not how or by whom it is being written.
pub fn no_process(files: &[File]) -> Vec<Finding> {
    let words = [
        concat!("clau", "de"),
        concat!("anthr", "opic"),
        concat!("chat", "gpt"),
        concat!("open", "ai"),
        concat!("co", "pilot"),
        concat!("ll", "m"),
        concat!("ll", "ms"),
        concat!("language", " model"),
        concat!("ai", "-generated"),
        concat!("ai", " agent"),
        concat!("ai", " assistant"),
        concat!("coding", " agent"),
        concat!("sub", "agent"),
        concat!("co", "-authored-by"),
        concat!("issue", " #"),
        concat!("plan", ".md"),
        concat!("/wo", "rk/"),
        concat!("fix", "me"),
    ];
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| !LOCKS.iter().any(|lock| file.path.ends_with(lock)))
    {
        for (at, line) in file.text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in words.iter().filter(|word| has(&line, word)) {
                let what = format!(
                    "`{word}`: say what the software does; how it is written belongs elsewhere"
                );
                findings.push(Finding::new(file, at + 1, what));
            }
        }
    }
    findings
}

const LOCKS: [&str; 4] = [
    "Cargo.lock",
    "package-lock.json",
    "go.sum",
    "requirements.txt",
];
