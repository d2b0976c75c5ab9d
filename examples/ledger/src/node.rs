//! One node: its actors, and the mailboxes between them.
//!
//! ```text
//!  programs ─▶ rpc ──spsc──▶ peer_net ◀──── other nodes
//!               │              │  ▲ ▲
//!               │              ▼  │ └─spsc── social
//!               └───────────▶ chain          ▲ (from rpc and peer_net)
//! ```

use std::{collections::HashMap, fs, path::Path};

use carrick::{
    Keypair, Multiaddr, Node, PeerId, Protocol,
    actors::{MailboxOptions, Policy, Priority, Server, ServerOptions, mailbox, spsc},
};

use crate::{
    chain::Chain,
    link::Link,
    peer_net::PeerNet,
    programs::Rpc,
    social,
    words::{PEERS, RPC},
};

/// Whatever ends the program.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a node whose key, ledger and socket are in `directory`. `members` are the addresses of all nodes, itself included.
///
/// # Errors
/// It cannot start, or cannot write its ledger any more.
pub(crate) async fn run(directory: &Path, members: Vec<Multiaddr>) -> Result<(), Failure> {
    let keypair = Keypair::from_protobuf_encoding(&fs::read(directory.join("key"))?)?;
    let ids = members.iter().map(peer).collect::<Result<Vec<_>, _>>()?;
    let id = keypair.public().to_peer_id();
    let me = ids
        .iter()
        .position(|member| *member == id)
        .ok_or("the key in the directory is no member's")?;
    let (mut address, count) = (members[me].clone(), members.len());
    address.pop();
    let node = Node::builder()
        .identity(keypair)
        .listen(address)?
        .spawn()
        .await?;

    let lanes = MailboxOptions::new(256, Policy::Wait);
    let (rpc_to_net, from_rpc) = spsc(lanes.clone());
    let (chain_to_net, from_chain) = spsc(lanes.clone());
    let (social_to_net, from_social) = spsc(lanes.clone());
    let (to_chain, chain_inbox) = mailbox(lanes);
    let (to_social, social_inbox) = mailbox(MailboxOptions::new(64, Policy::DropOldest));

    let mut links = Vec::new();
    for (member, address) in members
        .into_iter()
        .enumerate()
        .filter(|(member, _)| *member != me)
    {
        let lanes =
            MailboxOptions::new(256, Policy::Reject).lane(Priority::Bulk, 64, Policy::DropOldest);
        let (link, out) = mailbox(lanes);
        links.push(link);
        let (node, chain) = (node.clone(), to_chain.clone());
        tokio::spawn(
            Link {
                node,
                member,
                address,
                chain,
            }
            .run(out),
        );
    }

    let mut peers = Server::new(PEERS, ServerOptions::default());
    peers.accept(node.accept(PEERS)?);
    let peer_net = PeerNet {
        members: ids.into_iter().zip(0..).collect::<HashMap<_, _>>(),
        chain: to_chain.clone(),
        social: to_social.clone(),
        links,
    };
    tokio::spawn(peers.run(peer_net, vec![from_rpc, from_chain, from_social]));

    let mut programs = Server::new(RPC, ServerOptions::default());
    programs.listen(socket(directory)).await?;
    let rpc = Rpc {
        net: rpc_to_net,
        chain: to_chain,
        social: to_social,
    };
    tokio::spawn(programs.run(rpc, Vec::new()));

    tokio::spawn(social::run(me, social_inbox, social_to_net));
    let chain = Chain::open(&directory.join("ledger"), me, count, chain_to_net)?;
    println!("node {me} is ready");
    chain.run(chain_inbox).await?;
    Ok(())
}

/// Where programs reach the node of this directory.
pub(crate) fn socket(directory: &Path) -> Multiaddr {
    unix(&directory.join("rpc.sock"))
}

/// Where other nodes reach it. On several machines these would be addresses of QUIC or TCP; here nobody has to find a port.
pub(crate) fn peer_socket(directory: &Path, id: PeerId) -> Multiaddr {
    unix(&directory.join("peers.sock")).with(Protocol::P2p(id))
}

/// A path is one component of an address.
fn unix(path: &Path) -> Multiaddr {
    let path = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('/', "%2F");
    Multiaddr::empty().with(Protocol::Unix(path.into()))
}

fn peer(address: &Multiaddr) -> Result<PeerId, Failure> {
    match address.iter().last() {
        Some(Protocol::P2p(id)) => Ok(id),
        _ => Err(format!("{address} does not say whose it is").into()),
    }
}
