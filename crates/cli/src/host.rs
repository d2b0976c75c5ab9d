//! The node of a command that others dial: where it listens, and who it is.

use std::path::PathBuf;

use carrick::{Builder, IntoAddress, Multiaddr, Node, Protocol};
use tracing::warn;

use crate::{address, failure::Failure, key, network::Network};

/// An identity and a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Identity {
    /// The identity; without it, a new one. `carrick key generate FILE` makes a file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
}

impl Identity {
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let builder = self.network.builder()?;
        Ok(match &self.key {
            Some(file) => builder.identity(key::load(file)?),
            None => builder,
        })
    }
}

/// The same, and where to listen.
#[derive(Debug, clap::Args)]
pub(crate) struct Host {
    /// Where to be dialed, such as /ip4/0.0.0.0/tcp/4001; without it, TCP and QUIC on free ports of every interface.
    #[arg(long = "listen", value_name = "ADDR", value_parser = address::local)]
    addresses: Vec<Multiaddr>,
    #[command(flatten)]
    identity: Identity,
}

impl Host {
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        self.identity.builder()
    }

    /// Whether the user has said where.
    pub(crate) fn is_somewhere(&self) -> bool {
        !self.addresses.is_empty()
    }

    pub(crate) async fn listen(&self, node: &Node) -> Result<(), Failure> {
        listen(node, &self.addresses, !self.identity.network.is_private()).await
    }
}

/// Listens where the user wants. Without a wish it is free ports of every interface, of which one is enough: not every machine
/// has IPv4 and IPv6. A private network has no QUIC.
pub(crate) async fn listen(
    node: &Node,
    addresses: &[Multiaddr],
    with_quic: bool,
) -> Result<(), Failure> {
    for address in addresses {
        node.listen(address.clone()).await?;
    }
    if !addresses.is_empty() {
        return Ok(());
    }
    for address in EVERYWHERE {
        let address = address.into_address().map_err(carrick::ListenError::from)?;
        let is_quic = address.iter().any(|part| part == Protocol::QuicV1);
        if is_quic && !with_quic {
            continue;
        }
        if let Err(error) = node.listen(address).await {
            warn!(%error, "not listening there");
        }
    }
    if node.addresses().is_empty() {
        return Err(Failure::new(
            "neither IPv4 nor IPv6 can be listened on",
            "name an address, such as /ip4/127.0.0.1/tcp/0",
        ));
    }
    Ok(())
}

const EVERYWHERE: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/0",
    "/ip4/0.0.0.0/udp/0/quic-v1",
    "/ip6/::/tcp/0",
    "/ip6/::/udp/0/quic-v1",
];
