//! C-06: whoever is dialed is somebody else than was asked for, over every transport. Answered by the handshake, which binds
//! the connection to the peer's key; nothing is said to an impostor. Here the victim is the command `carrick ping`.

use std::{io, sync::Arc};

use carrick::{Keypair, Multiaddr, Node, Protocol, Security};
use tokio::process::Command;

use super::{Attack, Check, Outcome, PLAIN, Scene};

pub(super) const ATTACK: Attack = Attack {
    id: "C-06",
    name: "impostors",
    rss_mib: 8,
    only_carrick: Some("it dials with `carrick ping`"),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut nodes = Vec::new();
    for (what, listen, security) in [
        ("Noise", "/ip4/9.0.0.2/tcp/0", Security::Noise),
        ("TLS", "/ip4/9.0.0.2/tcp/0", Security::Tls),
        ("WebSocket", "/ip4/9.0.0.2/tcp/0/ws", Security::Noise),
        ("QUIC", "/ip4/9.0.0.2/udp/0/quic-v1", Security::Noise),
    ] {
        let node = Node::builder().securities([security]).spawn().await;
        let node = node.map_err(io::Error::other)?;
        node.listen(listen).await.map_err(io::Error::other)?;
        let there = node.address();
        let itself = ping(&scene, &there).await?;
        let asked = Keypair::generate_ed25519().public().to_peer_id();
        let parts = there
            .iter()
            .filter(|part| !matches!(part, Protocol::P2p(_)));
        let address: Multiaddr = parts.chain([Protocol::P2p(asked)]).collect();
        let other = ping(&scene, &address).await?;
        outcome.tried += 1;
        outcome.refused += u64::from(!other.status.success());
        let answers = String::from_utf8_lossy(&other.stdout).contains("ms");
        let why = String::from_utf8_lossy(&other.stderr).contains(&node.id().to_string());
        outcome.checks.extend([
            Check::new(
                itself.status.success(),
                format!("{what}: by its own name it is reached"),
            ),
            Check::new(
                !other.status.success() && !answers,
                format!("{what}: by another name it is not"),
            ),
            Check::new(why, format!("{what}: the error says who was there instead")),
        ]);
        nodes.push(node);
    }
    Ok(outcome)
}

async fn ping(scene: &Scene, address: &Multiaddr) -> io::Result<std::process::Output> {
    Command::new("ip")
        .args(["netns", "exec", &scene.namespace])
        .arg(&scene.carrick)
        .args(["ping", "--count", "1", &address.to_string()])
        .output()
        .await
}
