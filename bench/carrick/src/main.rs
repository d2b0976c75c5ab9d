//! Carrick under test, over what is asked for, with every default but those that end idle connections or cap their number.

mod config;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use anyhow::{Result, ensure};
use bench_harness::{Over, PROTOCOL, count_packet, serve};
use bytes::Bytes;
use carrick::{Node, Packets, Stream};

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

/// Fewer streams than Carrick gives handlers at once.
const HANDLERS: usize = 4_000;

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
        let mut builder = config::builder(over)?;
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
