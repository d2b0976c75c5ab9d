//! A node that meets a peer at an address, hears from it where else it is, and dials it again by its name alone.

use std::time::Duration;

use carrick::{Multiaddr, Node, Protocol};
use tokio::time::timeout;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The peer's address, with its id.
    address: Multiaddr,
}

/// The role: prints what came of the second dial.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let node = Node::spawn().await.map_err(|error| error.to_string())?;
    let connection = node.dial(args.address.clone()).await;
    let connection = connection.map_err(|error| error.to_string())?;
    let info = timeout(PATIENCE, connection.info()).await;
    let knows = info.ok().flatten().map_or(0, |info| info.addresses.len());
    let Some(Protocol::P2p(peer)) = args.address.iter().last() else {
        return Err("an address with a peer id is needed".to_owned());
    };
    connection.close().await;
    let again = node.dial(peer).await.map(|_| "connected".to_owned());
    println!(
        "knows {knows} addresses; {}",
        again.unwrap_or_else(|error| error.to_string())
    );
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(5);
