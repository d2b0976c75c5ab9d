//! Two whole nodes in one thread, joined by pipes in memory: what stands between a program and its peer, both sides and
//! the runtime included. Only what the kernel does is missing.

use carrick::{Config, Keypair, Multiaddr, Node, Security, Stream, StreamError};
use std::future::Future;
use tokio::runtime::{Builder, Runtime};

const ECHO: &str = "/echo/1.0.0";
const SINK: &str = "/sink/1.0.0";
const MEBIBYTE: usize = 1 << 20;
const PART: usize = 64 << 10;
const WHY: &str = "the other node is honest and in this process";

/// A server, a client, and as many other clients of that server as were asked for; they stay idle.
struct World {
    runtime: Runtime,
    server: Node,
    client: Node,
    _idle: Vec<Node>,
}

impl World {
    fn among(idle: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (server, mut all) = runtime.block_on(async {
            let server = node(0)
                .listen("/memory/0")
                .expect("an address")
                .handle(
                    ECHO,
                    |mut stream: Stream| async move { stream.echo().await },
                )
                .handle(SINK, sink);
            let server = server.spawn().await.expect("a server");
            let mut all = Vec::new();
            for nth in 1..=idle + 1 {
                let client = node(nth).spawn().await.expect("a client");
                let connection = client.dial(server.address()).await.expect(WHY);
                connection.info().await;
                all.push(client);
            }
            (server, all)
        });
        Self {
            client: all.pop().expect("at least one client"),
            _idle: all,
            runtime,
            server,
        }
    }

    fn address(&self) -> Multiaddr {
        self.server.address()
    }

    fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }
}

fn node(nth: usize) -> carrick::Builder {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&nth.to_le_bytes());
    let mut config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    config.swarm.connections_inbound_max = 20_000;
    // The certificate of TLS would be another one each time.
    Node::builder()
        .securities([Security::Noise])
        .identity(Keypair::ed25519_from_bytes(seed).expect("any bytes are a key"))
        .config(config)
}

/// Says a word after each mebibyte.
async fn sink(mut stream: Stream) -> Result<(), StreamError> {
    let mut got = 0;
    while let Some(chunk) = stream.read_chunk().await? {
        got += chunk.len();
        if got >= MEBIBYTE {
            got -= MEBIBYTE;
            stream.write_all(b"!").await?;
        }
    }
    Ok(())
}

/// There and back on a stream that stays.
pub(crate) fn messages(idle: usize, times: usize) {
    let world = World::among(idle);
    world.run(async {
        let stream = world.client.open_stream(world.address(), ECHO).await;
        let mut stream = stream.expect(WHY);
        let mut message = [7; 64];
        for _ in 0..times {
            stream.write_all(&message).await.expect(WHY);
            stream.read_exact(&mut message).await.expect(WHY);
        }
    });
}

/// A stream for each message.
pub(crate) fn requests(idle: usize, times: usize) {
    let world = World::among(idle);
    world.run(async {
        let peer = world.server.id();
        for _ in 0..times {
            let mut stream = world.client.open_stream(peer, ECHO).await.expect(WHY);
            stream.write_all(&[7; 64]).await.expect(WHY);
            stream.finish().await.expect(WHY);
            stream.read_to_end(64).await.expect(WHY);
        }
    });
}

/// A mebibyte in large writes, each acknowledged by the reader.
pub(crate) fn mebibytes(idle: usize, times: usize) {
    let world = World::among(idle);
    world.run(async {
        let stream = world.client.open_stream(world.address(), SINK).await;
        let mut stream = stream.expect(WHY);
        let part = vec![7; PART];
        for _ in 0..times {
            for _ in 0..MEBIBYTE / PART {
                stream.write_all(&part).await.expect(WHY);
            }
            stream.read_exact(&mut [0]).await.expect(WHY);
        }
    });
}

/// A connection with its handshake and identify, both ways, and its end.
pub(crate) fn connects(times: usize) {
    let world = World::among(0);
    world.run(async {
        let client = node(20_000).spawn().await.expect("a client");
        for _ in 0..times {
            let connection = client.dial(world.address()).await.expect(WHY);
            connection.info().await;
            connection.close().await;
            let gone = || client.peers().is_empty() && world.server.peers().len() == 1;
            while !gone() {
                tokio::task::yield_now().await;
            }
        }
    });
}
