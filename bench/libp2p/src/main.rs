//! rust-libp2p with `libp2p-stream` and default settings, over TCP, WebSocket or QUIC. Only the idle timeout
//! is longer, or it would close connections between streams.

mod swarm;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bench_harness::{Connection, Over, PROTOCOL, Stack, serve};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    swarm::{ConnectionId, SwarmEvent},
};
use libp2p_stream::{Behaviour, Control};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

const NAME: StreamProtocol = StreamProtocol::new(PROTOCOL);

struct Node {
    commands: mpsc::Sender<Command>,
    control: Control,
    address: String,
}

impl Stack for Node {
    const NAME: &'static str = "libp2p";
    type Connection = Link;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let mut swarm = swarm::with(Behaviour::new(), over, None).await?;
        let mut control = swarm.behaviour().new_control();
        let mut address = Multiaddr::empty();
        if let Some(listen) = listen {
            let mut streams = control.accept(NAME)?;
            tokio::spawn(async move {
                while let Some((_, stream)) = streams.next().await {
                    tokio::spawn(serve(stream.compat()));
                }
            });
            address = swarm::listen(&mut swarm, listen, over).await?;
        }
        let (commands, inbox) = mpsc::channel(1);
        tokio::spawn(drive(swarm, inbox));
        Ok(Self {
            commands,
            control,
            address: address.to_string(),
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Link> {
        let address: Multiaddr = address.parse()?;
        let (peer, connection) =
            ask(&self.commands, |reply| Command::Dial(address, reply)).await??;
        Ok(Link {
            peer,
            connection,
            control: self.control.clone(),
            commands: self.commands.clone(),
        })
    }
}

struct Link {
    peer: PeerId,
    connection: ConnectionId,
    control: Control,
    commands: mpsc::Sender<Command>,
}

impl Connection for Link {
    type Stream = Compat<libp2p::Stream>;

    async fn open(&self) -> Result<Self::Stream> {
        let stream = self.control.clone().open_stream(self.peer, NAME).await?;
        Ok(stream.compat())
    }

    async fn close(self) -> Result<()> {
        let id = self.connection;
        ask(&self.commands, |reply| Command::Close(id, reply)).await
    }
}

enum Command {
    Dial(Multiaddr, Reply<Result<(PeerId, ConnectionId)>>),
    Close(ConnectionId, Reply<()>),
}
type Reply<T> = oneshot::Sender<T>;

async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T> {
    let (reply, answer) = oneshot::channel();
    // When the swarm has ended, the answer says so.
    let _: Result<(), _> = commands.send(command(reply)).await;
    answer.await.context("the swarm has ended")
}

/// Polls the swarm. The harness waits for every answer, so one command of a kind is pending at most.
async fn drive(mut swarm: Swarm<Behaviour>, mut commands: mpsc::Receiver<Command>) {
    let (mut dialing, mut closing) = (None, None);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Dial(address, reply)) => match swarm.dial(address) {
                    Ok(()) => dialing = Some(reply),
                    Err(error) => answer(&mut Some(reply), Err(error.into())),
                },
                Some(Command::Close(connection, reply)) => {
                    closing = Some(reply);
                    swarm.close_connection(connection);
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                    answer(&mut dialing, Ok((peer_id, connection_id)));
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => answer(&mut dialing, Err(error.into())),
                SwarmEvent::ConnectionClosed { .. } => answer(&mut closing, ()),
                _ => {}
            },
        }
    }
}

fn answer<T>(reply: &mut Option<Reply<T>>, value: T) {
    if let Some(reply) = reply.take() {
        // Nobody waits any more: nobody is told.
        let _: Result<(), T> = reply.send(value);
    }
}

fn main() -> Result<()> {
    bench_harness::main::<Node>()
}
