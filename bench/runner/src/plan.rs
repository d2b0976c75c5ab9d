//! What can be run: the stacks and the rows of the table.

use anyhow::{Result, bail};

pub(crate) struct Stack {
    /// What `--stacks` calls it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) variant: &'static str,
    /// What to say when the binary is not there.
    pub(crate) missing: &'static str,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Workload and options for `run`.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) figure: &'static Figure,
}

/// The number that a row is about, as the harness reports it.
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
    pub(crate) cpu_key: &'static str,
    pub(crate) cpu_unit: &'static str,
}

/// The stack that all ratios refer to.
pub(crate) const BASE: &str = "libp2p";

#[rustfmt::skip]
pub(crate) const STACKS: &[Stack] = &[
    Stack { name: "carrick", title: "Carrick", binary: "bench-carrick", variant: "", missing: "it is not built" },
    Stack { name: BASE, title: "rust-libp2p", binary: "bench-libp2p", variant: "", missing: "it is not built" },
    Stack { name: "litep2p", title: "litep2p", binary: "bench-litep2p", variant: "", missing: "it is not built: that needs protoc (Debian: apt-get install protobuf-compiler)" },
    Stack { name: "limit", title: "limit: TCP + AEAD", binary: "bench-limit", variant: "", missing: "it is not built" },
    Stack { name: "tcp", title: "limit: TCP", binary: "bench-limit", variant: "raw", missing: "it is not built" },
];

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row { name: "up-1", title: "upload, 1 stream", arguments: &["up"], figure: &THROUGHPUT },
    Row { name: "up-10", title: "upload, 10 streams", arguments: &["up", "--streams", "10"], figure: &THROUGHPUT },
    Row { name: "up-100", title: "upload, 100 streams", arguments: &["up", "--streams", "100"], figure: &THROUGHPUT },
    Row { name: "down-1", title: "download, 1 stream", arguments: &["down"], figure: &THROUGHPUT },
    Row { name: "down-10", title: "download, 10 streams", arguments: &["down", "--streams", "10"], figure: &THROUGHPUT },
    Row { name: "down-100", title: "download, 100 streams", arguments: &["down", "--streams", "100"], figure: &THROUGHPUT },
    Row { name: "rr-1", title: "request on a fresh stream, one by one", arguments: &["rr"], figure: &RATE },
    Row { name: "rr-100", title: "request on a fresh stream, 100 at once", arguments: &["rr", "--concurrency", "100"], figure: &RATE },
    Row { name: "pingpong-1", title: "ping-pong, 1 stream", arguments: &["pingpong"], figure: &RATE },
    Row { name: "pingpong-100", title: "ping-pong, 100 streams", arguments: &["pingpong", "--concurrency", "100"], figure: &RATE },
    Row { name: "conn-1", title: "connect and close, one by one", arguments: &["conn"], figure: &RATE },
    Row { name: "conn-16", title: "connect and close, 16 at once", arguments: &["conn", "--concurrency", "16"], figure: &RATE },
    Row { name: "connrr-1", title: "connect, one request, close", arguments: &["conn", "--request"], figure: &RATE },
    Row { name: "idle", title: "memory per idle connection, server", arguments: &["idle"], figure: &MEMORY },
];

const THROUGHPUT: Figure = Figure {
    key: "mb_s",
    unit: "MB/s",
    more_is_better: true,
    cpu_key: "cpu_s_per_gib",
    cpu_unit: "s/GiB",
};
const RATE: Figure = Figure {
    key: "ops_s",
    unit: "/s",
    more_is_better: true,
    cpu_key: "cpu_us_per_op",
    cpu_unit: "µs",
};
const MEMORY: Figure = Figure {
    key: "kib_per_connection",
    unit: "KiB",
    more_is_better: false,
    cpu_key: "",
    cpu_unit: "",
};

/// Overrides of the harness's defaults; an option that a workload does not use does no harm.
pub(crate) const QUICK: &[&str] = &[
    "--bytes",
    "134217728",
    "--secs",
    "0.5",
    "--connections",
    "200",
];

/// A name stands for its row, or for all rows that differ in what follows the dash.
pub(crate) fn rows(only: &[String]) -> Result<Vec<&'static Row>> {
    let means = |name: &str, row: &Row| {
        row.name == name
            || row
                .name
                .rsplit_once('-')
                .is_some_and(|(start, _)| start == name)
    };
    if let Some(name) = only
        .iter()
        .find(|name| !ROWS.iter().any(|row| means(name, row)))
    {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        bail!("there is no row {name}, but {}", names.join(", "));
    }
    Ok(ROWS
        .iter()
        .filter(|row| only.is_empty() || only.iter().any(|name| means(name, row)))
        .collect())
}

pub(crate) fn stacks(only: &[String]) -> Result<Vec<&'static Stack>> {
    if let Some(name) = only
        .iter()
        .find(|name| !STACKS.iter().any(|stack| stack.name == **name))
    {
        let names: Vec<_> = STACKS.iter().map(|stack| stack.name).collect();
        bail!("there is no stack {name}, but {}", names.join(", "));
    }
    Ok(STACKS
        .iter()
        .filter(|stack| only.is_empty() || only.iter().any(|name| stack.name == name))
        .collect())
}
