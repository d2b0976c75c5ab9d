//! The rows: what is promised, what is aimed at, and which command says whether it holds.

/// One promise.
pub(super) struct Row {
    pub(super) number: u8,
    pub(super) promise: &'static str,
    pub(super) target: &'static str,
    /// A command of a minute or two.
    pub(super) quick: Option<&'static str>,
    /// The one whose figures are published.
    pub(super) full: Option<&'static str>,
    pub(super) source: Source,
}

/// Where a row's figures come from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// JSON objects on the command's stdout.
    Json,
    /// The command runs tests, and their number is the figure.
    Tests,
    /// The command's exit code.
    Holds,
}

/// The scorecard.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 21,
        promise: "every limit fires",
        target: "a test at its number, one above and after a release, for each",
        quick: Some("cargo test --quiet --package carrick-swarm --lib registry"),
        full: Some("cargo test --package carrick-swarm --package carrick limits"),
        source: Source::Tests,
    },
    Row {
        number: 22,
        promise: "advisories of the field",
        target: "each has a test, no crate is older than it may be",
        quick: Some("cargo test --package xtask --test advisories"),
        full: Some("cargo test --package xtask --test advisories"),
        source: Source::Tests,
    },
    Row {
        number: 18,
        promise: "nothing grows",
        target: "memory at most 0.5 MiB an hour, files and tasks not at all, p99 at most a tenth",
        quick: Some("cargo xtask soak -- --minutes 3 --json"),
        full: Some("cargo xtask soak -- --minutes 60 --json"),
        source: Source::Json,
    },
    Row {
        number: 27,
        promise: "supply chain",
        target: "licences, sources and versions as deny.toml has them",
        quick: Some("cargo deny --all-features check bans licenses sources"),
        full: Some("cargo deny --all-features check"),
        source: Source::Holds,
    },
];
