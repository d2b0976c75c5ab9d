//! Carrick under test, over what is asked for, with every default but those that end idle connections or cap their number.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use anyhow::{Result, bail, ensure};
use bench_harness::{Over, PROTOCOL, Security, Transport, count_packet, serve};
use bytes::Bytes;
use carrick::{Config, Node, Packets, Stream};

struct Carrick {
    node: Node,
}

struct Link {
    node: Node,
    connection: carrick::Connection,
}

/// The protocol of packets.
const PACKETS: &str = "/bench/packets/1.0.0";
/// Packets between two looks at whether the path keeps up; the queue of a flow holds more.
const BURST: usize = 16;

/// More connections and streams than any workload opens.
const CONNECTIONS_MAX: usize = 12_000;
const STREAMS_MAX: usize = 12_000;
/// Fewer streams than Carrick gives handlers at once.
const HANDLERS: usize = 4_000;

fn config(over: Over) -> Config {
    let mut config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    config.swarm.connections_inbound_max = CONNECTIONS_MAX;
    config.file_descriptors_max = 2 * CONNECTIONS_MAX;
    config.memory_max = config.memory_max.max(4 << 30);
    config.streams_inbound_max = 2 * STREAMS_MAX;
    config.streams_inbound_per_peer_max = STREAMS_MAX;
    config.streams_inbound_per_protocol_max = STREAMS_MAX;
    if over.transport == Transport::Tcp {
        config.session.inbound_streams_max = STREAMS_MAX;
        config.session.outbound_streams_max = STREAMS_MAX;
    }
    config
}

/// Idle streams may outnumber what handlers serve at once: the rest gets tasks of our own.
async fn handle(stream: Stream) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    if RUNNING.fetch_add(1, Relaxed) < HANDLERS {
        serve(stream).await;
    } else {
        tokio::spawn(serve(stream));
    }
    RUNNING.fetch_sub(1, Relaxed);
}

impl bench_harness::Stack for Carrick {
    const NAME: &'static str = "carrick";
    type Connection = Link;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let security = match over.security {
            Security::Noise => carrick::Security::Noise,
            Security::Tls => carrick::Security::Tls,
            Security::None => bail!("this stack secures every connection"),
        };
        let mut builder = Node::builder().config(config(over)).securities([security]);
        if let Some(listen) = listen {
            builder = builder
                .handle(PROTOCOL, handle)
                .handle_packets(PACKETS, |packets: Packets| async move {
                    while packets.recv().await.is_ok() {
                        count_packet();
                    }
                })
                .listen(over.multiaddr(listen))?;
        }
        Ok(Self {
            node: builder.spawn().await?,
        })
    }

    fn address(&self) -> String {
        self.node.address().to_string()
    }

    async fn dial(&self, address: &str) -> Result<Link> {
        Ok(Link {
            connection: self.node.dial(address).await?,
            node: self.node.clone(),
        })
    }
}

impl bench_harness::Connection for Link {
    type Stream = Stream;

    async fn open(&self) -> Result<Stream> {
        Ok(self.connection.open_stream(PROTOCOL).await?)
    }

    async fn close(self) -> Result<()> {
        self.connection.close().await;
        Ok(())
    }

    async fn flood(&self, payload: &[u8], end: Instant) -> Result<u64> {
        let packets = self.node.packets(self.connection.peer(), PACKETS).await?;
        while packets.max_payload() < payload.len() {
            ensure!(Instant::now() < end, "the path is too narrow");
            tokio::task::yield_now().await;
        }
        let payload = Bytes::copy_from_slice(payload);
        while Instant::now() < end {
            for _ in 0..BURST {
                packets.send(payload.clone())?;
            }
            packets.ready().await?;
        }
        Ok(packets.stats().sent)
    }
}

fn main() -> Result<()> {
    bench_harness::main::<Carrick>()
}
