//! What can be run: the stacks and the rows of the table.

use anyhow::{Result, bail};

pub(crate) struct Stack {
    /// What `--stacks` calls it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) binary: &'static str,
    /// What it runs over, whatever the row says.
    pub(crate) over: &'static [&'static str],
    /// What to say when the binary is not there.
    pub(crate) missing: &'static str,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Transport and security.
    pub(crate) over: &'static [&'static str],
    /// Workload and options for `run`.
    pub(crate) arguments: &'static [&'static str],
    /// The last one is what the row's second ratio refers to.
    pub(crate) stacks: &'static [&'static str],
    pub(crate) figure: &'static Figure,
}

impl Row {
    pub(crate) fn reference(&self) -> &'static str {
        self.stacks.last().expect("every row has stacks")
    }
}

/// The number that a row is about, as the harness reports it.
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
    pub(crate) cpu_key: &'static str,
    pub(crate) cpu_unit: &'static str,
}

/// The stack that the first ratio refers to.
pub(crate) const BASE: &str = "libp2p";

const BUILT: &str = "it is not built";
const PROTOC: &str =
    "it is not built: that needs protoc (Debian: apt-get install protobuf-compiler)";

#[rustfmt::skip]
pub(crate) const STACKS: &[Stack] = &[
    Stack { name: "carrick", title: "Carrick", binary: "bench-carrick", over: &[], missing: BUILT },
    Stack { name: BASE, title: "rust-libp2p", binary: "bench-libp2p", over: &[], missing: BUILT },
    Stack { name: "litep2p", title: "litep2p", binary: "bench-litep2p", over: &[], missing: PROTOC },
    Stack { name: "tcp", title: "limit: TCP", binary: "bench-limit", over: &["--security", "none"], missing: BUILT },
    Stack { name: "limit", title: "limit: TCP + AEAD", binary: "bench-limit", over: &[], missing: BUILT },
    Stack { name: "raw-tls", title: "limit: rustls", binary: "bench-raw-tls", over: &[], missing: BUILT },
    Stack { name: "raw-quinn", title: "limit: quinn", binary: "bench-raw-quinn", over: &[], missing: BUILT },
    Stack { name: "carrick-tcp", title: "Carrick over TCP", binary: "bench-carrick", over: NOISE, missing: BUILT },
];

const NOISE: &[&str] = &["--transport", "tcp", "--security", "noise"];
const TLS: &[&str] = &["--transport", "tcp", "--security", "tls"];
const WS: &[&str] = &["--transport", "ws", "--security", "noise"];
const QUIC: &[&str] = &["--transport", "quic-v1", "--security", "tls"];

