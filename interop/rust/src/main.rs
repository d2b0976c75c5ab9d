//! Interop peer on rust-libp2p: serves the interop protocols, or dials a peer and checks it.
//!
//!     rust-peer listen|dial ADDR [--transport tcp|ws|wss|quic-v1] [--security noise|tls] [--muxer yamux|mplex] [--key-type T] [--ip 4|6]
//!         listen: [--tls-cert FILE --tls-key FILE]   dial: [--tls-ca FILE] [--checks a,b] [--bulk-bytes N]
//!     rust-peer serve ADDR…   with rust-libp2p's own defaults, to be attacked
//!
//! main.rs is the command line, defaults.rs `serve`, transport.rs, node.rs and inbound.rs the swarm, serve.rs the listener's protocols, requests.rs those of request-response, checks.rs what the dialer checks.
//! Exit codes: 0 nothing failed, 1 a check failed, 2 wrong usage, 3 this program has no such transport, muxer or security.

mod checks;
mod defaults;
mod inbound;
mod node;
mod requests;
mod serve;
mod transport;

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
    checks::{CHECKS, EVERYBODYS, Outcome, deadline},
    node::Node,
    transport::Options,
};

/// Bounds for what hangs, not for what is slow: a busy machine must not meet them.
/// For all but the checks with a deadline of their own.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

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
            "usage: rust-peer listen|dial ADDR|serve ADDR… [options], which main.rs lists"
                .to_owned(),
        )
    };
    let command = args.next().ok_or_else(usage)?;
    if command == "serve" {
        let served = defaults::run(args.collect(), stdin_ends()).await;
        return served.map(|()| 0).map_err(|e| (1, e.to_string()));
    }
    let address = if command == "dial" {
        Some(args.next().ok_or_else(usage)?)
    } else {
        None
    };
    let (mut options, mut selected) = (Options::default(), CHECKS[..EVERYBODYS].to_vec());
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(usage)?;
        match flag.as_str() {
            "--transport" => options.transport = value,
            "--muxer" => options.muxer = value,
            "--security" => options.security = value,
            "--key-type" => options.key_type = value,
            "--ip" => options.ip = value,
            "--tls-cert" => options.tls_cert = Some(value),
            "--tls-key" => options.tls_key = Some(value),
            "--tls-ca" => options.tls_ca = Some(value),
            "--bulk-bytes" => options.bulk_bytes = value.parse().map_err(|_| usage())?,
            "--checks" => selected = select(&value)?,
            _ => return Err(usage()),
        }
    }
    match (command.as_str(), address, options.unsupported()) {
        ("listen", _, Some(reason)) => Err((3, reason)),
        ("listen", _, None) => listen(&options).await.map_err(|e| (1, e)),
        ("dial", Some(_), Some(reason)) => {
            selected
                .iter()
                .for_each(|name| _ = report(name, Ok(Outcome::Skip(reason.clone()))));
            Ok(0)
        }
        ("dial", Some(address), None) => dial(&address, &options, &selected).await,
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
async fn listen(options: &Options) -> Result<u8, String> {
    let mut node = Node::new(options)?;
    serve::serve(&mut node.swarm.behaviour_mut().inbound, options);
    let address = node.listen(options.listen_address()?).await?;
    println!("listening {address}/p2p/{}", node.swarm.local_peer_id());
    tokio::select! {
        () = stdin_ends() => Ok(0),
        never = node.drive() => match never {},
    }
}

async fn stdin_ends() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 64]);
    while stdin.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

/// Runs the selected checks and prints a line for each.
async fn dial(address: &str, options: &Options, selected: &[&'static str]) -> Result<u8, Exit> {
    let mut address: Multiaddr = address
        .parse()
        .map_err(|e| (2, format!("{address:?}: {e}")))?;
    let Some(Protocol::P2p(peer)) = address.pop() else {
        return Err((2, "the address does not end in /p2p/<peer-id>".to_owned()));
    };
    let mut node = Node::new(options).map_err(|e| (1, e))?;
    let own = selected
        .iter()
        .map(|name| deadline(name, options) - CHECK_TIMEOUT);
    let end = Instant::now() + PROGRAM_TIMEOUT + own.sum::<Duration>();
    let connected = bounded(
        end,
        CHECK_TIMEOUT,
        checks::connect(&mut node, peer, &address),
    )
    .await;
    let mut code = 0;
    for &name in selected {
        let result = match &connected {
            connected if name == "connect" => connected.clone(),
            Ok(_) => {
                let check = checks::run(name, &mut node, peer, &address, options);
                bounded(end, deadline(name, options), check).await
            }
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
    limit: Duration,
    check: impl Future<Output = Result<Outcome, String>>,
) -> Result<Outcome, String> {
    let deadline = end.min(Instant::now() + limit);
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
