//! litep2p's request/response, which puts a length before each message. Its limits of streams are above what any workload
//! asks at once.

mod transports;

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow};
use bench_harness::{Asked, Asker, Over};
use futures::StreamExt;
use litep2p::{
    Litep2p, Litep2pEvent, PeerId,
    protocol::request_response::{
        ConfigBuilder, DialOptions, RequestResponseEvent, RequestResponseHandle,
    },
    types::{RequestId, multiaddr::Multiaddr, protocol::ProtocolName},
};
use tokio::sync::{mpsc, oneshot};

const NAME: &str = "/bench/ask/1.0.0";
const MESSAGE_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once.
const STREAMS_MAX: usize = 2048;

struct Node {
    dials: mpsc::Sender<Dial>,
    requests: mpsc::Sender<Request>,
    address: String,
}

type Dial = (Multiaddr, oneshot::Sender<()>);
type Request = (PeerId, Vec<u8>, Reply);
type Reply = oneshot::Sender<Result<Vec<u8>>>;

impl Asked for Node {
    const NAME: &'static str = "litep2p";
    type Asker = Peer;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let protocol = ConfigBuilder::new(ProtocolName::from(NAME))
            .with_max_size(MESSAGE_MAX)
            .with_timeout(TIMEOUT);
        let (protocol, handle) = protocol.build();
        let config = transports::config(listen, over, Some(STREAMS_MAX))?
            .with_request_response_protocol(protocol);
        let node = Litep2p::new(config.build())?;
        let address = node.listen_addresses().next();
        let address = address.map_or_else(String::new, ToString::to_string);
        let (dials, dialed) = mpsc::channel(1);
        tokio::spawn(drive(node, dialed));
        let (requests, inbox) = mpsc::channel(STREAMS_MAX);
        tokio::spawn(exchange(handle, inbox));
        Ok(Self {
            dials,
            requests,
            address,
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    async fn dial(&self, address: &str) -> Result<Peer> {
        let address: Multiaddr = address.parse()?;
        let peer = PeerId::try_from_multiaddr(&address).context("an address without /p2p")?;
        let (connected, established) = oneshot::channel();
        self.dials.send((address, connected)).await?;
        established.await?;
        Ok(Peer {
            peer,
            requests: self.requests.clone(),
        })
    }
}

struct Peer {
    peer: PeerId,
    requests: mpsc::Sender<Request>,
}

impl Asker for Peer {
    type Reply = Vec<u8>;

    async fn ask(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let request = (self.peer, payload.to_vec(), reply);
        self.requests.send(request).await?;
        answer.await.context("the protocol has ended")?
    }
}

/// Runs the node. A dial that fails is printed and leaves its caller waiting, which the harness counts.
async fn drive(mut node: Litep2p, mut dials: mpsc::Receiver<Dial>) {
    let mut dialing = None;
    loop {
        tokio::select! {
            dial = dials.recv() => {
                let Some((address, connected)) = dial else { return };
                dialing = Some(connected);
                if let Err(error) = node.dial_address(address).await {
                    eprintln!("{error}");
                }
            }
            event = node.next_event() => match event {
                None => return,
                Some(Litep2pEvent::ConnectionEstablished { .. }) => {
                    if let Some(connected) = dialing.take() {
                        // Whoever dials waits for it.
                        let _: Result<(), ()> = connected.send(());
                    }
                }
                Some(Litep2pEvent::ConnectionClosed { .. }) => {}
                Some(failure) => eprintln!("{failure:?}"),
            },
        }
    }
}

/// Sends requests, and answers those of others.
async fn exchange(mut handle: RequestResponseHandle, mut requests: mpsc::Receiver<Request>) {
    let mut asked: HashMap<RequestId, Reply> = HashMap::new();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some((peer, payload, reply)) = request else { return };
                match handle.send_request(peer, payload, DialOptions::Reject).await {
                    Ok(id) => drop(asked.insert(id, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            event = handle.next() => {
                let (id, result) = match event {
                    None => return,
                    Some(RequestResponseEvent::RequestReceived { request_id, request, .. }) => {
                        handle.send_response(request_id, request);
                        continue;
                    }
                    Some(RequestResponseEvent::ResponseReceived { request_id, response, .. }) => (request_id, Ok(response)),
                    Some(RequestResponseEvent::RequestFailed { request_id, error, .. }) => (request_id, Err(anyhow!("{error:?}"))),
                };
                if let Some(reply) = asked.remove(&id) {
                    // Nobody waits any more: nobody is told.
                    drop(reply.send(result));
                }
            }
        }
    }
}

fn main() -> Result<()> {
    bench_harness::main_asked::<Node>()
}
