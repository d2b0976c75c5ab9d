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
        number: 1,
        promise: "no unsafe code, no shortcut that panics",
        target: "forbidden in every crate, and looked for in every line",
        quick: Some("cargo test --package xtask --test tidy"),
        full: Some("cargo test --package xtask --test tidy"),
        source: Source::Tests,
    },
    Row {
        number: 2,
        promise: "floods of connections",
        target: "honest p99 <= 2 x, none lost, RSS <= +64 MiB",
        quick: Some("cargo xtask attacks -- --quick --only C-01 --json"),
        full: Some("cargo xtask attacks -- --only C-01 --stack carrick,rust,js --json"),
        source: Source::Json,
    },
    Row {
        number: 3,
        promise: "half-open connections, frozen peers",
        target: "released within their deadline and a second",
        quick: Some("cargo xtask attacks -- --quick --only C-02 --json"),
        full: Some("cargo xtask kills -- --freeze --json"),
        source: Source::Json,
    },
    Row {
        number: 4,
        promise: "handshakes under garbage",
        target: "at least half as many as without it",
        quick: Some("cargo xtask attacks -- --quick --only C-03 --json"),
        full: Some("cargo xtask attacks -- --only C-03 --stack carrick,rust,js --json"),
        source: Source::Json,
    },
    Row {
        number: 5,
        promise: "floods inside a connection",
        target: "honest p99 <= 2 x, memory in bounds, cut off in 5 s",
        quick: Some(
            "cargo xtask attacks -- --quick --only M-01,M-02,M-03,M-04,M-05,M-06,M-07,M-08 --json",
        ),
        full: Some(
            "cargo xtask attacks -- --only M-01,M-02,M-03,M-04,M-05,M-06,M-07,M-08 --stack carrick,rust,js --json",
        ),
        source: Source::Json,
    },
    Row {
        number: 6,
        promise: "readers that stand still",
        target: "1,000 x 16 streams in 256 MiB, newcomers served",
        quick: Some("cargo xtask attacks -- --quick --only S-06,M-09 --json"),
        full: Some("cargo xtask attacks -- --only S-06,M-09 --json"),
        source: Source::Json,
    },
    Row {
        number: 7,
        promise: "what is idle",
        target: "<= 32 KiB a connection, <= 1 KiB a stream",
        quick: Some("cargo xtask attacks -- --quick --only S-07 --json"),
        full: Some("cargo xtask attacks -- --only S-07 --json"),
        source: Source::Json,
    },
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
        number: 9,
        promise: "amplification",
        target: "QUIC sends <= 3 x to who is not proven",
        quick: Some("cargo xtask attacks -- --quick --only Q-01 --json"),
        full: Some("cargo xtask attacks -- --only Q-01 --stack carrick,rust,js --json"),
        source: Source::Json,
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
        number: 12,
        promise: "peers that are killed",
        target: "nothing is left of them a second after the idle time, and they are back in five",
        quick: Some("cargo xtask kills -- --kills 2 --together 2 --road tcp --json"),
        full: Some("cargo xtask kills -- --kills 125 --together 25 --json"),
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
        number: 14,
        promise: "seeds of simulated networks",
        target: "2,000 at each change, all laws hold",
        quick: Some("cargo run --release --package carrick-sim -- --seeds 2000 --json"),
        full: Some("cargo run --release --package carrick-sim -- --seeds 2000 --json"),
        source: Source::Json,
    },
    Row {
        number: 15,
        promise: "fuzzing",
        target: "no finding; wire >= 95 % of regions",
        quick: Some("cargo xtask fuzz --seconds 2 --jobs 4 --json"),
        full: Some("cargo xtask fuzz --seconds 600 --json"),
        source: Source::Json,
    },
    Row {
        number: 16,
        promise: "beside other decoders",
        target: "10^7 inputs, each difference explained",
        quick: Some("cargo xtask fuzz --kind differential --seconds 2 --json"),
        full: Some("cargo xtask fuzz --kind differential --seconds 600 --json"),
        source: Source::Json,
    },
    Row {
        number: 17,
        promise: "what threads share",
        target: "10^6 schedules of each race",
        quick: Some("cargo xtask interleave --schedules 1000 --json"),
        full: Some("cargo xtask interleave --schedules 1000000 --json"),
        source: Source::Json,
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
        number: 19,
        promise: "a year, simulated",
        target: "365 days x 20 nodes",
        quick: Some("cargo run --release --package carrick-sim -- --days 2 --peers 20 --json"),
        full: Some("cargo run --release --package carrick-sim -- --days 365 --peers 20 --json"),
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
        number: 23,
        promise: "conformance",
        target: "every MUST that can be provoked",
        quick: Some("cargo xtask p2pspec --only carrick --json"),
        full: Some("cargo xtask p2pspec --require go,rust,js,py --json"),
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
    Row {
        number: 25,
        promise: "shutdown",
        target: "at most 5 s beside a peer that is frozen at any step",
        quick: Some("cargo xtask kills -- --close --road tcp --side dialer --only Stream --json"),
        full: Some("cargo xtask kills -- --close --json"),
        source: Source::Json,
    },
    Row {
        number: 26,
        promise: "mutants of wire and limit code",
        target: "85 % noticed",
        quick: None,
        full: Some("cargo xtask mutants --json"),
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
