//! rust-libp2p's request/response. Its codec reads a message until the end of the stream, as those for CBOR and
//! JSON do, but decodes nothing. Its limits of streams are above what any workload asks at once.

mod swarm;

use std::{collections::HashMap, io, net::SocketAddr};

use anyhow::{Context, Result};
use bench_harness::{Asked, Asker, Over};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    request_response::{
        Behaviour, Codec, Config, Event, Message, OutboundRequestId, ProtocolSupport,
    },
    swarm::SwarmEvent,
};
use tokio::sync::{mpsc, oneshot};

const NAME: StreamProtocol = StreamProtocol::new("/bench/ask/1.0.0");
const STREAMS_MAX: usize = 2048;
const MESSAGE_MAX: u64 = 1 << 20;

struct Node {
    commands: mpsc::Sender<Command>,
    address: String,
}

impl Asked for Node {
    const NAME: &'static str = "libp2p";
    type Asker = Peer;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let config = Config::default().with_max_concurrent_streams(STREAMS_MAX);
        let requests = Behaviour::with_codec(Raw, [(NAME, ProtocolSupport::Full)], config);
        let mut swarm = swarm::with(requests, over, Some(STREAMS_MAX)).await?;
        let address = match listen {
            None => String::new(),
            Some(at) => swarm::listen(&mut swarm, at, over).await?.to_string(),
        };
        let (commands, inbox) = mpsc::channel(STREAMS_MAX);
        tokio::spawn(drive(swarm, inbox));
        Ok(Self { commands, address })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Peer> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Dial(address.parse()?, reply);
        self.commands.send(command).await?;
        Ok(Peer {
            peer: answer.await??,
            commands: self.commands.clone(),
        })
    }
}

struct Peer {
    peer: PeerId,
    commands: mpsc::Sender<Command>,
}

impl Asker for Peer {
    type Reply = Vec<u8>;

    async fn ask(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Ask(self.peer, payload.to_vec(), reply);
        self.commands.send(command).await?;
        answer.await.context("the swarm has ended")?
    }
}

enum Command {
    Dial(Multiaddr, oneshot::Sender<Result<PeerId>>),
    Ask(PeerId, Vec<u8>, Reply),
}
type Reply = oneshot::Sender<Result<Vec<u8>>>;

/// Polls the swarm and answers what others ask.
async fn drive(mut swarm: Swarm<Behaviour<Raw>>, mut commands: mpsc::Receiver<Command>) {
    let (mut dialing, mut asked) = (None, HashMap::new());
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Dial(address, reply)) => match swarm.dial(address) {
                    Ok(()) => dialing = Some(reply),
                    Err(error) => drop(reply.send(Err(error.into()))),
                },
                Some(Command::Ask(peer, payload, reply)) => {
                    asked.insert(swarm.behaviour_mut().send_request(&peer, payload), reply);
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(event) => take(event, &mut swarm, &mut asked),
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    if let Some(reply) = dialing.take() {
                        drop(reply.send(Ok(peer_id)));
                    }
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    if let Some(reply) = dialing.take() {
                        drop(reply.send(Err(error.into())));
                    }
                }
                _ => {}
            },
        }
    }
}

fn take(
    event: Event<Vec<u8>, Vec<u8>>,
    swarm: &mut Swarm<Behaviour<Raw>>,
    asked: &mut HashMap<OutboundRequestId, Reply>,
) {
    let (request, result) = match event {
        Event::Message { message, .. } => match message {
            Message::Request {
                request, channel, ..
            } => {
                // An asker that has gone away needs no answer.
                let _: Result<(), _> = swarm.behaviour_mut().send_response(channel, request);
                return;
            }
            Message::Response {
                request_id,
                response,
            } => (request_id, Ok(response)),
        },
        Event::OutboundFailure {
            request_id, error, ..
        } => (request_id, Err(error.into())),
        Event::InboundFailure { .. } | Event::ResponseSent { .. } => return,
    };
    if let Some(reply) = asked.remove(&request) {
        // Nobody waits any more: nobody is told.
        drop(reply.send(result));
    }
}

#[derive(Clone)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        let mut message = Vec::new();
        io.take(MESSAGE_MAX).read_to_end(&mut message).await?;
        Ok(message)
    }

    async fn read_response<T>(&mut self, name: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        self.read_request(name, io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Vec<u8>,
    ) -> io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        io.write_all(&message).await
    }

    async fn write_response<T>(
        &mut self,
        name: &StreamProtocol,
        io: &mut T,
        message: Vec<u8>,
    ) -> io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        self.write_request(name, io, message).await
    }
}

fn main() -> Result<()> {
    bench_harness::main_asked::<Node>()
}
