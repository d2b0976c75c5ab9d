//! What can be run: the stacks and the rows of the table.

use anyhow::{Result, bail};

pub(crate) struct Stack {
    /// What `--stacks` calls it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) binary: &'static str,
    /// What it runs over, whatever the row says.
    pub(crate) over: &'static [&'static str],
    /// What the dialer is told, whatever the row says.
    pub(crate) options: &'static [&'static str],
    /// What the dialer does instead of what the row says.
    pub(crate) workload: Option<&'static str>,
}

impl Stack {
    const fn new(name: &'static str, title: &'static str, binary: &'static str) -> Self {
        let (over, options): (&[&str], &[&str]) = (&[], &[]);
        Self {
            name,
            title,
            binary,
            over,
            options,
            workload: None,
        }
    }

    const fn over(mut self, over: &'static [&'static str]) -> Self {
        self.over = over;
        self
    }

    const fn options(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    const fn doing(mut self, workload: &'static str) -> Self {
        self.workload = Some(workload);
        self
    }

    /// What to say when the binary is not there.
    pub(crate) fn missing(&self) -> &'static str {
        match self.binary {
            "bench-litep2p" => {
                "it is not built: that needs protoc (Debian: apt-get install protobuf-compiler)"
            }
            "bench-go" => "it is not built: that needs Go",
            _ => "it is not built",
        }
    }
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
    /// When it is run without being named.
    pub(crate) when: When,
    /// Options of the relay between the two sides; without one they talk directly.
    pub(crate) path: Option<&'static [&'static str]>,
    /// How the programs' names end: what not every stack has, or what would burden the other rows, is in one of its own.
    pub(crate) program: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    Named,
    Full,
    FullAndQuick,
}

impl Row {
    const fn new(
        name: &'static str,
        title: &'static str,
        over: &'static [&'static str],
        arguments: &'static [&'static str],
        stacks: &'static [&'static str],
        figure: &'static Figure,
    ) -> Self {
        Self {
            name,
            title,
            over,
            arguments,
            stacks,
            figure,
            when: When::Named,
            path: None,
            program: "",
        }
    }

    const fn program(mut self, end: &'static str) -> Self {
        self.program = end;
        self
    }

    const fn full(mut self) -> Self {
        self.when = When::Full;
        self
    }

    const fn quick(mut self) -> Self {
        self.when = When::FullAndQuick;
        self
    }

    const fn through(mut self, path: &'static [&'static str]) -> Self {
        self.path = Some(path);
        self
    }

    pub(crate) fn over_title(&self) -> &'static str {
        match self.over {
            NOISE => "TCP + Noise",
            TLS => "TCP + TLS",
            WS => "WebSocket + Noise",
            _ => "QUIC",
        }
    }

    /// The program of a stack that this row runs.
    pub(crate) fn binary(&self, stack: &Stack) -> String {
        format!("{}{}", stack.binary, self.program)
    }

    pub(crate) fn reference(&self) -> &'static str {
        self.stacks.last().expect("every row has stacks")
    }
}

/// The number that a row is about, as the harness reports it.
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
    /// It is a ratio already: more ratios would say nothing.
    pub(crate) is_ratio: bool,
    pub(crate) cpu_key: &'static str,
    pub(crate) cpu_unit: &'static str,
}

/// The stack that the first ratio refers to.
pub(crate) const BASE: &str = "libp2p";

