//! Carrick in the public suites of libp2p: transport and perf of libp2p/unified-testing, transport-interop and perf of
//! libp2p/test-plans. The environment says what is wanted; results go to stdout, everything else to stderr.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use environment::{Generation, Plan, Role, Suite};
use tokio::time::{Instant, sleep_until};
use tracing_subscriber::EnvFilter;

mod address;
mod command;
mod environment;
mod node;
mod perf;
mod ping;
mod redis;
mod statistics;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = if std::env::args().len() > 1 {
        log("warn");
        command::Command::parse().run().await
    } else {
        match Plan::read(|name| std::env::var(name).ok()) {
            Ok(plan) => {
                log(if plan.debug { "debug" } else { "warn" });
                run(&plan).await
            }
            Err(error) => Err(error.into()),
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carrick-interop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(plan: &Plan) -> Result {
    let deadline = Instant::now() + plan.timeout;
    match (plan.role, plan.suite) {
        (Role::Listener, _) => listen(plan, deadline).await,
        (Role::Dialer, Suite::Transport) => print(&ping::dial(plan, deadline).await?),
        (Role::Dialer, Suite::Perf(sizes)) => print(&perf::dial(plan, sizes, deadline).await?),
    }
}

/// Serves until it is killed; the older suite wants a failure when that takes too long.
async fn listen(plan: &Plan, deadline: Instant) -> Result {
    let node = node::listener(plan.stack, plan.ip, 0).await?;
    // The first one is not loopback, if there is another.
    address::publish(plan, &node.address().to_string(), deadline).await?;
    tokio::select! {
        stopped = until_stopped() => stopped?,
        () = sleep_until(deadline), if plan.generation == Generation::Legacy => {
            return Err("nobody has stopped the listener in time".into());
        }
    }
    node.close().await;
    Ok(())
}

/// As the first process of a container we would otherwise not hear of it.
#[cfg(unix)]
async fn until_stopped() -> Result {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn until_stopped() -> Result {
    Ok(tokio::signal::ctrl_c().await?)
}

fn print(result: &str) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(result.as_bytes())?;
    Ok(out.flush()?)
}

fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
