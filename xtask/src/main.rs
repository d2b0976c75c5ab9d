//! `cargo xtask …`: the chores of this repository. Data on stdout, progress on stderr, exit 0 only on success.

mod attacks;
mod bench;
mod build_cost;
mod ci;
mod count;
mod coverage;
mod daemon_clients;
mod faults;
mod fuzz;
mod interleave;
mod interop;
mod kills;
mod miri;
mod mutants;
mod p2pspec;
mod programs;
mod score;
mod steps;
mod suites;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xtask::source;

/// Test, compare and measure Carrick.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that needs only Rust: format, lints, tests, documentation, dependencies.
    Test,
    /// Carrick against go-libp2p, rust-libp2p, js-libp2p and py-libp2p, as real processes, both ways.
    Interop(interop::Args),
    /// Build bench/ and run its runner with the given arguments.
    Bench {
        /// Arguments of the runner; `-- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Attack the real binary from namespaces of its own, and see what honest peers notice; needs root.
    Attacks {
        /// Arguments of the attackers' program, such as `--quick`; `-- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// One node for as long as one likes, with churn, loss and attackers in rotation; fits what grows. Needs root.
    Soak {
        /// Arguments, such as `--minutes 60`; `-- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Kill peers at every step of a connection's life, and see what that leaves behind.
    Kills {
        /// Arguments of the killing program, such as `--freeze`; `-- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Real programs over a network that is bad on purpose, Carrick's and those of the other stacks; needs root.
    Faults(faults::Args),
    /// What building a first program costs, on Carrick and on rust-libp2p, with all features and with few.
    BuildCost(build_cost::Args),
    /// Instructions of the hot paths under valgrind, beside the baseline, and whether they grow with what is idle.
    Count(count::Args),
    /// How many regions of the code the tests reach, the fuzzers' corpora included; needs rustup's llvm-tools.
    Coverage(coverage::Args),
    /// Every fuzz target for some seconds, on the stable toolchain; needs a C++ compiler.
    Fuzz(fuzz::Args),
    /// What threads share, in every order of small models and in many of larger ones.
    Interleave(interleave::Args),
    /// Tests under the interpreter that finds undefined behaviour; needs a nightly toolchain.
    Miri(miri::Args),
    /// Changes to wire and limit code, and which of them no test notices.
    Mutants(mutants::Args),
    /// `carrick p2pd`, driven by the daemon clients of JavaScript and Python.
    DaemonClients,
    /// Conformance cases against every stack, beside what is on record; `--bless` writes the record and the table of differences.
    P2pspec(p2pspec::Args),
    /// The program for libp2p's public suites, against itself and against rust-libp2p, through a real Redis.
    Suites,
    /// The reliability scorecard: what is on record, and with `--run` what is measured now.
    Score(score::Args),
    /// `test`, then `interop --require go,rust,js,py`, then `daemon-clients`, `suites`, `p2pspec` and `count`.
    Ci,
}

fn main() -> ExitCode {
    if let Some(compiled) = coverage::wrap() {
        return compiled.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let cli = Cli::parse();
    let run = || {
        std::env::set_current_dir(source::root())
            .map_err(|error| format!("cannot enter the repository: {error}"))?;
        match cli.command {
            Chore::Test => ci::test(),
            Chore::Interop(args) => interop::run(&args),
            Chore::Bench { args } => bench::run(&args),
            Chore::Attacks { args } => attacks::run("run", &args),
            Chore::Soak { args } => attacks::run("soak", &args),
            Chore::Kills { args } => kills::run(&args),
            Chore::Faults(args) => faults::run(&args),
            Chore::BuildCost(args) => build_cost::run(&args),
            Chore::Count(args) => count::run(&args),
            Chore::Coverage(args) => coverage::run(&args),
            Chore::Fuzz(args) => fuzz::run(&args),
            Chore::Interleave(args) => interleave::run(&args),
            Chore::Miri(args) => miri::run(&args),
            Chore::Mutants(args) => mutants::run(&args),
            Chore::DaemonClients => daemon_clients::run(),
            Chore::P2pspec(args) => p2pspec::run(&args),
            Chore::Suites => suites::run(),
            Chore::Score(args) => score::run(&args),
            Chore::Ci => ci::test()
                .and_then(|()| interop::run(&interop::Args::require_all()))
                .and_then(|()| daemon_clients::run())
                .and_then(|()| suites::run())
                .and_then(|()| p2pspec::run(&p2pspec::Args::require_all()))
                .and_then(|()| count::run(&count::Args::default())),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
