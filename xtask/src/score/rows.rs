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
        number: 8,
        promise: "work before proof",
        target: "at most 1 KiB held for who is silent, at most 4 bytes allocated for each received",
        quick: Some("cargo test --package carrick --all-features --test unproven -- --nocapture"),
        full: Some(
            "cargo test --release --package carrick --all-features --test unproven -- --nocapture",
        ),
        source: Source::Json,
    },
    Row {
        number: 12,
        promise: "peers that are killed",
        target: "nothing is left of them a second after the idle time, and they are back in five",
        quick: Some("cargo xtask kills -- --kills 2 --together 2 --road tcp --json"),
        full: Some("cargo xtask kills -- --kills 125 --together 25 --json"),
        source: Source::Json,
    },
    Row {
        number: 20,
        promise: "nothing is lost",
        target: "all gauges where they were, and the heap within 64 KiB",
        quick: Some("cargo test --package carrick --all-features --test cycles -- --nocapture"),
        full: Some(
            "env CARRICK_CYCLES=1000000 cargo test --release --package carrick --all-features --test cycles -- --nocapture",
        ),
        source: Source::Json,
    },
    Row {
        number: 25,
        promise: "shutdown",
        target: "at most 5 s beside a peer that is frozen at any step",
        quick: Some("cargo xtask kills -- --close --road tcp --side dialer --only Stream --json"),
        full: Some("cargo xtask kills -- --close --json"),
        source: Source::Json,
    },
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
    Row {
        number: 10,
        promise: "loss and long ways",
        target: "every request answered or told within 30 s; at least 70 % of the goodput of go- and rust-libp2p",
        quick: Some("cargo xtask faults --quick --json --rows 10"),
        full: Some("cargo xtask faults --json --rows 10"),
        source: Source::Json,
    },
    Row {
        number: 11,
        promise: "reordering, doubles, wrong bits, black holes, NATs, MTU",
        target: "survived, or told within 30 s",
        quick: Some("cargo xtask faults --quick --json --rows 11"),
        full: Some("cargo xtask faults --json --rows 11"),
        source: Source::Json,
    },
    Row {
        number: 13,
        promise: "a side that stands still for a minute",
        target: "95 % of the connections are back within 10 s",
        quick: Some("cargo xtask faults --quick --json --rows 13"),
        full: Some("cargo xtask faults --json --rows 13"),
        source: Source::Json,
    },
    Row {
        number: 24,
        promise: "other stacks over a bad network",
        target: "every check passes at 5 % loss and 300 ms, or fails between two of theirs as well",
        quick: None,
        full: Some("cargo xtask faults --json --rows 24"),
        source: Source::Json,
    },
];