#[rustfmt::skip]
pub(crate) const STACKS: &[Stack] = &[
    Stack::new("carrick", "Carrick", "bench-carrick"),
    Stack::new(BASE, "rust-libp2p", "bench-libp2p"),
    Stack::new("go", "go-libp2p", "bench-go"),
    Stack::new("litep2p", "litep2p", "bench-litep2p"),
    Stack::new("tcp", "limit: TCP", "bench-limit").over(&["--security", "none"]),
    Stack::new("limit", "limit: TCP + AEAD", "bench-limit"),
    Stack::new("limit-1", "limit: one TCP + AEAD", "bench-limit").options(&["--streams", "1"]),
    Stack::new("limit-pingpong", "limit: ping-pong", "bench-limit").doing("pingpong"),
    Stack::new("raw-tls", "limit: rustls", "bench-raw-tls").over(TLS),
    Stack::new("raw-tls-1", "limit: one rustls", "bench-raw-tls").over(TLS).options(&["--streams", "1"]),
    Stack::new("raw-quinn", "limit: quinn", "bench-raw-quinn").over(QUIC),
    Stack::new("carrick-tcp", "Carrick over TCP", "bench-carrick").over(NOISE),
    Stack::new("carrick-streams", "Carrick: messages", "bench-carrick").over(&["--form", "streams"]),
    Stack::new("carrick-mux", "Carrick: messages, muxed", "bench-carrick").over(&["--form", "multiplexed"]),
    Stack::new("tonic", "tonic over TLS", "bench-tonic").over(TLS),
    Stack::new("fan-once", "Carrick: encoded once", "bench-carrick").doing("once"),
    Stack::new("fan-each", "Carrick: each encoded", "bench-carrick").doing("each"),
    Stack::new("send", "carrick send", "bench-limit").doing("carrick"),
    Stack::new("copy", "TCP + ChaCha20", "bench-limit").doing("noise"),
    Stack::new("copy-aes", "limit: TCP + AES", "bench-limit").doing("tls"),
    Stack::new("streams-10000", "Carrick, 10,000 idle", "bench-carrick").options(&["--idle-streams", "10000"]),
    Stack::new("streams-1000", "Carrick, 1,000 idle", "bench-carrick").options(&["--idle-streams", "1000"]),
    Stack::new("streams-100", "Carrick, 100 idle", "bench-carrick").options(&["--idle-streams", "100"]),
    Stack::new("streams-1", "Carrick, 1 idle", "bench-carrick").options(&["--idle-streams", "1"]),
    Stack::new("connections-10000", "Carrick, 10,000 idle", "bench-carrick").options(&["--idle-connections", "10000"]),
    Stack::new("connections-1000", "Carrick, 1,000 idle", "bench-carrick").options(&["--idle-connections", "1000"]),
    Stack::new("connections-100", "Carrick, 100 idle", "bench-carrick").options(&["--idle-connections", "100"]),
    Stack::new("connections-1", "Carrick, 1 idle", "bench-carrick").options(&["--idle-connections", "1"]),
];

const NOISE: &[&str] = &["--transport", "tcp", "--security", "noise"];
const TLS: &[&str] = &["--transport", "tcp", "--security", "tls"];
const WS: &[&str] = &["--transport", "ws", "--security", "noise"];
const QUIC: &[&str] = &["--transport", "quic-v1", "--security", "tls"];

const PEERS: &[&str] = &["carrick", BASE, "go", "litep2p"];
const BULK: &[&str] = &["carrick", BASE, "go", "litep2p", "limit"];
/// All streams of a muxer share one connection, so that is what bounds them, not a connection for each.
const BULK_MANY: &[&str] = &["carrick", BASE, "go", "litep2p", "limit-1"];
const REQUESTS: &[&str] = &["carrick", BASE, "go", "litep2p", "limit-pingpong"];
const CONNECTIONS: &[&str] = &["carrick", BASE, "go", "litep2p", "raw-tls"];
const TLS_ALL: &[&str] = &["carrick", BASE, "go", "raw-tls"];
const TLS_MANY: &[&str] = &["carrick", BASE, "go", "raw-tls-1"];
const QUIC_ALL: &[&str] = &["carrick", BASE, "go", "litep2p", "raw-quinn"];
const WS_ALL: &[&str] = &["carrick", BASE, "go", "litep2p", "carrick-tcp"];
const PACKETS: &[&str] = &["carrick", "raw-quinn"];
const PATH: &[&str] = &["carrick", BASE, "go", "litep2p", "limit", "tcp"];
const ASKED: &[&str] = &[
    "carrick",
    "carrick-streams",
    "carrick-mux",
    BASE,
    "litep2p",
    "tonic",
];
const QUIC_ASKED: &[&str] = &["carrick", "carrick-streams", "carrick-mux", BASE, "litep2p"];
const STREAMS: &[&str] = &["streams-10000", "streams-1000", "streams-100", "streams-1"];
const HELD: &[&str] = &[
    "connections-10000",
    "connections-1000",
    "connections-100",
    "connections-1",
];

