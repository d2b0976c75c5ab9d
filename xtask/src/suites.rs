//! `cargo xtask suites`: plays the public suites on this machine. Each row is a listener and a dialer that know of each
//! other through a real Redis only, as in the suites' containers; a row passes when the dialer prints what the suite reads.

use crate::interop::process::{Line, Process};
use crate::programs;
use crate::steps::{Steps, cargo, has_program, quiet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs every row; fails when one of them does, or when there is no Redis.
pub(crate) fn run() -> Result<(), String> {
    if !has_program("redis-server") {
        return Err("suites need redis-server; on Debian: apt-get install redis-server".to_owned());
    }
    let mut steps = Steps::default();
    let (carrick, rust) = build(&mut steps)?;
    let redis = Redis::start()?;
    let mut rows = Vec::new();
    for stack in STACKS {
        for generation in [Generation::Modern, Generation::Legacy] {
            rows.push((Suite::Transport(generation), stack, [&carrick, &carrick]));
        }
        if stack[0] != "wss" {
            let generation = Generation::Modern;
            rows.push((Suite::Transport(generation), stack, [&carrick, &rust]));
            rows.push((Suite::Transport(generation), stack, [&rust, &carrick]));
        }
    }
    for stack in [STACKS[0], STACKS[STACKS.len() - 1]] {
        for pair in [[&carrick, &rust], [&rust, &carrick]] {
            rows.push((Suite::Transport(Generation::Legacy), stack, pair));
        }
        for pair in [[&carrick, &carrick], [&carrick, &rust], [&rust, &carrick]] {
            rows.push((Suite::Perf, stack, pair));
        }
    }
    let mut failures = 0;
    for (at, (suite, stack, [dialer, listener])) in rows.iter().enumerate() {
        let row = Row {
            suite: *suite,
            stack: *stack,
            key: format!("{at:08x}"),
            redis: &redis,
        };
        let outcome = row.play(dialer, listener);
        failures += usize::from(outcome.is_err());
        println!(
            "{:<4} {:<9} {:<26} {} x {}: {}",
            if outcome.is_ok() { "ok" } else { "FAIL" },
            suite.name(),
            stack.join(" ").trim_end(),
            dialer.name,
            listener.name,
            outcome.unwrap_or_else(|why| why)
        );
    }
    for transport in ["tcp", "quic-v1"] {
        let outcome = command_line(&carrick, transport);
        failures += usize::from(outcome.is_err());
        let mark = if outcome.is_ok() { "ok" } else { "FAIL" };
        let outcome = outcome.unwrap_or_else(|why| why);
        println!("{mark:<4} perf cli  {transport:<26} carrick x carrick: {outcome}");
    }
    match failures {
        0 => Ok(()),
        _ => Err(format!("{failures} rows of the public suites failed")),
    }
}

struct Program {
    name: &'static str,
    path: String,
}

fn build(steps: &mut Steps) -> Result<(Program, Program), String> {
    let own = programs::build(steps)?.join("carrick-interop");
    let rust = ["build", "--release", "--locked", "--bin", "rust-suite"];
    let mut build = cargo(&rust);
    build
        .args(["--manifest-path", "interop/rust/Cargo.toml"])
        .env("CARGO_TARGET_DIR", "interop/.build/rust");
    steps.run("build interop/rust", quiet(&mut build))?;
    Ok((
        Program {
            name: "carrick",
            path: own.to_string_lossy().into_owned(),
        },
        Program {
            name: "rust",
            path: "interop/.build/rust/release/rust-suite".to_owned(),
        },
    ))
}

#[derive(Clone, Copy)]
enum Generation {
    Modern,
    Legacy,
}

#[derive(Clone, Copy)]
enum Suite {
    Transport(Generation),
    Perf,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Transport(Generation::Modern) => "transport",
            Self::Transport(Generation::Legacy) => "legacy",
            Self::Perf => "perf",
        }
    }

    /// What must stand in the dialer's output.
    fn wanted(self) -> &'static [&'static str] {
        match self {
            Self::Transport(Generation::Modern) => &[
                "latency:",
                "  handshake_plus_one_rtt: ",
                "  ping_rtt: ",
                "  unit: ms",
            ],
            Self::Transport(Generation::Legacy) => &["{\"handshakePlusOneRTTMillis\":"],
            Self::Perf => &["upload:", "download:", "  median: ", "  unit: Gbps"],
        }
    }
}

/// Transport, security, muxer.
type Stack = [&'static str; 3];

/// The first and the last one are those of which more is asked.
const STACKS: [Stack; 13] = [
    ["tcp", "noise", "yamux"],
    ["tcp", "noise", "mplex"],
    ["tcp", "tls", "yamux"],
    ["tcp", "tls", "mplex"],
    ["ws", "noise", "yamux"],
    ["ws", "noise", "mplex"],
    ["ws", "tls", "yamux"],
    ["ws", "tls", "mplex"],
    ["wss", "noise", "yamux"],
    ["wss", "noise", "mplex"],
    ["wss", "tls", "yamux"],
    ["wss", "tls", "mplex"],
    ["quic-v1", "", ""],
];

struct Row<'a> {
    suite: Suite,
    stack: Stack,
    key: String,
    redis: &'a Redis,
}