const BULK: &[&str] = &["carrick", BASE, "litep2p", "tcp", "limit"];
const ALL: &[&str] = &["carrick", BASE, "litep2p", "limit"];
const TLS_BULK: &[&str] = &["carrick", BASE, "limit", "raw-tls"];
const TLS_ALL: &[&str] = &["carrick", BASE, "raw-tls"];
const QUIC_ALL: &[&str] = &["carrick", BASE, "litep2p", "raw-quinn"];
const WS_ALL: &[&str] = &["carrick", BASE, "litep2p", "carrick-tcp"];
const PACKETS: &[&str] = &["carrick", "raw-quinn"];

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row { name: "up-1", title: "upload, 1 stream", over: NOISE, arguments: &["up"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "up-10", title: "upload, 10 streams", over: NOISE, arguments: &["up", "--streams", "10"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "up-100", title: "upload, 100 streams", over: NOISE, arguments: &["up", "--streams", "100"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "down-1", title: "download, 1 stream", over: NOISE, arguments: &["down"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "down-10", title: "download, 10 streams", over: NOISE, arguments: &["down", "--streams", "10"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "down-100", title: "download, 100 streams", over: NOISE, arguments: &["down", "--streams", "100"], stacks: BULK, figure: &THROUGHPUT },
    Row { name: "rr-1", title: "request on a fresh stream, one by one", over: NOISE, arguments: &["rr"], stacks: ALL, figure: &RATE },
    Row { name: "rr-100", title: "request on a fresh stream, 100 at once", over: NOISE, arguments: &["rr", "--concurrency", "100"], stacks: ALL, figure: &RATE },
    Row { name: "pingpong-1", title: "ping-pong, 1 stream", over: NOISE, arguments: &["pingpong"], stacks: ALL, figure: &RATE },
    Row { name: "pingpong-100", title: "ping-pong, 100 streams", over: NOISE, arguments: &["pingpong", "--concurrency", "100"], stacks: ALL, figure: &RATE },
    Row { name: "conn-1", title: "connect and close, one by one", over: NOISE, arguments: &["conn"], stacks: ALL, figure: &RATE },
    Row { name: "conn-16", title: "connect and close, 16 at once", over: NOISE, arguments: &["conn", "--concurrency", "16"], stacks: ALL, figure: &RATE },
    Row { name: "connrr-1", title: "connect, one request, close", over: NOISE, arguments: &["conn", "--request"], stacks: ALL, figure: &RATE },
    Row { name: "idle", title: "memory per idle connection, server", over: NOISE, arguments: &["idle"], stacks: ALL, figure: &MEMORY },
    Row { name: "tls-up-1", title: "TLS: upload, 1 stream", over: TLS, arguments: &["up"], stacks: TLS_BULK, figure: &THROUGHPUT },
    Row { name: "tls-up-100", title: "TLS: upload, 100 streams", over: TLS, arguments: &["up", "--streams", "100"], stacks: TLS_BULK, figure: &THROUGHPUT },
    Row { name: "tls-down-1", title: "TLS: download, 1 stream", over: TLS, arguments: &["down"], stacks: TLS_BULK, figure: &THROUGHPUT },
    Row { name: "tls-down-100", title: "TLS: download, 100 streams", over: TLS, arguments: &["down", "--streams", "100"], stacks: TLS_BULK, figure: &THROUGHPUT },
    Row { name: "tls-conn-1", title: "TLS: connect and close, one by one", over: TLS, arguments: &["conn"], stacks: TLS_ALL, figure: &RATE },
    Row { name: "tls-conn-16", title: "TLS: connect and close, 16 at once", over: TLS, arguments: &["conn", "--concurrency", "16"], stacks: TLS_ALL, figure: &RATE },
    Row { name: "tls-meet-1", title: "TLS: connect strangers and close, one by one", over: TLS, arguments: &["meet", "--connections", "500"], stacks: TLS_ALL, figure: &RATE },
    Row { name: "quic-up-1", title: "QUIC: upload, 1 stream", over: QUIC, arguments: &["up", "--bytes", "268435456"], stacks: QUIC_ALL, figure: &THROUGHPUT },
    Row { name: "quic-up-10", title: "QUIC: upload, 10 streams", over: QUIC, arguments: &["up", "--bytes", "268435456", "--streams", "10"], stacks: QUIC_ALL, figure: &THROUGHPUT },
    Row { name: "quic-down-1", title: "QUIC: download, 1 stream", over: QUIC, arguments: &["down", "--bytes", "268435456"], stacks: QUIC_ALL, figure: &THROUGHPUT },
    Row { name: "quic-down-10", title: "QUIC: download, 10 streams", over: QUIC, arguments: &["down", "--bytes", "268435456", "--streams", "10"], stacks: QUIC_ALL, figure: &THROUGHPUT },
    Row { name: "quic-rr-1", title: "QUIC: request on a fresh stream, one by one", over: QUIC, arguments: &["rr"], stacks: QUIC_ALL, figure: &RATE },
    Row { name: "quic-rr-100", title: "QUIC: request on a fresh stream, 100 at once", over: QUIC, arguments: &["rr", "--concurrency", "100"], stacks: QUIC_ALL, figure: &RATE },
    Row { name: "quic-conn-1", title: "QUIC: connect and close, one by one", over: QUIC, arguments: &["conn"], stacks: QUIC_ALL, figure: &RATE },
    Row { name: "quic-conn-16", title: "QUIC: connect and close, 16 at once", over: QUIC, arguments: &["conn", "--concurrency", "16"], stacks: QUIC_ALL, figure: &RATE },
    Row { name: "quic-meet-1", title: "QUIC: connect strangers and close, one by one", over: QUIC, arguments: &["meet", "--connections", "500"], stacks: QUIC_ALL, figure: &RATE },
    Row { name: "quic-idle", title: "QUIC: memory per idle connection, server", over: QUIC, arguments: &["idle"], stacks: QUIC_ALL, figure: &MEMORY },
    Row { name: "ws-up-1", title: "WebSocket: upload, 1 stream", over: WS, arguments: &["up"], stacks: WS_ALL, figure: &THROUGHPUT },
    Row { name: "ws-down-1", title: "WebSocket: download, 1 stream", over: WS, arguments: &["down"], stacks: WS_ALL, figure: &THROUGHPUT },
    Row { name: "packets-1200", title: "packets of 1,200 bytes, one way", over: QUIC, arguments: &["packets", "--packet-len", "1200"], stacks: PACKETS, figure: &PACKET_RATE },
    Row { name: "packets-100", title: "packets of 100 bytes, one way", over: QUIC, arguments: &["packets", "--packet-len", "100"], stacks: PACKETS, figure: &PACKET_RATE },
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
const PACKET_RATE: Figure = Figure {
    key: "packets_s",
    unit: "/s",
    more_is_better: true,
    cpu_key: "cpu_us_per_packet",
    cpu_unit: "µs",
};
const MEMORY: Figure = Figure {
    key: "kib_per_connection",
    unit: "KiB",
    more_is_better: false,
    cpu_key: "",
    cpu_unit: "",
};

/// Given before a row's own options and overridden by them.
pub(crate) const FULL: &[&str] = &["--bytes", "536870912", "--secs", "1"];
/// Given after a row's own options and stronger than they. An option that a workload does not use does no harm.
pub(crate) const QUICK: &[&str] = &[
    "--bytes",
    "67108864",
    "--secs",
    "0.3",
    "--connections",
    "100",
];

/// A name stands for its row, or for all rows that begin with it and a dash.
pub(crate) fn rows(only: &[String]) -> Result<Vec<&'static Row>> {
    let means = |name: &str, row: &Row| {
        let rest = row.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
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

/// Those that the row has, in its order.
pub(crate) fn stacks(row: &Row, only: &[String]) -> Vec<&'static Stack> {
    let wanted = |name: &&&str| only.is_empty() || only.iter().any(|only| only == **name);
    let stack = |name: &&str| STACKS.iter().find(|stack| stack.name == *name);
    row.stacks.iter().filter(wanted).filter_map(stack).collect()
}

pub(crate) fn check_stacks(only: &[String]) -> Result<()> {
    let unknown = |name: &&String| !STACKS.iter().any(|stack| stack.name == **name);
    if let Some(name) = only.iter().find(unknown) {
        let names: Vec<_> = STACKS.iter().map(|stack| stack.name).collect();
        bail!("there is no stack {name}, but {}", names.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
