//! The house rules, held over this repository; and each rule held over a sample that breaks it.

use std::sync::OnceLock;
use xtask::source::{self, File};
use xtask::tidy::{self, Exception, Rule};

/// Where a rule does not fit, and why. Whatever is no longer needed here fails the test as well.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "unsafe_is_forbidden",
        path: "fuzz/src/main.rs",
        what: "forbid unsafe_code",
        reason: "the fuzzer's entry point is a macro that exports a function to C",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/request.rs",
        what: "is public and generic",
        reason: "a kind of request is its types: both sides share it, so that they cannot differ",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/actors/budget.rs",
        what: "is public and generic",
        reason: "an actor's messages are its user's own types, and a box for each would be the mailbox's cost",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/actors/call.rs",
        what: "is public and generic",
        reason: "an actor's messages are its user's own types, and a box for each would be the mailbox's cost",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/actors/mailbox.rs",
        what: "is public and generic",
        reason: "an actor's messages are its user's own types, and a box for each would be the mailbox's cost",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/actors/sender.rs",
        what: "is public and generic",
        reason: "an actor's messages are its user's own types, and a box for each would be the mailbox's cost",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/messages/inbound.rs",
        what: "is public and generic",
        reason: "a message and its replies are its user's own types; to hand them over erased would have every handler cast them",
    },
    Exception {
        rule: "public_types_have_no_type_parameters",
        path: "crates/carrick/src/messages/replies.rs",
        what: "is public and generic",
        reason: "a message and its replies are its user's own types; to hand them over erased would have every handler cast them",
    },
];

fn holds(name: &str, rule: Rule) {
    static TREE: OnceLock<Vec<File>> = OnceLock::new();
    let files = TREE.get_or_init(|| source::tree(&source::root()).expect("the tree is readable"));
    assert!(
        files.len() > 20,
        "the walk found only {} files",
        files.len()
    );
    let (findings, stale) = tidy::judge(name, rule(files), EXCEPTIONS);
    let list: Vec<String> = findings
        .iter()
        .map(|finding| format!("  {finding}"))
        .collect();
    assert!(
        findings.is_empty(),
        "{} findings\n{}\n",
        findings.len(),
        list.join("\n")
    );
    assert!(
        stale.is_empty(),
        "nothing needs these exceptions any more: {stale:#?}"
    );
}

/// The lines that `rule` finds in these files, as `path:line`.
fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File::new(path, text))
        .collect();
    rule(&files)
        .iter()
        .map(|finding| format!("{}:{}", finding.path, finding.line))
        .collect()
}

#[test]
fn crates_point_left() {
    holds("crates_point_left", tidy::crates_point_left);
    let session = "[package]\nname = \"x\"\n[dependencies]\ncarrick-wire.workspace = true\ncarrick-protocols.workspace = true\n";
    let cli = "[dependencies]\ncarrick = { path = \"../carrick\" }\n[dev-dependencies]\ncarrick-wire = \"1\"\n";
    let wire = "[dependencies]\nc = { package = \"carrick\" }\n[dependencies.carrick-swarm]\npath = \"../swarm\"\n";
    let files = [
        ("crates/session/Cargo.toml", session),
        ("crates/cli/Cargo.toml", cli),
        ("crates/wire/Cargo.toml", wire),
        ("crates/extra/Cargo.toml", ""),
    ];
    assert_eq!(
        found(tidy::crates_point_left, &files),
        [
            "crates/session/Cargo.toml:5",
            "crates/cli/Cargo.toml:4",
            "crates/wire/Cargo.toml:2",
            "crates/wire/Cargo.toml:3",
            "crates/extra/Cargo.toml:1"
        ]
    );
}

#[test]
fn no_runtime_left_of_the_shell() {
    holds(
        "no_runtime_left_of_the_shell",
        tidy::no_runtime_left_of_the_shell,
    );
    let code = "//! tokio::spawn in prose\nuse std::net::{IpAddr, TcpStream};\nlet s = \"tokio::spawn\";\nlet x = ring::rand::SystemRandom::new();\n";
    let files = [
        (
            "crates/swarm/Cargo.toml",
            "[dev-dependencies]\ntokio.workspace = true\n",
        ),
        ("crates/swarm/src/lib.rs", code),
        ("crates/swarm/src/lib/tests.rs", code),
        (
            "crates/carrick/Cargo.toml",
            "[dependencies]\ntokio.workspace = true\n",
        ),
        ("crates/carrick/src/lib.rs", code),
    ];
    let places = [
        "crates/swarm/Cargo.toml:2",
        "crates/swarm/src/lib.rs:2",
        "crates/swarm/src/lib.rs:4",
    ];
    assert_eq!(found(tidy::no_runtime_left_of_the_shell, &files), places);
}

