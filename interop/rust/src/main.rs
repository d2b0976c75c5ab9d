//! Interop peer on rust-libp2p: serves the interop protocols, or dials a peer and checks it.
//!
//!     rust-peer listen [--muxer yamux|mplex] [--security noise]
//!     rust-peer dial ADDR [--muxer yamux|mplex] [--security noise] [--checks a,b]
//!
//! main.rs is the command line, node.rs the swarm, serve.rs the listener's protocols, checks.rs what the dialer checks.
//! Exit codes: 0 nothing failed, 1 a check failed, 2 wrong usage, 3 this program has no such muxer or security.

mod checks;
mod node;
mod serve;

use std::{
    future::Future,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::{
    checks::{CHECKS, Outcome},
    node::{Muxer, Node},
};

const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(code) => ExitCode::from(code),
        Err((code, message)) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

type Exit = (u8, String);

async fn run(mut args: impl Iterator<Item = String>) -> Result<u8, Exit> {
    let usage = || {
        (
            2,
            "usage: rust-peer listen|dial ADDR [--muxer M] [--security S] [--checks a,b]"
                .to_owned(),
        )
    };
    let command = args.next().ok_or_else(usage)?;
    let address = if command == "dial" {
        Some(args.next().ok_or_else(usage)?)
    } else {
        None
    };
    let (mut muxer, mut selected, mut unsupported) = (Muxer::Yamux, CHECKS.to_vec(), None);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(usage)?;
        match (flag.as_str(), value.as_str()) {
            ("--muxer", "yamux") => muxer = Muxer::Yamux,
            ("--muxer", "mplex") => muxer = Muxer::Mplex,
            ("--muxer", other) => unsupported = Some(format!("unknown muxer: {other}")),
            ("--security", "noise") => {}
            ("--security", other) => {
                unsupported = Some(format!("this program offers noise only, not {other}"))
            }
            ("--checks", names) => selected = select(names)?,
            _ => return Err(usage()),
        }
    }
    match (command.as_str(), address, unsupported) {
        ("listen", _, Some(reason)) => Err((3, reason)),
        ("listen", _, None) => listen(muxer).await.map_err(|e| (1, e)),
        ("dial", Some(_), Some(reason)) => {
            selected
                .iter()
                .for_each(|name| _ = report(name, Ok(Outcome::Skip(reason.clone()))));
            Ok(0)
        }
        ("dial", Some(address), None) => dial(&address, muxer, &selected).await,
        _ => Err(usage()),
    }
}

/// The named checks, in their fixed order.
fn select(names: &str) -> Result<Vec<&'static str>, Exit> {
    if let Some(name) = names.split(',').find(|name| !CHECKS.contains(name)) {
        return Err((2, format!("no such check: {name}")));
    }
    Ok(CHECKS
        .into_iter()
        .filter(|check| names.split(',').any(|name| name == *check))
        .collect())
}

/// Serves until stdin ends.
async fn listen(muxer: Muxer) -> Result<u8, String> {
    let mut node = Node::new(muxer)?;
    serve::serve(&mut node.streams)?;
    let address = node.listen().await?;
    println!("listening {address}/p2p/{}", node.swarm.local_peer_id());
    let stdin = async {
        let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 64]);
        while stdin.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        () = stdin => Ok(0),
        never = node.drive() => match never {},
    }
}

/// Runs the selected checks and prints a line for each.
async fn dial(address: &str, muxer: Muxer, selected: &[&'static str]) -> Result<u8, Exit> {
    let mut address: Multiaddr = address
        .parse()
        .map_err(|e| (2, format!("{address:?}: {e}")))?;
    let Some(Protocol::P2p(peer)) = address.pop() else {
        return Err((2, "the address does not end in /p2p/<peer-id>".to_owned()));
    };
    let mut node = Node::new(muxer).map_err(|e| (1, e))?;
    let end = Instant::now() + PROGRAM_TIMEOUT;
    let connected = bounded(end, checks::connect(&mut node, peer, &address)).await;
    let mut code = 0;
    for &name in selected {
        let result = match &connected {
            connected if name == "connect" => connected.clone(),
            Ok(_) => bounded(end, checks::run(name, &mut node, peer, &address)).await,
            Err(e) => Err(format!("not connected: {e}")),
        };
        if !report(name, result) {
            code = 1;
        }
    }
    Ok(code)
}

async fn bounded(
    end: Instant,
    check: impl Future<Output = Result<Outcome, String>>,
) -> Result<Outcome, String> {
    let deadline = end.min(Instant::now() + CHECK_TIMEOUT);
    tokio::time::timeout_at(deadline.into(), check)
        .await
        .unwrap_or_else(|_| Err("deadline passed".to_owned()))
}

/// Prints a check's line; false when it failed.
fn report(name: &str, result: Result<Outcome, String>) -> bool {
    let ok = result.is_ok();
    let line = match result {
        Ok(Outcome::Passed(detail)) => json!({"check": name, "ok": true, "detail": detail}),
        Ok(Outcome::Skip(reason)) => json!({"check": name, "skip": reason}),
        Err(why) => json!({"check": name, "ok": false, "detail": why}),
    };
    println!("{line}");
    std::io::stdout().flush().ok();
    ok
}
