//! The user's say in who is let in: a function that the control task asks at each stage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use carrick_swarm::{Stage, Verdict};
use tracing::error;

use crate::Builder;

/// What the user says to who wants in.
pub(crate) type Judge = Arc<dyn Fn(Stage<'_>) -> Verdict + Send + Sync>;

/// Asks; whoever cannot be judged is not let in.
pub(crate) fn ask(judge: &Judge, stage: Stage<'_>) -> Verdict {
    let asked = catch_unwind(AssertUnwindSafe(|| judge(stage)));
    asked.unwrap_or_else(|_| {
        error!(?stage, "the function that admits peers panicked");
        Verdict::reject("the function that admits peers panicked")
    })
}

impl Builder {
    /// Asks `judge` about everybody who wants in, three times: by address before anything is read, by peer after the
    /// handshake, which no protocol sees the peer before, and by what the peer says of itself. Bans and limits come first.
    ///
    /// It runs on the node's control task, which waits for it: it should only look something up. One that panics lets
    /// nobody in. Connections that we dial have the last two stages.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{Node, Stage, Verdict};
    ///
    /// let friend = Node::spawn().await?;
    /// let only = friend.id();
    /// let server = Node::builder()
    ///     .admit(move |stage| match stage {
    ///         Stage::Peer { peer, .. } if peer != only => Verdict::reject("not a friend"),
    ///         _ => Verdict::Accept,
    ///     })
    ///     .listen("/ip4/127.0.0.1/tcp/0")?
    ///     .spawn()
    ///     .await?;
    /// friend.dial(server.address()).await?.info().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn admit(mut self, judge: impl Fn(Stage<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        self.judge = Some(Arc::new(judge));
        self
    }
}