#[test]
fn no_module_cycles() {
    holds("no_module_cycles", tidy::no_module_cycles);
    let root = (
        "crates/x/src/lib.rs",
        "mod a;\nmod b;\nmod c;\nmod d;\npub use c::{Deep, Seen};\n",
    );
    // a → b by a group, b → c through a re-export, c → a from a folder below; d only in tests.
    let files = [
        root,
        (
            "crates/x/src/a.rs",
            "//! a\nuse crate::{d::{E, F}, b::G};\n",
        ),
        ("crates/x/src/b.rs", "//! b\nuse super::Deep;\n"),
        ("crates/x/src/c.rs", "//! c\nmod e;\n"),
        (
            "crates/x/src/c/e.rs",
            "//! e\nfn f() { super::super::a::g() }\n",
        ),
        (
            "crates/x/src/d.rs",
            "//! d\n#[cfg(test)]\nuse crate::a::H;\n",
        ),
    ];
    assert_eq!(
        found(tidy::no_module_cycles, &files),
        ["crates/x/src/a.rs:2"]
    );
    assert!(found(tidy::no_module_cycles, &files[..4]).is_empty());
    let pair = [
        root,
        ("crates/x/src/a.rs", "//! crate::b\nuse super::b;\n"),
        ("crates/x/src/b.rs", "use crate::a::X;\n"),
    ];
    assert_eq!(
        found(tidy::no_module_cycles, &pair),
        ["crates/x/src/a.rs:2"]
    );
}

#[test]
fn files_open_with_a_map() {
    holds("files_open_with_a_map", tidy::files_open_with_a_map);
    let files = [
        ("a.rs", "//! a\n"),
        ("b.rs", "// b\n//! b\n"),
        ("tests/c.rs", "use x;\n"),
        ("d.md", "d"),
    ];
    assert_eq!(
        found(tidy::files_open_with_a_map, &files),
        ["b.rs:1", "tests/c.rs:1"]
    );
}

#[test]
fn files_are_short() {
    holds("files_are_short", tidy::files_are_short);
    let (exact, long) = ("a();\n// why\n\n".repeat(600), "a();\n".repeat(601));
    let files = [
        ("exact.rs", exact.as_str()),
        ("long.rs", long.as_str()),
        ("x/tests.rs", long.as_str()),
    ];
    assert_eq!(found(tidy::files_are_short, &files), ["long.rs:1"]);
}

#[test]
fn public_types_have_no_type_parameters() {
    holds(
        "public_types_have_no_type_parameters",
        tidy::public_types_have_no_type_parameters,
    );
    let code = "pub struct A<'a, const N: usize>(&'a [u8; N]);\npub struct B<T>(T);\npub(crate) enum C<T> { D(T) }\npub struct E(Vec<u8>);\npub enum F<'a, T: Clone> {}\n";
    let places = found(
        tidy::public_types_have_no_type_parameters,
        &[("crates/x/src/a.rs", code)],
    );
    assert_eq!(places, ["crates/x/src/a.rs:2", "crates/x/src/a.rs:5"]);
}

#[test]
fn no_panicking_shortcuts() {
    holds("no_panicking_shortcuts", tidy::no_panicking_shortcuts);
    let code = "todo!()\nunimplemented!()\ndbg!(x)\n#[ignore]\n#[ignore = \"slow\"]\nunbounded_channel()\nstd::thread::sleep(x)\n\"todo!\"\nmy_dbg!(x)\n";
    let lines = found(tidy::no_panicking_shortcuts, &[("a/tests.rs", code)]);
    assert_eq!(
        lines,
        [1, 2, 3, 4, 5, 6, 7].map(|line| format!("a/tests.rs:{line}"))
    );
}

#[test]
fn no_unwrap() {
    holds("no_unwrap", tidy::no_unwrap);
    let code = "a.unwrap();\n// a.unwrap()\na.unwrap_or(b);\n#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap() }\n}\nb.unwrap_err();\n";
    let places = found(
        tidy::no_unwrap,
        &[("a.rs", code), ("a/tests.rs", code), ("x/tests/b.rs", code)],
    );
    assert_eq!(places, ["a.rs:1", "a.rs:8"]);
}

#[test]
fn no_sleep_in_tests() {
    holds("no_sleep_in_tests", tidy::no_sleep_in_tests);
    let code = "tokio::time::sleep(x).await;\nsleep_until(y);\nsleepy();\n";
    let files = [("a.rs", code), ("a/tests.rs", code)];
    assert_eq!(
        found(tidy::no_sleep_in_tests, &files),
        ["a/tests.rs:1", "a/tests.rs:2"]
    );
}

#[test]
fn one_vocabulary() {
    holds("one_vocabulary", tidy::one_vocabulary);
    let code = "fn get_peer() {}\npub fn on_frame() {}\nfn handle_event() {}\nfn process_x() {}\nfn only() {}\n";
    let files = [("crates/x/src/utils.rs", code)];
    let lines = [1, 1, 2, 4].map(|line| format!("crates/x/src/utils.rs:{line}"));
    assert_eq!(found(tidy::one_vocabulary, &files), lines);
}

