//! Scripted attackers against the real binary. `run` sets the stage and judges; it starts this same program in other roles:
//! the honest peers and the attacker, in a network namespace of their own, and the victim with a limit taken away.

mod attack;
mod cage;
mod clocks;
mod dialer;
mod forge;
mod ground;
mod honest;
mod initial;
mod raw;
mod rule;
mod run;
mod sample;
mod soak;
mod source;
mod speaker;
mod stack;
mod table;
mod victim;
mod weak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Attack Carrick, and see what others notice.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Every attack, or some, with a verdict for each; needs root and iproute2.
    Run(run::Args),
    /// One victim for as long as one likes, with churn, loss and one attacker after another; fits what grows. Needs root,
    /// iproute2.
    Soak(soak::Args),
    /// Those who come and go: started by `soak`, inside the attackers' namespace.
    #[command(hide = true)]
    Churn(soak::ChurnArgs),
    /// A victim that forgets something of each connection: started by `soak --leak`.
    #[command(hide = true)]
    Leaky(soak::LeakyArgs),
    /// The honest peers: started by `run`, inside the attacker's namespace.
    #[command(hide = true)]
    Honest(honest::Args),
    /// One attacker: started by `run`, inside its namespace.
    #[command(hide = true)]
    Attack(attack::Args),
    /// A node that dials whom it is told, and then the same peer by name: started by an attacker, in the victim's namespace.
    #[command(hide = true)]
    Dialer(dialer::Args),
    /// One call at a daemon's socket, by whoever this is: started by an attacker, as another user.
    #[command(hide = true)]
    Caller { socket: std::path::PathBuf },
    /// A victim without the limit that answers an attack: started by `run --weak`.
    #[command(hide = true)]
    Weak(weak::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("attacks: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.role {
            Role::Run(args) => run::run(&args).await,
            Role::Soak(args) => soak::run(&args).await,
            Role::Churn(args) => soak::churn(args).await,
            Role::Leaky(args) => soak::leaky(args).await,
            Role::Honest(args) => honest::run(&args).await,
            Role::Attack(args) => attack::run(args).await,
            Role::Dialer(args) => dialer::run(&args).await,
            Role::Caller { socket } => attack::call(&socket).await,
            Role::Weak(args) => weak::run(&args).await,
        }
    });
    // A thread that still reads stdin must not hold us.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("attacks: {why}");
            ExitCode::FAILURE
        }
    }
}
