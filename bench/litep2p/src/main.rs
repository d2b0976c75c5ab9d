//! litep2p with a protocol of its own, over TCP or WebSocket with Noise, or QUIC.

mod transports;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use bench_harness::{Connection, Over, PROTOCOL, Stack, serve};
use litep2p::{
    Litep2p, Litep2pEvent, PeerId,
    codec::ProtocolCodec,
    protocol::{Direction, TransportEvent, TransportService, UserProtocol},
    substream::Substream,
    types::{SubstreamId, multiaddr::Multiaddr, protocol::ProtocolName},
};
use tokio::sync::{Notify, mpsc, oneshot};

struct Node {
    dials: mpsc::Sender<Multiaddr>,
    commands: mpsc::Sender<Command>,
    signals: Arc<Signals>,
    address: String,
}

/// The protocol sees first that a connection is usable, and the node sees last that it has ended.
/// A dial that fails is printed and leaves its caller waiting, which the harness counts.
#[derive(Default)]
struct Signals {
    connected: Notify,
    closed: Notify,
}

impl Stack for Node {
    const NAME: &'static str = "litep2p";
    type Connection = Link;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let signals = Arc::new(Signals::default());
        let (commands, inbox) = mpsc::channel(1);
        let (dials, dialed) = mpsc::channel(1);
        let bench = Bench {
            commands: inbox,
            signals: signals.clone(),
        };
        let config = transports::config(listen, over, None)?.with_user_protocol(Box::new(bench));
        let node = Litep2p::new(config.build())?;
        let address = node.listen_addresses().next();
        let address = address.map_or_else(String::new, ToString::to_string);
        tokio::spawn(drive(node, dialed, signals.clone()));
        Ok(Self {
            dials,
            commands,
            signals,
            address,
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Link> {
        let address: Multiaddr = address.parse()?;
        let peer = PeerId::try_from_multiaddr(&address).context("an address without /p2p")?;
        self.dials.send(address).await?;
        self.signals.connected.notified().await;
        Ok(Link {
            peer,
            commands: self.commands.clone(),
            signals: self.signals.clone(),
        })
    }
}

struct Link {
    peer: PeerId,
    commands: mpsc::Sender<Command>,
    signals: Arc<Signals>,
}

impl Connection for Link {
    type Stream = Substream;

    async fn open(&self) -> Result<Substream> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Open(self.peer, reply)).await?;
        answer.await?
    }

    async fn close(self) -> Result<()> {
        self.commands.send(Command::Close(self.peer)).await?;
        self.signals.closed.notified().await;
        Ok(())
    }
}

async fn drive(mut node: Litep2p, mut dials: mpsc::Receiver<Multiaddr>, signals: Arc<Signals>) {
    loop {
        tokio::select! {
            address = dials.recv() => {
                let Some(address) = address else { return };
                if let Err(error) = node.dial_address(address).await {
                    eprintln!("{error}");
                }
            }
            event = node.next_event() => match event {
                None => return,
                Some(Litep2pEvent::ConnectionClosed { .. }) => signals.closed.notify_one(),
                Some(Litep2pEvent::ConnectionEstablished { .. }) => {}
                Some(failure) => eprintln!("{failure:?}"),
            },
        }
    }
}

enum Command {
    Open(PeerId, oneshot::Sender<Result<Substream>>),
    Close(PeerId),
}

struct Bench {
    commands: mpsc::Receiver<Command>,
    signals: Arc<Signals>,
}

#[async_trait]
impl UserProtocol for Bench {
    fn protocol(&self) -> ProtocolName {
        ProtocolName::from(PROTOCOL)
    }

    fn codec(&self) -> ProtocolCodec {
        ProtocolCodec::Unspecified
    }

    async fn run(mut self: Box<Self>, mut service: TransportService) -> litep2p::Result<()> {
        let mut opening = Opening::new();
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return Ok(()),
                    Some(Command::Open(peer, reply)) => match service.open_substream(peer) {
                        Ok(id) => drop(opening.insert(id, reply)),
                        Err(error) => drop(reply.send(Err(error.into()))),
                    },
                    Some(Command::Close(peer)) => service.force_close(peer)?,
                },
                event = futures::StreamExt::next(&mut service) => match event {
                    None => return Ok(()),
                    Some(TransportEvent::ConnectionEstablished { .. }) => self.signals.connected.notify_one(),
                    Some(TransportEvent::SubstreamOpened { direction: Direction::Inbound, substream, .. }) => {
                        tokio::spawn(serve(substream));
                    }
                    Some(TransportEvent::SubstreamOpened { direction: Direction::Outbound(id), substream, .. }) => {
                        answer(&mut opening, id, Ok(substream));
                    }
                    Some(TransportEvent::SubstreamOpenFailure { substream, error }) => {
                        answer(&mut opening, substream, Err(anyhow!("{error}")));
                    }
                    Some(TransportEvent::ConnectionClosed { .. } | TransportEvent::DialFailure { .. }) => {}
                },
            }
        }
    }
}

type Opening = HashMap<SubstreamId, oneshot::Sender<Result<Substream>>>;

fn answer(opening: &mut Opening, id: SubstreamId, result: Result<Substream>) {
    if let Some(reply) = opening.remove(&id) {
        // Nobody waits any more: nobody is told.
        drop(reply.send(result));
    }
}

fn main() -> Result<()> {
    bench_harness::main::<Node>()
}