#[test]
fn lints_are_inherited() {
    holds("lints_are_inherited", tidy::lints_are_inherited);
    let files = [
        ("crates/x/Cargo.toml", "[package]\n"),
        ("crates/y/Cargo.toml", "[lints]\nworkspace = true\n"),
        ("bench/z/Cargo.toml", ""),
    ];
    assert_eq!(
        found(tidy::lints_are_inherited, &files),
        ["crates/x/Cargo.toml:1"]
    );
}

#[test]
fn unsafe_is_forbidden() {
    holds("unsafe_is_forbidden", tidy::unsafe_is_forbidden);
    let files = [
        ("x/Cargo.toml", "[package]\n"),
        ("x/src/lib.rs", "//! x\n"),
        ("x/src/main.rs", "#![forbid(unsafe_code)]\n"),
        ("y/Cargo.toml", "[package]\n[lints]\nworkspace = true\n"),
        ("y/src/lib.rs", ""),
        (
            "z/Cargo.toml",
            "[package]\n[lints.rust]\nunsafe_code = \"forbid\"\n",
        ),
        ("z/src/main.rs", ""),
        ("src/lib.rs", ""),
        ("Cargo.toml", "[workspace.lints.rust]\n"),
    ];
    assert_eq!(
        found(tidy::unsafe_is_forbidden, &files),
        ["x/src/lib.rs:1", "src/lib.rs:1"]
    );
}

#[test]
fn fences_stand() {
    holds("fences_stand", tidy::fences_stand);
    let full = "threshold = 70\n\"std::time::Instant::now\" \"std::time::SystemTime::now\" \"std::collections::HashMap\"\n";
    let files = [
        ("clippy.toml", "# why\nthreshold = 70\n"),
        ("crates/wire/clippy.toml", full),
        ("crates/session/clippy.toml", "threshold = 80\n"),
        ("crates/swarm/clippy.toml", full),
    ];
    let session = "crates/session/clippy.toml:1";
    assert_eq!(
        found(tidy::fences_stand, &files),
        [session, session, session, session, "clippy.toml:1"]
    );
}

#[test]
fn named_paths_exist() {
    holds("named_paths_exist", tidy::named_paths_exist);
    let guide = "`wire/yamux.rs` `crates/wire` `yamux.rs` `/echo/1.0.0` `a::b.rs` `read/write`\n`wire/mplex.rs`\n```\n`gone.rs`\n```\n`crates/gone/` `mux.rs`\n";
    let files = [
        ("ARCHITECTURE.md", guide),
        ("crates/wire/src/yamux.rs", "//! y\n"),
    ];
    let places = [2, 6, 6].map(|line| format!("ARCHITECTURE.md:{line}"));
    assert_eq!(found(tidy::named_paths_exist, &files), places);
    let tree = source::tree(&source::root()).unwrap();
    assert!(
        tree.iter().any(|file| file.path == "ARCHITECTURE.md"),
        "ARCHITECTURE.md is missing; it is the map"
    );
}

#[test]
fn no_registry_hosts() {
    holds("no_registry_hosts", tidy::no_registry_hosts);
    let name = concat!("crates", ".io");
    let lock = format!("source = \"registry+https://github.com/rust-lang/{name}-index\"\n");
    let mirror = format!("{lock}source = \"sparse+https://index.{name}/\"\n");
    let files = [
        ("Cargo.lock", lock.as_str()),
        ("x/Cargo.lock", mirror.as_str()),
        ("a.md", lock.as_str()),
    ];
    assert_eq!(
        found(tidy::no_registry_hosts, &files),
        ["x/Cargo.lock:2", "a.md:1"]
    );
}

#[test]
fn no_process() {
    holds("no_process", tidy::no_process);
    let text = concat!(
        "the session's task and the agent version\nsee iss",
        "ue #12\nby an A",
        "I agent\n"
    );
    assert_eq!(
        found(tidy::no_process, &[("a.md", text)]),
        ["a.md:2", "a.md:3"]
    );
}

#[test]
fn an_exception_excuses_its_finding_and_goes_stale_without_it() {
    let exceptions = [Exception {
        rule: "no_unwrap",
        path: "a.rs",
        what: ".unwrap()",
        reason: "a sample",
    }];
    let found = || tidy::no_unwrap(&[File::new("a.rs", "a.unwrap();")]);
    assert_eq!(tidy::judge("no_unwrap", found(), &[]).0.len(), 1);
    let (findings, stale) = tidy::judge("no_unwrap", found(), &exceptions);
    assert!(findings.is_empty() && stale.is_empty());
    assert_eq!(tidy::judge("no_unwrap", Vec::new(), &exceptions).1.len(), 1);
    assert!(
        tidy::judge("no_sleep_in_tests", Vec::new(), &exceptions)
            .1
            .is_empty()
    );
}
