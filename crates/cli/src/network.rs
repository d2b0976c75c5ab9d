//! The network that a command's node is in: everybody's, or a private one; and whom it trusts there.

use std::path::PathBuf;

use carrick::{Builder, Node, SwarmKey, SwarmKeyError};

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// Be in the private network of this key, which all of its nodes need. `carrick key swarm FILE` makes one.
    #[arg(long, value_name = "FILE")]
    swarm_key: Option<PathBuf>,
    /// When dialing /tls/ws: trust the authorities in this PEM file, too, beside those of the web.
    #[arg(long, value_name = "FILE")]
    wss_root: Option<PathBuf>,
}

impl Network {
    pub(crate) fn is_private(&self) -> bool {
        self.swarm_key.is_some()
    }

    /// A node's builder within that network.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let mut builder = Node::builder();
        if let Some(file) = &self.wss_root {
            builder = builder.wss_root(file)?;
        }
        let Some(file) = &self.swarm_key else {
            return Ok(builder);
        };
        let name = file.display();
        let key = SwarmKey::load(file).map_err(|error| match error {
            SwarmKeyError::Io { .. } => Failure::new(
                error,
                format!("copy it from another node, or `carrick key swarm {name}` makes one"),
            ),
            SwarmKeyError::Malformed(_) => Failure::new(
                format!("{name}: {error}"),
                "copy it anew from another node, or `carrick key swarm FILE` makes one",
            ),
        })?;
        Ok(builder.private_network(key))
    }
}
