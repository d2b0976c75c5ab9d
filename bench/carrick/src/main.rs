//! Carrick under test, over what is asked for, with every default but those that end idle connections or cap their number.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use bench_harness::{Over, PROTOCOL, Security, serve};
use carrick::{Config, Node, Stream};

struct Carrick {
    node: Node,
}

struct Link(carrick::Connection);

/// More inbound connections than the idle workload opens.
const CONNECTIONS_MAX: usize = 10_000;

fn config() -> Config {
    let mut config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    config.swarm.connections_inbound_max = CONNECTIONS_MAX;
    config
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
        let mut builder = Node::builder().config(config()).securities([security]);
        if let Some(listen) = listen {
            builder = builder
                .handle(
                    PROTOCOL,
                    |stream: Stream| async move { serve(stream).await },
                )
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
        Ok(Link(self.node.dial(address).await?))
    }
}

impl bench_harness::Connection for Link {
    type Stream = Stream;

    async fn open(&self) -> Result<Stream> {
        Ok(self.0.open_stream(PROTOCOL).await?)
    }

    async fn close(self) -> Result<()> {
        self.0.close().await;
        Ok(())
    }
}

fn main() -> Result<()> {
    bench_harness::main::<Carrick>()
}