/// 60 ms there and back.
const FAT_1G: &[&str] = &["--delay-ms", "30", "--rate-mbit", "1000"];
const FAT_5G: &[&str] = &["--delay-ms", "30", "--rate-mbit", "5000"];

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row::new("up-1", "upload, 1 stream", NOISE, &["up"], BULK, &THROUGHPUT).quick(),
    Row::new("up-10", "upload, 10 streams", NOISE, &["up", "--streams", "10"], BULK_MANY, &THROUGHPUT),
    Row::new("up-100", "upload, 100 streams", NOISE, &["up", "--streams", "100"], BULK_MANY, &THROUGHPUT).quick(),
    Row::new("down-1", "download, 1 stream", NOISE, &["down"], BULK, &THROUGHPUT).full(),
    Row::new("down-10", "download, 10 streams", NOISE, &["down", "--streams", "10"], BULK_MANY, &THROUGHPUT),
    Row::new("down-100", "download, 100 streams", NOISE, &["down", "--streams", "100"], BULK_MANY, &THROUGHPUT).full(),
    Row::new("tls-up-1", "TLS: upload, 1 stream", TLS, &["up"], TLS_ALL, &THROUGHPUT).quick(),
    Row::new("tls-up-100", "TLS: upload, 100 streams", TLS, &["up", "--streams", "100"], TLS_MANY, &THROUGHPUT),
    Row::new("tls-down-1", "TLS: download, 1 stream", TLS, &["down"], TLS_ALL, &THROUGHPUT).full(),
    Row::new("tls-down-100", "TLS: download, 100 streams", TLS, &["down", "--streams", "100"], TLS_MANY, &THROUGHPUT),
    Row::new("quic-up-1", "QUIC: upload, 1 stream", QUIC, &["up", "--bytes", "268435456"], QUIC_ALL, &THROUGHPUT).quick(),
    Row::new("quic-up-10", "QUIC: upload, 10 streams", QUIC, &["up", "--bytes", "268435456", "--streams", "10"], QUIC_ALL, &THROUGHPUT),
    Row::new("quic-down-1", "QUIC: download, 1 stream", QUIC, &["down", "--bytes", "268435456"], QUIC_ALL, &THROUGHPUT).full(),
    Row::new("quic-down-10", "QUIC: download, 10 streams", QUIC, &["down", "--bytes", "268435456", "--streams", "10"], QUIC_ALL, &THROUGHPUT),
    Row::new("ws-up-1", "WebSocket: upload, 1 stream", WS, &["up"], WS_ALL, &THROUGHPUT).full(),
    Row::new("ws-down-1", "WebSocket: download, 1 stream", WS, &["down"], WS_ALL, &THROUGHPUT),
    Row::new("rr-1", "request on a fresh stream, one by one", NOISE, &["rr"], REQUESTS, &RATE).quick(),
    Row::new("rr-100", "request on a fresh stream, 100 at once", NOISE, &["rr", "--concurrency", "100"], QUIC_ALL, &RATE).quick(),
    Row::new("quic-rr-1", "QUIC: request on a fresh stream, one by one", QUIC, &["rr"], QUIC_ALL, &RATE),
    Row::new("quic-rr-100", "QUIC: request on a fresh stream, 100 at once", QUIC, &["rr", "--concurrency", "100"], QUIC_ALL, &RATE),
    Row::new("ask-1", "request of 64 bytes, one by one", NOISE, &["ask", "--packet-len", "64"], ASKED, &RATE).program("-ask"),
    Row::new("ask-100", "request of 64 bytes, 100 at once", NOISE, &["ask", "--packet-len", "64", "--concurrency", "100"], ASKED, &RATE).program("-ask"),
    Row::new("ask-1000", "request of 64 bytes, 1,000 at once", NOISE, &["ask", "--packet-len", "64", "--concurrency", "1000"], ASKED, &RATE).program("-ask"),
    Row::new("ask-4k-1", "request of 4 KiB, one by one", NOISE, &["ask", "--packet-len", "4096"], ASKED, &RATE).program("-ask"),
    Row::new("ask-4k-100", "request of 4 KiB, 100 at once", NOISE, &["ask", "--packet-len", "4096", "--concurrency", "100"], ASKED, &RATE).program("-ask"),
    Row::new("ask-4k-1000", "request of 4 KiB, 1,000 at once", NOISE, &["ask", "--packet-len", "4096", "--concurrency", "1000"], ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-1", "QUIC: request of 64 bytes, one by one", QUIC, &["ask", "--packet-len", "64"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-100", "QUIC: request of 64 bytes, 100 at once", QUIC, &["ask", "--packet-len", "64", "--concurrency", "100"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-1000", "QUIC: request of 64 bytes, 1,000 at once", QUIC, &["ask", "--packet-len", "64", "--concurrency", "1000"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-4k-1", "QUIC: request of 4 KiB, one by one", QUIC, &["ask", "--packet-len", "4096"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-4k-100", "QUIC: request of 4 KiB, 100 at once", QUIC, &["ask", "--packet-len", "4096", "--concurrency", "100"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("quic-ask-4k-1000", "QUIC: request of 4 KiB, 1,000 at once", QUIC, &["ask", "--packet-len", "4096", "--concurrency", "1000"], QUIC_ASKED, &RATE).program("-ask"),
    Row::new("pingpong-1", "ping-pong, 1 stream", NOISE, &["pingpong"], BULK, &RATE).quick(),
    Row::new("pingpong-100", "ping-pong, 100 streams", NOISE, &["pingpong", "--concurrency", "100"], BULK, &RATE),
    Row::new("fan", "a message of 4 KiB to 1,000 peers, cost at the sender", NOISE, &["once"], &["fan-once", "fan-each"], &COST_PER_OPERATION).program("-fan"),
    Row::new("file", "a file of 2 GiB", NOISE, &["carrick", "--bytes", "2147483648"], &["send", "copy", "copy-aes"], &THROUGHPUT).program("-copy"),
    Row::new("conn-1", "connect and close, one by one", NOISE, &["conn"], CONNECTIONS, &RATE).quick(),
    Row::new("conn-16", "connect and close, 16 at once", NOISE, &["conn", "--concurrency", "16"], CONNECTIONS, &RATE).full(),
    Row::new("connrr-1", "connect, one request, close", NOISE, &["conn", "--request"], CONNECTIONS, &RATE),
    Row::new("tls-conn-1", "TLS: connect and close, one by one", TLS, &["conn"], TLS_ALL, &RATE),
    Row::new("tls-conn-16", "TLS: connect and close, 16 at once", TLS, &["conn", "--concurrency", "16"], TLS_ALL, &RATE),
    Row::new("tls-meet-1", "TLS: connect strangers and close, one by one", TLS, &["meet", "--connections", "500"], TLS_ALL, &RATE),
    Row::new("quic-conn-1", "QUIC: connect and close, one by one", QUIC, &["conn"], QUIC_ALL, &RATE),
    Row::new("quic-conn-16", "QUIC: connect and close, 16 at once", QUIC, &["conn", "--concurrency", "16"], QUIC_ALL, &RATE),
    Row::new("quic-meet-1", "QUIC: connect strangers and close, one by one", QUIC, &["meet", "--connections", "500"], QUIC_ALL, &RATE),
    Row::new("idle", "memory per idle connection, server", NOISE, &["idle"], CONNECTIONS, &MEMORY).quick(),
    Row::new("quic-idle", "QUIC: memory per idle connection, server", QUIC, &["idle"], QUIC_ALL, &MEMORY).full(),
    Row::new("stalled-up", "1 of 100 uploads stalled: speed of the others", NOISE, &["stalled", "--streams", "99"], PEERS, &STALLED).full(),
    Row::new("stalled-down", "1 of 100 downloads stalled: speed of the others", NOISE, &["stalled", "--streams", "99", "--down"], PEERS, &STALLED),
    Row::new("stalled-quic-up", "QUIC: 1 of 100 uploads stalled: speed of the others", QUIC, &["stalled", "--bytes", "268435456", "--streams", "99"], QUIC_ALL, &STALLED),
    Row::new("beside-up", "ping-pong p99 beside an upload", NOISE, &["beside"], BULK, &BESIDE).full(),
    Row::new("beside-down", "ping-pong p99 beside a download", NOISE, &["beside", "--down"], BULK, &BESIDE),
    Row::new("beside-quic-up", "QUIC: ping-pong p99 beside an upload", QUIC, &["beside"], QUIC_ALL, &BESIDE),
    Row::new("lfp-1g", "upload over 1 Gbit/s and 60 ms there and back", NOISE, &["up", "--bytes", "671088640"], PATH, &THROUGHPUT).full().through(FAT_1G),
    Row::new("lfp-1g-down", "download over 1 Gbit/s and 60 ms there and back", NOISE, &["down", "--ramp", "--bytes", "671088640"], PATH, &THROUGHPUT).through(FAT_1G),
    Row::new("lfp-5g", "upload over 5 Gbit/s and 60 ms there and back", NOISE, &["up", "--bytes", "2147483648"], PATH, &THROUGHPUT).through(FAT_5G),
    Row::new("scale-streams", "a request beside idle streams of its connection", NOISE, &["rr", "--secs", "2"], STREAMS, &COST_PER_OPERATION),
    Row::new("scale-streams-pingpong", "a message beside idle streams of its connection", NOISE, &["pingpong", "--secs", "2"], STREAMS, &COST_PER_OPERATION),
    Row::new("scale-streams-up", "bytes beside idle streams of their connection", NOISE, &["up", "--bytes", "1073741824"], STREAMS, &COST_PER_BYTE),
    Row::new("scale-connections", "a request beside idle connections", NOISE, &["rr", "--secs", "2"], HELD, &COST_PER_OPERATION),
    Row::new("scale-connections-up", "bytes beside idle connections", NOISE, &["up", "--bytes", "1073741824"], HELD, &COST_PER_BYTE),
    Row::new("packets-1200", "packets of 1,200 bytes, one way", QUIC, &["packets", "--packet-len", "1200"], PACKETS, &PACKET_RATE),
    Row::new("packets-100", "packets of 100 bytes, one way", QUIC, &["packets", "--packet-len", "100"], PACKETS, &PACKET_RATE),
];

const THROUGHPUT: Figure = Figure {
    key: "mb_s",
    unit: "MB/s",
    more_is_better: true,
    is_ratio: false,
    cpu_key: "cpu_s_per_gib",
    cpu_unit: "s/GiB",
};
const RATE: Figure = Figure {
    key: "ops_s",
    unit: "/s",
    cpu_key: "cpu_us_per_op",
    cpu_unit: "µs",
    ..THROUGHPUT
};
const PACKET_RATE: Figure = Figure {
    key: "packets_s",
    unit: "/s",
    cpu_key: "cpu_us_per_packet",
    cpu_unit: "µs",
    ..THROUGHPUT
};
const MEMORY: Figure = Figure {
    key: "kib_per_connection",
    unit: "KiB",
    more_is_better: false,
    is_ratio: false,
    cpu_key: "",
    cpu_unit: "",
};
const COST_PER_OPERATION: Figure = Figure {
    key: "cpu_us_per_op",
    unit: "µs CPU",
    ..MEMORY
};
const COST_PER_BYTE: Figure = Figure {
    key: "cpu_s_per_gib",
    unit: "s/GiB CPU",
    ..MEMORY
};
const STALLED: Figure = Figure {
    key: "stalled_part",
    unit: "of it alone",
    is_ratio: true,
    more_is_better: true,
    ..MEMORY
};
const BESIDE: Figure = Figure {
    key: "p99_times",
    unit: "× it alone",
    is_ratio: true,
    ..MEMORY
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

/// A name stands for its row, or for all rows that begin with it and a dash; `all` for every row.
/// Without names it is the rows that are meant to be run so.
pub(crate) fn rows(only: &[String], quick: bool) -> Result<Vec<&'static Row>> {
    let means = |name: &str, row: &Row| {
        let rest = row.name.strip_prefix(name);
        name == "all" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if let Some(name) = only
        .iter()
        .find(|name| !ROWS.iter().any(|row| means(name, row)))
    {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        bail!("there is no row {name}, but all, {}", names.join(", "));
    }
    let by_itself = |row: &Row| match row.when {
        When::Named => false,
        When::Full => !quick,
        When::FullAndQuick => true,
    };
    Ok(ROWS
        .iter()
        .filter(|row| match only {
            [] => by_itself(row),
            names => names.iter().any(|name| means(name, row)),
        })
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
