//! The `carrick` command: arguments in, results on stdout, everything else on stderr.
//! Invariants: exit code 0 means success; a failure is one line, its cause and what to do.

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use clap::{
    Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use failure::Failure;
use tracing_subscriber::EnvFilter;

mod address;
mod ask;
mod ban_list;
mod call;
mod daemon;
mod demo;
mod expose;
mod failure;
mod forward;
mod host;
mod id;
mod identity;
mod key;
mod listen;
mod metrics;
mod network;
mod open;
mod output;
mod p2pd;
mod packets;
mod perf;
mod ping;
mod receive;
mod relay;
mod remote;
mod send;
mod socket;
mod transfer;

/// libp2p from the command line: dial a peer by its id, open encrypted streams to it by protocol name.
#[derive(Debug, Parser)]
#[command(name = "carrick", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    /// Log more, to stderr: -v connections, -vv details, -vvv everything. RUST_LOG, when set, decides instead.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  carrick demo                                     see what it can do, on loopback, in a second
  carrick listen                                   print the addresses of a node, and serve
  carrick ping /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…  from elsewhere: one of those addresses";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what Carrick does: two nodes, real sockets on loopback, every step verified.
    Demo(demo::Args),
    /// Run a node that serves ping, identify and /echo/1.0.0 until it is interrupted.
    #[command(after_help = listen::EXAMPLES)]
    Listen(listen::Args),
    /// Run such a node, and let other programs of this user control it by JSON-RPC.
    #[command(after_help = daemon::EXAMPLES)]
    Daemon(daemon::Args),
    #[command(flatten)]
    Remote(remote::Command),
    /// Measure round trips to a peer.
    Ping(ping::Args),
    /// Show what a peer says of itself, and what was negotiated with it.
    Id(id::Args),
    /// Measure how fast data goes to a peer and back, with a peer that serves /perf/1.0.0.
    Perf(perf::Args),
    /// Send numbered packets to a peer that echoes them; count the lost ones.
    Packets(packets::Args),
    /// Send files and directories: prints a ticket for the receiver.
    Send(send::Args),
    /// Receive what a ticket is for, or what a peer sends.
    Receive(receive::Args),
    /// Open a stream: stdin goes to the peer, what the peer sends goes to stdout.
    Open(open::Args),
    /// Let a TCP or Unix socket of this machine stand for one that a peer exposes.
    Forward(forward::Args),
    /// Let peers reach a TCP or Unix socket of this machine.
    Expose(expose::Args),
    /// Run a node that other programs drive by the protocol of go-libp2p-daemon, with its flags.
    P2pd(p2pd::Args),
    /// Ask a peer one thing, and show its answer.
    Call(call::Args),
    /// Make or inspect a key file, which is a node's identity.
    #[command(subcommand, after_help = key::EXAMPLE)]
    Key(key::Command),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(p2pd::arguments()) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    log(cli.verbose);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = format!("error: {failure}");
            text.lines().for_each(output::note);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                format!("cannot start threads: {error}"),
                "check the limits of this machine",
            )
        })?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(&args).await,
            Command::Listen(args) => listen::run(&args).await,
            Command::Daemon(args) => daemon::run(&args).await,
            Command::Remote(command) => remote::run(&command).await,
            Command::Ping(args) => ping::run(&args).await,
            Command::Id(args) => id::run(&args).await,
            Command::Perf(args) => perf::run(&args).await,
            Command::Packets(args) => packets::run(&args).await,
            Command::Send(args) => send::run(&args).await,
            Command::Receive(args) => receive::run(&args).await,
            Command::Call(args) => call::run(&args).await,
            Command::Open(args) => open::run(&args).await,
            Command::Forward(args) => forward::run(&args).await,
            Command::Expose(args) => expose::run(&args).await,
            Command::P2pd(args) => p2pd::run(&args).await,
            Command::Key(command) => key::run(&command),
        }
    });
    // A thread that still reads a terminal must not hold us.
    runtime.shutdown_background();
    outcome
}

/// Arguments that make no sense: one line, as for every other failure. Help and version are no failures.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
    } else {
        let text = error.to_string();
        let paragraphs = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("For more"))
            .collect::<Vec<_>>();
        let mut text = paragraphs.join("; ");
        let is_daemon = |value: &ContextValue| value.to_string().starts_with("--daemon");
        if error.get(ContextKind::InvalidArg).is_some_and(is_daemon) {
            text = format!("{text}; {}", remote::NOT_HERE);
        }
        output::note(&text);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn log(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
}
