//! A protocol with a state: each node knows whom it is connected to, greets whoever connects, and says who has left.
//! `cargo run -p carrick --example protocol`

use std::{collections::BTreeSet, sync::Mutex};

use carrick::{
    Changes, ConnectionEnd, ConnectionId, DialOptions, Node, NodeEvent, PeerId, ProtocolHandler,
    Stream,
};

const GREET: &str = "/greet/1.0.0";

/// What one node knows.
struct Greeter {
    name: &'static str,
    connections: Mutex<BTreeSet<ConnectionId>>,
}

impl Greeter {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            connections: Mutex::default(),
        }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, BTreeSet<ConnectionId>> {
        self.connections.lock().expect("nobody panics with it")
    }
}

impl ProtocolHandler for Greeter {
    async fn connection_opened(&self, node: Node, peer: PeerId, connection: ConnectionId) {
        self.connections().insert(connection);
        let greet = async {
            let mut stream = node.open_stream(peer, GREET).await?;
            let text = format!("hello from {}", self.name);
            stream.write_all(text.as_bytes()).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(stream.finish().await?)
        };
        if let Err(error) = greet.await {
            println!("{}: nobody was greeted: {error}", self.name);
        }
    }

    async fn connection_closed(
        &self,
        _: Node,
        _: PeerId,
        connection: ConnectionId,
        reason: ConnectionEnd,
    ) {
        self.connections().remove(&connection);
        let left = self.connections().len();
        println!("{}: {reason}; {left} connections are left", self.name);
    }

    async fn peer_identified(&self, node: Node, peer: PeerId, _: Changes) {
        let agent = node.peer(&peer).and_then(|info| info.agent.clone());
        println!("{}: the peer runs {}", self.name, agent.unwrap_or_default());
    }

    async fn inbound_stream(&self, _: Node, mut stream: Stream) {
        match stream.read_to_end(100).await {
            Ok(text) => println!("{}: {}", self.name, String::from_utf8_lossy(&text)),
            Err(error) => println!("{}: {error}", self.name),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bob = Node::builder()
        .protocol(GREET, Greeter::new("bob"))
        .listen("/ip4/127.0.0.1/tcp/0")?
        .spawn()
        .await?;
    let alice = Node::builder()
        .protocol(GREET, Greeter::new("alice"))
        .spawn()
        .await?;
    let mut events = alice.events();
    let first = alice.dial(bob.address()).await?;
    // Another connection to the same peer.
    let options = DialOptions {
        force_new: true,
        ..DialOptions::default()
    };
    let second = alice.dial_with(bob.address(), options).await?;
    alice.ping(bob.id()).await?;
    first.close().await;
    second.close().await;
    while !matches!(
        events.next().await,
        Some(NodeEvent::Disconnected { .. }) | None
    ) {}
    alice.close().await;
    bob.close().await;
    Ok(())
}
