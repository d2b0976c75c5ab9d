//! The line of crates: who may depend on whom, and what has no clock, socket or chance.

use super::Finding;
use crate::source::{File, has};

/// Dependencies between our crates only point left.
pub fn crates_point_left(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, name) in manifests(files) {
        let Some((_, allowed)) = LINE.iter().find(|(each, _)| *each == name) else {
            let what = format!(
                "crate `{name}` has no place in the line; give it one in LINE in {}",
                file!()
            );
            findings.push(Finding::new(file, 1, what));
            continue;
        };
        for (line, dependency) in dependencies(&file.text) {
            let ours = LINE.iter().find(|(each, _)| package(each) == dependency);
            if let Some((other, _)) = ours.filter(|(other, _)| !allowed.contains(other)) {
                let what = format!(
                    "`{name}` must not depend on `{other}`; it may use {allowed:?}. Move the shared type left, \
                     or let the crate on the right join the two"
                );
                findings.push(Finding::new(file, line, what));
            }
        }
    }
    findings
}

/// What stands left of the shell neither opens sockets nor draws random numbers nor knows a runtime.
pub fn no_runtime_left_of_the_shell(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, name) in manifests(files).filter(|(_, name)| FENCED.contains(name)) {
        for (line, dependency) in dependencies(&file.text) {
            if SHELL_ONLY.contains(&dependency.as_str()) {
                let what = format!(
                    "`{name}` is sans-IO, so it must not depend on `{dependency}`; that belongs to carrick"
                );
                findings.push(Finding::new(file, line, what));
            }
        }
    }
    for file in files.iter().filter(|file| is_fenced(&file.path)) {
        for (line, text) in file.program_lines() {
            for word in SHELL_WORDS.iter().filter(|word| has(&text, word)) {
                let what =
                    format!("`{word}` left of the shell; take time, chance and bytes as arguments");
                findings.push(Finding::new(file, line, what));
            }
        }
    }
    findings
}

/// Each crate with those it may use, left to right. A new crate gets its place here.
const LINE: [(&str, &[&str]); 7] = [
    ("wire", &[]),
    ("session", &["wire"]),
    ("protocols", &["wire"]),
    ("swarm", &["wire", "protocols"]),
    ("carrick", &["wire", "session", "protocols", "swarm"]),
    // Beside carrick: another shell around the same machines.
    ("sim", &["wire", "session", "protocols", "swarm"]),
    ("cli", &["carrick"]),
];

/// The sans-IO crates.
pub(super) const FENCED: [&str; 4] = ["wire", "session", "protocols", "swarm"];

const SHELL_ONLY: [&str; 12] = [
    "async-std",
    "futures-timer",
    "getrandom",
    "if-addrs",
    "mio",
    "quinn",
    "rand",
    "rand_core",
    "smol",
    "socket2",
    "tokio",
    "tokio-util",
];

const SHELL_WORDS: [&str; 10] = [
    "tokio::",
    "socket2::",
    "getrandom::",
    "rand::",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "Keypair::generate_ed25519",
];

fn is_fenced(path: &str) -> bool {
    let mut folders = path.split('/');
    folders.next() == Some("crates") && folders.next().is_some_and(|name| FENCED.contains(&name))
}

fn package(name: &str) -> String {
    if name == "carrick" {
        name.to_owned()
    } else {
        format!("carrick-{name}")
    }
}

/// The manifests of our crates, each with its folder's name.
fn manifests(files: &[File]) -> impl Iterator<Item = (&File, &str)> {
    files.iter().filter_map(|file| {
        let name = file
            .path
            .strip_prefix("crates/")?
            .strip_suffix("/Cargo.toml")?;
        (!name.contains('/')).then_some((file, name))
    })
}

/// Names of all packages that a manifest depends on, of every kind, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut listing = false;
    for (at, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            let (head, tail) = section.rsplit_once('.').unwrap_or(("", section));
            listing = tail.ends_with("dependencies");
            if head.ends_with("dependencies") {
                found.push((at + 1, tail.to_owned()));
            }
        } else if listing && let Some(end) = line.find(['.', '=', ' ']) {
            found.push((at + 1, line[..end].to_owned()));
        }
        if let Some((_, renamed)) = line.split_once("package = \"") {
            found.push((
                at + 1,
                renamed.split('"').next().unwrap_or_default().to_owned(),
            ));
        }
    }
    found
}
