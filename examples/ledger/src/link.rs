//! The way to one other member: a stream that is opened again whenever it breaks, new entries and lines as they come, and now and
//! then the question what is missing here.

use std::time::Duration;

use carrick::{
    Multiaddr, Node, RequestError,
    actors::{Client, ClientOptions, Mailbox, Priority, Sender},
    transport::Pipe,
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::words::{Entry, PEERS, ToChain, ask, payload, peers};

/// To a link.
#[derive(Clone, Debug)]
pub(crate) enum ToPeer {
    Entry(Entry),
    Chat(String),
}

impl ToPeer {
    /// Chat is what can wait.
    pub(crate) fn priority(&self) -> Priority {
        match self {
            Self::Entry(_) => Priority::Normal,
            Self::Chat(_) => Priority::Bulk,
        }
    }
}

/// Which member it is, where, and who is to hear of what it says.
pub(crate) struct Link {
    pub(crate) node: Node,
    pub(crate) member: usize,
    pub(crate) address: Multiaddr,
    pub(crate) chain: Sender<ToChain>,
}

impl Link {
    /// Runs as long as the program.
    pub(crate) async fn run(self, mut out: Mailbox<ToPeer>) {
        loop {
            if let Ok(stream) = self.node.open_stream(&self.address, PEERS).await {
                let mut options = ClientOptions::default();
                options.timeout = TIMEOUT;
                let client = Client::over(Pipe::new(stream), PEERS, options);
                let error = tokio::select! {
                    Err(error) = self.pull(&client) => error,
                    Err(error) = self.push(&client, &mut out) => error,
                    else => return,
                };
                eprintln!("node {}: {error}", self.member);
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for what is missing, at once and then now and then: whatever pushes have missed comes by this.
    async fn pull(&self, client: &Client) -> Result<(), RequestError> {
        let mut turns = interval(PULL);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            loop {
                let has = self
                    .chain
                    .call(())
                    .await
                    .map_err(|_| RequestError::Closed)?;
                let entries: Vec<Entry> = match ask(client, peers::SYNC, &has).await {
                    Err(RequestError::Busy { .. }) => break,
                    asked => asked?,
                };
                if entries.is_empty() {
                    break;
                }
                if !self.chain.send(ToChain::Store(entries)).await.is_ok() {
                    return Err(RequestError::Closed);
                }
            }
        }
    }

    /// Tells what is new, many entries at a time.
    async fn push(&self, client: &Client, out: &mut Mailbox<ToPeer>) -> Result<(), RequestError> {
        let mut pushed = FuturesUnordered::new();
        loop {
            tokio::select! {
                message = out.recv(), if pushed.len() < PUSHES_MAX => match message {
                    Some(ToPeer::Entry(entry)) => pushed.push(async move {
                        let stored: Result<(), _> = ask(client, peers::ENTRY, &entry).await;
                        (entry.number, stored)
                    }),
                    Some(ToPeer::Chat(line)) => {
                        client.notify(Priority::Bulk, peers::CHAT, payload(&line)?).await?;
                    }
                    None => return Ok(()),
                },
                Some((number, stored)) = pushed.next() => match stored {
                    Ok(()) => {
                        let _ = self.chain.send(ToChain::Stored(self.member, number)).await;
                    }
                    // It will ask for it.
                    Err(RequestError::Busy { .. } | RequestError::Timeout { .. }) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to reach a member.
const PAUSE: Duration = Duration::from_millis(100);
const PULL: Duration = Duration::from_millis(250);
const PUSHES_MAX: usize = 32;