impl Row<'_> {
    /// What the dialer printed, in one line.
    fn play(&self, dialer: &Program, listener: &Program) -> Result<String, String> {
        let mut listener = Process::start(&mut self.command(listener, false))?;
        let mut dialer = Process::start(&mut self.command(dialer, true))?;
        let deadline = Instant::now() + ROW_TIMEOUT;
        let mut lines = Vec::new();
        loop {
            match dialer.line(deadline) {
                Line::Text(line) => lines.push(line),
                Line::End => break,
                Line::Late => return Err("the dialer took too long".to_owned()),
            }
        }
        let ended = dialer
            .ended(deadline)
            .is_some_and(|status| status.success());
        let is_there = |wanted: &&&str| !lines.iter().any(|line| line.starts_with(**wanted));
        let missing = self.suite.wanted().iter().find(is_there);
        listener.terminate();
        if ended && missing.is_none() {
            return Ok(summary(&lines));
        }
        listener.ended(deadline);
        Err(format!(
            "dialer: {}; listener: {}; stdout: {}",
            dialer.last_words(),
            listener.last_words(),
            lines.join(" ")
        ))
    }

    fn command(&self, program: &Program, is_dialer: bool) -> Command {
        let mut command = Command::new(&program.path);
        command.env_clear();
        let [transport, security, muxer] = self.stack;
        let (redis, role) = (&self.redis.address, is_dialer.to_string());
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                command.env(name, value);
            }
        };
        if let Suite::Transport(Generation::Legacy) = self.suite {
            set("transport", transport);
            set("security", security);
            set("muxer", muxer);
            set("is_dialer", &role);
            set("ip", "127.0.0.1");
            set("redis_addr", redis);
            return command;
        }
        set("TRANSPORT", transport);
        set("SECURE_CHANNEL", security);
        set("MUXER", muxer);
        set("IS_DIALER", &role);
        set("LISTENER_IP", "127.0.0.1");
        set("REDIS_ADDR", redis);
        set("TEST_KEY", &self.key);
        set("DEBUG", "false");
        if let Suite::Perf = self.suite {
            set("SUITE", "perf");
            set("UPLOAD_BYTES", PERF_BYTES);
            set("DOWNLOAD_BYTES", PERF_BYTES);
            set("UPLOAD_ITERATIONS", "3");
            set("DOWNLOAD_ITERATIONS", "3");
            set("LATENCY_ITERATIONS", "20");
        }
        command
    }
}

/// The older perf suite has a command line and no Redis.
fn command_line(program: &Program, transport: &str) -> Result<String, String> {
    let deadline = Instant::now() + ROW_TIMEOUT;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut server = Command::new(&program.path);
    server.args(["--run-server", "--server-address", &address]);
    let server = Process::start(&mut server)?;
    let wanted = if transport == "tcp" { "/tcp/" } else { "/udp/" };
    loop {
        match server.line(deadline) {
            Line::Text(line) if line.contains(wanted) => break,
            Line::Text(_) => {}
            Line::End | Line::Late => return Err(format!("server: {}", server.last_words())),
        }
    }
    let mut client = Command::new(&program.path);
    client.args(["--server-address", &address, "--transport", transport]);
    client.args(["--upload-bytes", PERF_BYTES, "--download-bytes", PERF_BYTES]);
    let client = Process::start(&mut client)?;
    let mut last = String::new();
    while let Line::Text(line) = client.line(deadline) {
        last = line;
    }
    server.terminate();
    if last.contains("\"type\":\"final\"") {
        return Ok(last);
    }
    Err(format!("client: {}; {last}", client.last_words()))
}

/// Names and numbers, without what never changes.
fn summary(lines: &[String]) -> String {
    let words = lines.iter().map(|line| line.trim());
    let told = words.filter(|line| {
        ![
            "latency:",
            "unit:",
            "samples:",
            "iterations:",
            "outliers:",
            "q1:",
            "q3:",
            "min:",
            "max:",
        ]
        .iter()
        .any(|dull| line.starts_with(dull))
    });
    told.filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A Redis of our own: a free port, a folder in the build's, nothing kept.
struct Redis {
    address: String,
    process: Process,
}

impl Redis {
    fn start() -> Result<Self, String> {
        let folder = PathBuf::from("interop/.build/redis");
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&folder);
        let process = Process::start(&mut command)?;
        let deadline = Instant::now() + ROW_TIMEOUT;
        loop {
            match process.line(deadline) {
                Line::Text(line) if line.contains("Ready to accept connections") => break,
                Line::Text(_) => {}
                Line::End | Line::Late => {
                    return Err(format!("redis-server: {}", process.last_words()));
                }
            }
        }
        Ok(Self {
            address: format!("127.0.0.1:{port}"),
            process,
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.terminate();
    }
}

/// A port that was free a moment ago: these programs cannot tell which one they took.
fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// What one row may take, on a busy machine.
const ROW_TIMEOUT: Duration = Duration::from_secs(60);
const PERF_BYTES: &str = "67108864";
