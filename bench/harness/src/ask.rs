//! Requests as a stack's users send them: through its own request/response layer, not through streams.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    Over, command,
    repeat::{Operation, insist, repeat},
    workload::{Options, Workload},
};

/// A node of a stack that has requests of its own.
pub trait Asked: Sized + Send + Sync + 'static {
    /// How the stack is called in reports.
    const NAME: &'static str;
    /// See [`Asker`].
    type Asker: Asker;

    /// Starts a node with a fresh identity. With `listen` it accepts connections there and answers every request
    /// with the request's own bytes. A stack that lacks what `over` asks for returns an error.
    fn start(listen: Option<SocketAddr>, over: Over) -> impl Future<Output = Result<Self>> + Send;

    /// What others dial to reach this node; only asked of a node that listens.
    fn address(&self) -> String;

    /// One connection, ready for requests.
    fn dial(&self, address: &str) -> impl Future<Output = Result<Self::Asker>> + Send;
}

/// A peer to ask. Its connection stays open while the value lives.
pub trait Asker: Send + Sync + 'static {
    /// What a reply comes in.
    type Reply: AsRef<[u8]> + Send;

    /// Sends a request with a copy of these bytes, as any application would, and waits for the reply.
    fn ask(&self, payload: &[u8]) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// The whole of `main` in a benchmark binary for requests.
pub fn main_asked<S: Asked>() -> Result<()> {
    command(
        async |listen, over| S::start(Some(listen), over).await,
        S::address,
        run::<S>,
    )
}

async fn run<S: Asked>(options: Options) -> Result<Value> {
    ensure!(
        options.workload == Workload::Ask,
        "this program only asks: the one for streams has the other workloads"
    );
    let node = S::start(None, options.over).await?;
    let asker = Arc::new(
        node.dial(&options.address)
            .await
            .context("the connection")?,
    );
    let payload: Arc<[u8]> = vec![0xa5; options.packet_len].into();
    let ask = |_| Ask(asker.clone(), payload.clone());
    insist(&mut ask(0)).await.context("the first request")?;
    let loops = (0..options.concurrency).map(ask);
    let mut report = repeat(loops.collect(), &options).await?;
    report["stack"] = S::NAME.into();
    report["workload"] = "ask".into();
    Ok(report)
}

struct Ask<A>(Arc<A>, Arc<[u8]>);

impl<A: Asker> Operation for Ask<A> {
    async fn once(&mut self) -> Result<()> {
        let reply = self.0.ask(&self.1).await?;
        ensure!(reply.as_ref() == &*self.1, "wrong reply");
        Ok(())
    }
}
