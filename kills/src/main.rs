//! Processes that die, or freeze, at every step of a connection's life. `run` keeps a node alive in this process, starts
//! this program again as a victim, and looks what is left of it.

mod closing;
mod deed;
mod round;
mod run;
mod survivor;
mod table;
mod victim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Kill peers at every step, and see what that leaves behind.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Kill, or freeze, and judge.
    Run(run::Args),
    /// Who is killed: started by `run`.
    #[command(hide = true)]
    Victim(victim::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kills: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match &cli.role {
        Role::Run(args) => runtime.block_on(async {
            tokio::select! {
                outcome = run::run(args) => outcome,
                _ = tokio::signal::ctrl_c() => Err("stopped".to_owned()),
            }
        }),
        Role::Victim(args) => runtime.block_on(victim::run(args)),
    };
    // A thread that still reads stdin must not hold us.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kills: {why}");
            ExitCode::FAILURE
        }
    }
}
